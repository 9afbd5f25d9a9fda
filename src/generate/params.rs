//! How much to make up.

use super::genres::GENRES_MAX;
use crate::error::{Error, Result};
use crate::types::Timestamp;

/// What to make up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GenerateParams {
    /// Tracks, 100 to 200,000,000.
    pub tracks: u32,
    /// Listeners, at least 1.
    pub listeners: u32,
    /// Plays of all listeners together.
    pub plays: u64,
    /// Genres, 4 to [`GENRES_MAX`].
    pub genres: u32,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The present: the newest play and release lie just before it.
    pub as_of: Timestamp,
    /// Dimension of the audio vectors, 16 to 1,024.
    pub audio_dim: u32,
    /// Dimension of directly made collaborative vectors, 16 to 1,024.
    pub cf_dim: u32,
}

impl Default for GenerateParams {
    /// The demo's catalogue, as of 2026-11-01.
    fn default() -> Self {
        Self {
            tracks: 100_000,
            listeners: 5_000,
            plays: 1_000_000,
            genres: 60,
            seed: 1,
            as_of: Timestamp(1_793_491_200_000),
            audio_dim: 128,
            cf_dim: 64,
        }
    }
}

impl GenerateParams {
    /// Checks all ranges.
    ///
    /// # Errors
    /// [`Error::InvalidField`] names the parameter.
    pub fn validate(&self) -> Result<()> {
        let within = |name: &'static str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::invalid(name, format!("must be between {low} and {high}. value=`{value}`")))
        };
        within("tracks", u64::from(self.tracks), 100, 200_000_000)?;
        within("listeners", u64::from(self.listeners), 1, u64::from(u32::MAX))?;
        within("plays", self.plays, 0, 1 << 40)?;
        within("genres", u64::from(self.genres), 4, GENRES_MAX as u64)?;
        within("audio_dim", u64::from(self.audio_dim), 16, 1_024)?;
        within("cf_dim", u64::from(self.cf_dim), 16, 1_024)?;
        // Twenty years of releases lie before it; far dates would leave the range of calendars.
        let days = u64::try_from(self.as_of.day()).unwrap_or(0);
        within("as_of", days, 10_000, 100_000).map_err(|_| {
            Error::invalid("as_of", format!("must be between 1997 and 2243. value=`{}`", self.as_of))
        })
    }
}
