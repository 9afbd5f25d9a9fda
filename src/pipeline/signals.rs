//! What one listening event says: interaction weights and rewards (PIPELINE.md §2).

pub use crate::train::{DISLIKE_BEFORE_MS, DURATION_UNKNOWN_MS, completion};

use crate::train::EventWeight;
use crate::types::PlayAction;

/// The default half-life of interaction weights in days. `exp(−days/90)`, often called three months, halves in 62.4.
pub const HALF_LIFE_DAYS: f64 = 62.4;

/// What an event says of a listener's taste.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Signal {
    /// Preference 1 with this weight, 0 or more; confidence `1 + α·weight`.
    Like(f64),
    /// Preference **0** with this weight, 0 to 0.5; confidence `1 + α·weight`. Never a negative confidence: it would
    /// make the normal equations of ALS indefinite. Only the magnitude decays.
    Dislike(f64),
}

/// The share left after `age_days`: `2^(−age/half-life)`, 1 for events of the future.
#[must_use]
pub fn decay(age_days: f64, half_life_days: f64) -> f64 {
    (-age_days.max(0.0) / half_life_days).exp2()
}

/// The signal of one event: `(1 + 2·saved + 1.5·repeated) · min(1, listened/duration) · 2^(−age/half-life)`, or a
/// dislike of `0.5 · 2^(−age/half-life)` for a skip before 30 s.
#[must_use]
pub fn signal(
    action: PlayAction,
    listened_ms: u32,
    duration_ms: Option<u32>,
    age_days: f64,
    half_life_days: f64,
) -> Signal {
    decayed(action, listened_ms, duration_ms, decay(age_days, half_life_days))
}

/// As [`signal`], of an event whose [`decay`] is known.
#[must_use]
pub fn decayed(action: PlayAction, listened_ms: u32, duration_ms: Option<u32>, decay: f64) -> Signal {
    let EventWeight { liked, disliked } = EventWeight::of(action, listened_ms, duration_ms, decay);
    if disliked > 0.0 { Signal::Dislike(disliked) } else { Signal::Like(liked) }
}

/// What a learner is rewarded for an event: save 1, 80 % played 0.8, 30 s 0.5, a skip before 30 s 0. A play of less
/// is 0 too.
#[must_use]
pub fn reward(action: PlayAction, listened_ms: u32, duration_ms: Option<u32>) -> f64 {
    match action {
        PlayAction::Save => 1.0,
        _ if listened_ms < DISLIKE_BEFORE_MS && action == PlayAction::Skip => 0.0,
        _ if completion(action, listened_ms, duration_ms) >= 0.8 => 0.8,
        _ if listened_ms >= DISLIKE_BEFORE_MS => 0.5,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(action: PlayAction, listened_ms: u32, age_days: f64) -> f64 {
        match signal(action, listened_ms, Some(200_000), age_days, HALF_LIFE_DAYS) {
            Signal::Like(weight) => weight,
            Signal::Dislike(_) => panic!("a dislike"),
        }
    }

    #[test]
    fn a_half_life_is_a_half_life() {
        assert_eq!(like(PlayAction::Play, 200_000, 0.0), 1.0);
        assert!((like(PlayAction::Play, 200_000, 62.4) - 0.5).abs() < 1e-12);
        let naive = (-HALF_LIFE_DAYS / HALF_LIFE_DAYS).exp();
        assert!((naive - 0.5).abs() > 0.1, "exp(−age/half-life) is no half-life: {naive}");
        assert!((decay(62.4, 62.4) - (-62.4_f64 / 90.0).exp()).abs() < 1e-3, "e-folding of 90 days");
    }

    #[test]
    fn saves_and_repeats_weigh_more_and_parts_less() {
        assert_eq!(like(PlayAction::Save, 200_000, 0.0), 3.0);
        assert_eq!(like(PlayAction::Save, 0, 0.0), 3.0);
        assert_eq!(like(PlayAction::Repeat, 400_000, 0.0), 2.5);
        assert_eq!(like(PlayAction::Play, 50_000, 0.0), 0.25);
        assert_eq!(like(PlayAction::Skip, 50_000, 0.0), 0.25);
    }

    #[test]
    fn a_dislike_is_never_negative_and_only_its_magnitude_decays() {
        let at = |age| signal(PlayAction::Skip, 29_999, Some(200_000), age, HALF_LIFE_DAYS);
        assert_eq!(at(0.0), Signal::Dislike(0.5));
        assert_eq!(at(62.4), Signal::Dislike(0.25));
        let Signal::Dislike(weight) = at(10_000.0) else { panic!("still a dislike") };
        assert!((0.0..1e-9).contains(&weight));
    }

    #[test]
    fn rewards_are_the_four_of_the_table() {
        let reward = |action, ms| reward(action, ms, Some(200_000));
        assert_eq!(reward(PlayAction::Save, 0), 1.0);
        assert_eq!((reward(PlayAction::Play, 160_000), reward(PlayAction::Play, 159_999)), (0.8, 0.5));
        assert_eq!((reward(PlayAction::Skip, 30_000), reward(PlayAction::Skip, 29_999)), (0.5, 0.0));
        assert_eq!(reward(PlayAction::Play, 10_000), 0.0);
    }
}
