//! The impression token: what was served, carried by the caller, so that *recommend* writes nothing.
//!
//! The reply hands it out; `Feedback(served)` brings it back. It holds all that learning from the impression needs
//! (PIPELINE.md §8), is bound to its user, and is authenticated: nobody can make the server believe in a list it did
//! not serve. It is not encrypted; it holds nothing the reply does not tell.
//!
//! Layout, before base64url without padding:
//!
//! ```text
//! u8 version = 2 (1 had neither order of draws nor number of open tracks; it is read), 3 of a list of an experiment
//! u64 user key | i64 as_of ms | u64 seed | u64 candidate-set hash        little-endian
//! varint generation + 1 (0 = none)
//! text request id | text recipe | text surface                           varint length, UTF-8
//! in version 3: text experiment | text arm
//! varint slots, then for each:
//!   varint shard | varint ordinal
//!   u8 source code | 0x80 if explored | 0x40 if a source is known
//!   if explored: varint genre cluster, f64 propensity, varint order of draw, varint open tracks
//! 16 bytes MAC: the start of keyed BLAKE3 over all before
//! ```

mod codec;

use crate::pipeline::experiment::Assignment;
use crate::pipeline::recipe::Source;
use crate::types::{GenerationId, SplitMix64, Timestamp, TrackRef};

pub use codec::TokenError;

/// The longest token that is looked at, in characters.
pub const TOKEN_BYTES_MAX: usize = crate::types::IMPRESSION_BYTES_MAX;

/// A list as it was served.
#[derive(Debug, Clone, PartialEq)]
pub struct Impression {
    /// [`crate::types::key_of`] the user's id.
    pub user_key: u64,
    /// The request's id.
    pub request_id: String,
    /// `name@version`.
    pub recipe: String,
    /// The experiment and the arm that chose the recipe, if one did.
    pub experiment: Option<Assignment>,
    /// The surface.
    pub surface: String,
    /// The generation compared in.
    pub generation: Option<GenerationId>,
    /// The time the list was made for.
    pub as_of: Timestamp,
    /// The request's random seed.
    pub seed: u64,
    /// [`candidate_set_hash`] of the candidates the list was chosen from.
    pub candidates_hash: u64,
    /// The slots, first to last.
    pub slots: Vec<ImpressionSlot>,
}

/// One slot of a served list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImpressionSlot {
    /// The track.
    pub track: TrackRef,
    /// The source that contributed most.
    pub source: Option<Source>,
    /// What is needed to learn from an exploration; absent for other slots.
    pub exploration: Option<SlotExploration>,
}

/// How an explored slot was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotExploration {
    /// Genre cluster of the arm; its source is the slot's.
    pub genre_cluster: u16,
    /// Exact probability of the choice, given the draws before it, in `(0, 1]`.
    pub propensity: f64,
    /// Which draw it was, the first 0; 0 in tokens of the first format.
    pub draw: u16,
    /// How many tracks it was drawn from; 0 in tokens of the first format.
    pub open: u16,
}

impl Impression {
    /// Writes the token. `key` is the cluster's secret.
    #[must_use]
    pub fn encode(&self, key: &[u8; 32]) -> String {
        codec::encode(self, key)
    }

    /// Reads a token back.
    ///
    /// # Errors
    /// [`TokenError`] for anything but a token of this key and a known version. The MAC is checked before anything
    /// else is read.
    pub fn decode(token: &str, key: &[u8; 32]) -> Result<Self, TokenError> {
        codec::decode(token, key)
    }
}

/// A hash of a set of candidates, whatever their order.
#[must_use]
pub fn candidate_set_hash(tracks: impl IntoIterator<Item = TrackRef>) -> u64 {
    // A sum of well mixed numbers does not ask for an order.
    let mixed = |track: TrackRef| SplitMix64::new(track.packed()).next_u64();
    tracks.into_iter().fold(0, |sum: u64, track| sum.wrapping_add(mixed(track)))
}

#[cfg(test)]
mod tests;
