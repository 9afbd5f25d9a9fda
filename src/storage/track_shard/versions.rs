//! Versions of recordings over all track shards.
//!
//! A track is in the shard of its own id, so versions of one recording may be in several. Inside a shard a recording is
//! known by its number; between shards by the key of its id, which is kept only where there are several shards. Two recordings
//! whose ids have one key (about one pair in 10,000 catalogues of 100 million) count as one between shards.

use super::lineage::holder;
use super::view::TrackView;
use crate::types::{TrackRef, shard_of_slot, slot_of};

impl TrackView {
    /// What a track's recording is known by in all shards; the same for all versions of it and for no other track.
    pub fn recording(&self, ordinal: u32) -> u64 {
        let number = self.hot(ordinal).recording;
        if !self.has_siblings() {
            return u64::from(number);
        }
        self.recording_keys.get(number as usize).copied().unwrap_or(0)
    }

    /// Calls `each` with the tracks here of a recording that is known by `recording`; where there are several shards.
    pub fn of_recording(&self, recording: u64, mut each: impl FnMut(u32)) {
        self.recording_ids.numbers_of_key(recording, |number| {
            let is_it = self.recording_keys.get(number as usize) == Some(&recording);
            let head = self.recordings.get(number as usize).copied().filter(|head| *head != u32::MAX);
            if let (true, Some(head)) = (is_it, head) {
                self.versions(head).for_each(&mut each);
            }
        });
    }
}

/// Calls `each` with the tracks of `view` that are versions of a track which may be in another of the shards `all`: the
/// track itself, too, if it is here.
pub fn versions_in<V: AsRef<TrackView>, T>(
    view: &TrackView,
    all: &[V],
    track: TrackRef,
    mut each: impl FnMut(u32) -> T,
) {
    let each = |ordinal| {
        each(ordinal);
    };
    let Some(home) = holder(all, track).map(|place| all[place].as_ref()) else { return };
    if home.shard == view.shard {
        view.versions(track.ordinal.0).for_each(each);
    } else if home.has_row(track.ordinal.0) {
        view.of_recording(home.recording(track.ordinal.0), each);
    }
}

/// The place among all shards, given in the order of their slots, of the one that an id belongs to.
#[must_use]
pub fn home_place<V: AsRef<TrackView>>(all: &[V], id: &str) -> usize {
    if all.len() == 1 {
        return 0;
    }
    let slot = slot_of(id);
    // Where it is if no shard was split.
    let even = shard_of_slot(slot, u16::try_from(all.len()).unwrap_or(u16::MAX));
    if all.get(even).is_some_and(|view| view.as_ref().owns(slot)) {
        return even;
    }
    all.partition_point(|view| view.as_ref().slots().0 <= slot.0).saturating_sub(1)
}

/// The one of all shards, given in the order of their slots, that an id belongs to.
pub fn home<'a, V: AsRef<TrackView>>(all: &'a [V], id: &str) -> Option<&'a TrackView> {
    all.get(home_place(all, id)).map(AsRef::as_ref)
}
