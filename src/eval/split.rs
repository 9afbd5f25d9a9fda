//! Two recipes on two parts of the listeners: who is in which, and whether the parts are what they should be.
//!
//! A listener's part follows from their id and a salt alone, so every server gives the same answer without asking anybody,
//! and another salt makes another, independent split. Before anything is read from a test the sizes of the parts are
//! tested (sample-ratio check): when one part was shown fewer lists than its share makes likely, the parts are not
//! comparable, whatever their rewards say.

use serde::Serialize;

use super::bootstrap::mean_interval;
use crate::error::{Error, Result};
use crate::node::Segue;
use crate::pipeline::experiment::{RATIO_P_MIN, point, sample_ratio};
use crate::types::{Surface, UserId};

/// Decides the resamples of intervals.
const SEED: u64 = 0x5B11_7000;

/// A split of all listeners.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Names the test; another salt is another split.
    pub salt: String,
    /// Share of the listeners in the second part, above 0 and below 1.
    pub share: f64,
}

impl Split {
    /// Checks the parts of a split.
    ///
    /// # Errors
    /// `InvalidField` for a share that leaves one part empty, or an empty salt.
    pub fn new(salt: impl Into<String>, share: f64) -> Result<Self> {
        let salt = salt.into();
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::invalid("share", format!("must be above 0 and below 1. share=`{share}`")));
        }
        if salt.is_empty() {
            return Err(Error::invalid("salt", "must not be empty: it names the test"));
        }
        Ok(Self { salt, share })
    }

    /// Whether a listener is in the second part.
    #[must_use]
    pub fn is_second(&self, user: &UserId) -> bool {
        // 53 bits: every value is a number that a double holds.
        let uniform = (point(&self.salt, user.as_str()) >> 11) as f64 / (1_u64 << 53) as f64;
        uniform < self.share
    }
}

/// One part of the listeners.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Part {
    /// Listeners in it.
    pub listeners: u64,
    /// Of these, listeners whose shown lists have an outcome.
    pub shown: u64,
    /// Mean over them of their mean reward of a shown track.
    pub reward: f64,
    /// Its 95 % interval.
    pub reward_interval: Option<(f64, f64)>,
}

/// A split and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitReport {
    /// Names the test.
    pub salt: String,
    /// Share of the second part.
    pub share: f64,
    /// The parts.
    pub parts: [Part; 2],
    /// [`sample_ratio`] of the listeners to whom lists were shown.
    pub ratio_p: f64,
    /// Whether the parts are what they should be; if not, their rewards must not be compared.
    pub is_sound: bool,
}

/// Looks at both parts of a split.
///
/// # Errors
/// Damaged files.
pub fn split(engine: &Segue, split: &Split, surface: Option<&Surface>) -> Result<SplitReport> {
    let mut parts = [Part::default(), Part::default()];
    let mut rewards = [Vec::new(), Vec::new()];
    for (user, reward) in engine.rewards_by_listener(surface)? {
        let at = usize::from(split.is_second(&user));
        parts[at].listeners += 1;
        rewards[at].extend(reward);
    }
    for (part, rewards) in parts.iter_mut().zip(&rewards) {
        part.shown = rewards.len() as u64;
        // From 0: the sum of nothing is -0.
        part.reward = rewards.iter().fold(0.0, |sum, reward| sum + reward) / rewards.len().max(1) as f64;
        part.reward_interval = mean_interval(rewards, SEED);
    }
    let ratio_p = sample_ratio(&[(parts[0].shown, 1.0 - split.share), (parts[1].shown, split.share)]);
    Ok(SplitReport {
        salt: split.salt.clone(),
        share: split.share,
        parts,
        ratio_p,
        is_sound: ratio_p >= RATIO_P_MIN,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::pipeline::experiment::{Arm, Experiment};

    fn users(count: u32) -> Vec<UserId> {
        (0..count).map(|number| UserId::new(format!("u{number}")).unwrap()).collect()
    }

    #[test]
    fn parts_have_their_share_and_splits_by_other_salts_are_independent() {
        let users = users(20_000);
        for share in [0.5, 0.1] {
            let a = Split::new("radio-test-1", share).unwrap();
            let second = users.iter().filter(|user| a.is_second(user)).count() as u64;
            assert!(
                sample_ratio(&[(20_000 - second, 1.0 - share), (second, share)]) > 0.001,
                "{second} at {share}"
            );
        }
        let (a, b) = (Split::new("a", 0.5).unwrap(), Split::new("b", 0.5).unwrap());
        let both = users.iter().filter(|user| a.is_second(user) && b.is_second(user)).count();
        assert!((4_700..5_300).contains(&both), "a quarter is in the second part of both: {both}");
        assert!(
            Split::new("", 0.5).is_err()
                && Split::new("a", 0.0).is_err()
                && Split::new("a", f64::NAN).is_err()
        );
    }

    #[test]
    fn the_second_part_is_the_second_arm_of_an_experiment_with_the_same_salt() {
        let arm = |name: &str, weight| Arm { name: name.to_owned(), recipe: "radio@1".to_owned(), weight };
        let experiment = Experiment {
            surface: Surface::new("radio").unwrap(),
            name: "arc".to_owned(),
            version: 1,
            salt: None,
            arms: vec![arm("now", 9), arm("new", 1)],
            shadow: None,
        };
        let split = Split::new("arc", 0.1).unwrap();
        let is_same = |user| split.is_second(user) == (experiment.arm_of(user).unwrap().name == "new");
        assert!(users(5_000).iter().all(is_same));
    }
}
