//! How much one listening event says about a taste.

use crate::error::{Error, Result};
use crate::types::{Play, PlayAction, Timestamp};

/// A skip before this many milliseconds is a dislike.
pub const DISLIKE_BEFORE_MS: u32 = 30_000;

/// The length taken for a track whose duration is not known.
const DURATION_MS_DEFAULT: u32 = 180_000;

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

    /// Weighs one event:
    /// `(1 + 2·saved + 1.5·repeated) · min(1, listened / duration) · decay`; a skip before 30 s is a dislike of
    /// `0.5 · decay` instead. Without a duration the track is taken to last 180 s.
    #[must_use]
    pub fn weigh(&self, play: &Play, duration_ms: Option<u32>) -> EventWeight {
        let decay = self.decay(play.played_at);
        if play.action == PlayAction::Skip && play.listened_ms < DISLIKE_BEFORE_MS {
            return EventWeight { liked: 0.0, disliked: 0.5 * decay };
        }
        let kind = match play.action {
            PlayAction::Play | PlayAction::Skip => 1.0,
            PlayAction::Save => 3.0,
            PlayAction::Repeat => 2.5,
        };
        let duration = duration_ms.filter(|&ms| ms > 0).unwrap_or(DURATION_MS_DEFAULT);
        let share = (f64::from(play.listened_ms) / f64::from(duration)).min(1.0);
        EventWeight { liked: kind * share * decay, disliked: 0.0 }
    }
}
