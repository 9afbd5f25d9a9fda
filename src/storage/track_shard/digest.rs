//! A version of a track shard in short, for a comparison of replicas.

use super::segment::encode_track;
use super::view::TrackView;
use crate::error::Result;
use crate::storage::digest::Digest;
use crate::types::{Slot, slot_of};

impl TrackView {
    /// Reads every row and vector of the tracks that exist.
    ///
    /// Cost: one pass over everything; what is in no memory is read from its files.
    ///
    /// # Errors
    /// Damaged files.
    pub fn digest(&self) -> Result<Digest> {
        let mut digest = Digest::at(self.applied_index);
        let mut slots = vec![Slot(0); self.ordinals() as usize];
        for (ordinal, slot) in (0_u32..).zip(&mut slots).filter(|(ordinal, _)| self.hot(*ordinal).live) {
            let row = self.row(ordinal)?;
            *slot = slot_of(row.track.recording_id.as_str());
            let numbers = [ordinal.to_le_bytes(), row.recording.to_le_bytes()];
            digest.add("tracks", *slot, &[numbers.as_flattened(), &encode_track(&row.track)?]);
        }
        for ((space, generation), set) in &self.sets {
            let kind = format!("vectors of {space}, generation {generation}");
            for (ordinal, slot) in (0_u32..).zip(&slots).filter(|(ordinal, _)| self.hot(*ordinal).live) {
                if let Some(vector) = set.vector(ordinal) {
                    let bytes: Vec<u8> = vector.iter().flat_map(|part| part.to_le_bytes()).collect();
                    digest.add(&kind, *slot, &[&ordinal.to_le_bytes(), &bytes]);
                }
            }
        }
        for load in self.loads.values() {
            digest.add("loads", Slot(0), &[format!("{load:?}").as_bytes()]);
        }
        Ok(digest)
    }
}
