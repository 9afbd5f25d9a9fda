//! What checksums cannot tell: whether the rows of sealed segments say what their columns say, and whether what a version
//! of the shard points at is there.

use super::segment::{SealedTracks, TrackBody};
use super::vectors::VectorBody;
use super::view::TrackView;
use crate::error::Result;
use crate::types::{key_of, slot_of_key};

impl TrackView {
    /// Checks every row of every sealed segment and every location; says what is wrong, with the segment's number. Cost:
    /// reads and decodes every record.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn check(&self) -> Result<Vec<(u32, String)>> {
        let mut problems = Vec::new();
        for segment in &self.segments {
            if let TrackBody::Sealed(sealed) = &segment.body {
                self.check_tracks(segment.id, sealed, &mut problems)?;
            }
        }
        for set in self.sets.values() {
            for segment in &set.segments {
                let VectorBody::Sealed(sealed) = &segment.body else { continue };
                for (offset, &ordinal) in sealed.ordinals()?.iter().enumerate() {
                    if ordinal >= self.ordinals() {
                        problems.push((
                            segment.id,
                            format!("vector of an ordinal that was never given. row=`{offset}`, ordinal=`{ordinal}`"),
                        ));
                    }
                }
            }
            for ordinal in (0..self.ordinals()).filter(|ordinal| set.has(*ordinal)) {
                if set.vector(ordinal).is_none() {
                    problems.push((0, format!("vector of a track points nowhere. ordinal=`{ordinal}`")));
                }
            }
        }
        Ok(problems)
    }

    /// Whether a row may lie here: a track's that belongs here by the key of its id, or was here before a split and is dead.
    fn may_hold(&self, ordinal: u32, key: u64) -> bool {
        self.owns(slot_of_key(key)) || self.is_elsewhere(ordinal)
    }

    fn check_tracks(&self, id: u32, sealed: &SealedTracks, problems: &mut Vec<(u32, String)>) -> Result<()> {
        sealed.for_each_hot(|offset, ordinal, track_key, recording_key, hot| {
            let fault = match sealed.row(offset) {
                Err(error) => error.to_string(),
                Ok(_) if ordinal >= self.ordinals() => "ordinal that was never given".to_owned(),
                Ok(row) if key_of(row.track.track_id.as_str()) != track_key => {
                    "record of another track than its column says".to_owned()
                }
                Ok(row) if row.recording_key() != recording_key => {
                    "record of another recording than its column says".to_owned()
                }
                Ok(_) if !self.may_hold(ordinal, track_key) => {
                    "record of a track of another shard".to_owned()
                }
                Ok(row) if row.deleted == hot.live => "record disagrees about being deleted".to_owned(),
                Ok(_) => return,
            };
            problems.push((id, format!("{fault}. row=`{offset}`, ordinal=`{ordinal}`")));
        })
    }
}
