//! Versions of recordings over all track shards.
//!
//! A track is in the shard of its own id, so versions of one recording may be in several. Inside a shard a recording is
//! known by its number; between shards by the key of its id, which is kept only where there are several shards. Two recordings
//! whose ids have one key (about one pair in 10,000 catalogues of 100 million) count as one between shards.

use super::view::TrackView;
use crate::types::{TrackRef, shard_of_slot, slot_of};

impl TrackView {
    /// What a track's recording is known by in all shards; the same for all versions of it and for no other track.
    pub fn recording(&self, ordinal: u32) -> u64 {
        let number = self.hot(ordinal).recording;
        if self.shards == 1 {
            return u64::from(number);
        }
        self.recording_keys.get(number as usize).copied().unwrap_or(0)
    }

    /// Calls `each` with the tracks here of a recording that is known by `recording`; where there are several shards.
    fn of_recording(&self, recording: u64, mut each: impl FnMut(u32)) {
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
    if track.shard == view.shard {
        view.versions(track.ordinal.0).for_each(each);
    } else if let Some(home) = all.iter().map(AsRef::as_ref).find(|home| home.shard == track.shard)
        && track.ordinal.0 < home.ordinals()
    {
        view.of_recording(home.recording(track.ordinal.0), each);
    }
}

/// The one of all shards, given in their order, that an id belongs to.
pub fn home<'a, V: AsRef<TrackView>>(all: &'a [V], id: &str) -> Option<&'a TrackView> {
    let place = match all.len() {
        1 => 0,
        count => shard_of_slot(slot_of(id), u16::try_from(count).ok()?),
    };
    all.get(place).map(AsRef::as_ref)
}
