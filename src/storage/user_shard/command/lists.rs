//! What an entry says of lists that were shown.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use crate::types::{GenerationId, Surface, Timestamp, TrackRef};

/// A list that was shown.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ServedList {
    /// Where.
    pub surface: Surface,
    /// The impression's id.
    pub impression: String,
    /// What was shown, first to last.
    pub tracks: Vec<ServedTrack>,
}

/// One track of a list that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ServedTrack {
    /// Which.
    pub track: TrackRef,
    /// Whether it was an exploration slot.
    pub explored: bool,
}

/// How an exploration slot was chosen: what learning from it needs.
#[derive(Debug, Clone, Copy, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct SlotChoice {
    /// Number of the source, below 64.
    pub source: u8,
    /// Genre cluster of the arm.
    pub genre_cluster: u16,
    /// Exact probability of the choice given the draws before it, in `(0, 1]`; 1 for a slot that explored nothing.
    pub propensity: f32,
    /// Which of the list's draws it was, the first 0.
    pub draw: u16,
    /// How many tracks it was drawn from; 0 = not known, or not drawn.
    pub open: u16,
}

/// A [`SlotChoice`] of an entry: which event, which track of its served list.
#[derive(Debug, Clone, Copy, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ShownSlot {
    /// Position in the entry's events.
    pub event: u32,
    /// Position in the event's served list.
    pub position: u32,
    /// How it was chosen.
    pub choice: SlotChoice,
}

/// The [`ListOrigin`] of an event's served list.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct EventOrigin {
    /// Position in the entry's events.
    pub event: u32,
    /// What its list was made by.
    pub origin: ListOrigin,
}

/// What a list was made by: with the slots' choices all that learning from it, and making it again, needs.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ListOrigin {
    /// `name@version`.
    pub recipe: String,
    /// The experiment and the arm that chose the recipe, if one did.
    pub experiment: Option<(String, String)>,
    /// The generation compared in.
    pub generation: Option<GenerationId>,
    /// The request's random seed.
    pub seed: u64,
    /// The hash of the set of candidates the list was chosen from.
    pub candidates_hash: u64,
    /// The time the list was made for.
    pub as_of: Timestamp,
    /// Places that the tracks which were shown have in the whole list, track by track; empty when all of it was shown.
    pub positions: Vec<u32>,
}
