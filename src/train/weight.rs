//! How much one listening event says about a taste.

use crate::error::{Error, Result};
use crate::types::{Play, PlayAction, Timestamp};

/// A skip before this many milliseconds is a dislike.
pub const DISLIKE_BEFORE_MS: u32 = 30_000;

/// The length taken for a track whose duration is not known.
pub const DURATION_UNKNOWN_MS: u32 = 180_000;

/// What a dislike weighs before decay.
const DISLIKE_MAGNITUDE: f64 = 0.5;

/// How events are weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightParams {
    /// Days after which an event counts half; above 0.
    pub half_life_days: f64,
    /// The time decay is measured from; later events count as if they happened then.
    pub reference_time: Timestamp,
}

/// What one event adds to its (user, track) pair.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EventWeight {
    /// Interaction weight, at least 0.
    pub liked: f64,
    /// Dislike weight, at least 0.
    pub disliked: f64,
}

/// The share of a track that was heard, 0 to 1. A save without a listening time is not a track unheard: 1.
#[must_use]
pub fn completion(action: PlayAction, listened_ms: u32, duration_ms: Option<u32>) -> f64 {
    if action == PlayAction::Save && listened_ms == 0 {
        return 1.0;
    }
    let duration_ms = duration_ms.filter(|&ms| ms > 0).unwrap_or(DURATION_UNKNOWN_MS);
    (f64::from(listened_ms) / f64::from(duration_ms)).min(1.0)
}

impl EventWeight {
    /// One event of which `decay` is left: `(1 + 2·saved + 1.5·repeated) · completion · decay`; a skip before 30 s is a
    /// dislike of `0.5 · decay` instead.
    #[must_use]
    pub fn of(action: PlayAction, listened_ms: u32, duration_ms: Option<u32>, decay: f64) -> Self {
        let kind = match action {
            PlayAction::Skip if listened_ms < DISLIKE_BEFORE_MS => {
                return Self { liked: 0.0, disliked: DISLIKE_MAGNITUDE * decay };
            }
            PlayAction::Play | PlayAction::Skip => 1.0,
            PlayAction::Save => 3.0,
            PlayAction::Repeat => 2.5,
        };
        Self { liked: kind * completion(action, listened_ms, duration_ms) * decay, disliked: 0.0 }
    }

    /// Whether it says nothing: not a moment was heard.
    #[must_use]
    pub fn is_silent(self) -> bool {
        self.liked <= 0.0 && self.disliked <= 0.0
    }

    /// What a pair with these sums is: `(weight, liked)`, that which weighs more; dislikes win only when they weigh more.
    #[must_use]
    pub fn verdict(self) -> (f64, bool) {
        (self.liked.max(self.disliked), self.liked >= self.disliked)
    }
}

impl WeightParams {
    /// The default half-life, in days (`exp(−days / 90)`).
    pub const HALF_LIFE_DAYS_DEFAULT: f64 = 62.4;

    /// Checks the half-life.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when it is not a positive number.
    pub fn validate(&self) -> Result<()> {
        if self.half_life_days.is_finite() && self.half_life_days > 0.0 {
            return Ok(());
        }
        let reason = format!("must be a number of days above 0. value=`{}`", self.half_life_days);
        Err(Error::invalid("half_life_days", reason))
    }

    /// The share of its weight an event of time `at` still has, in `[0, 1]`.
    #[must_use]
    pub fn decay(&self, at: Timestamp) -> f64 {
        let age_days = self.reference_time.days_since(at).max(0.0);
        (-age_days / self.half_life_days).exp2()
    }

    /// Weighs one event by [`EventWeight::of`] and its age.
    #[must_use]
    pub fn weigh(&self, play: &Play, duration_ms: Option<u32>) -> EventWeight {
        EventWeight::of(play.action, play.listened_ms, duration_ms, self.decay(play.played_at))
    }
}
