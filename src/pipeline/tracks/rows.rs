//! Vectors of several tracks beside each other, to be compared by direction.

use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::vectors::UnitRows;
use crate::storage::track_shard::holder;
use crate::types::{GenerationId, SpaceName, TrackRef};

impl Reader<'_> {
    /// Unit vectors of tracks, in their order; absent rows for those without one. The space is looked up once.
    ///
    /// # Errors
    /// Those of the nodes that were asked.
    pub fn unit_rows(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        tracks: &[TrackRef],
    ) -> Result<UnitRows<'_>> {
        let dim = self.tracks.dim(space, generation).unwrap_or(1);
        let mut rows = UnitRows::with_capacity(dim as usize, tracks.len());
        if let Some(views) = self.tracks.all_here() {
            let sets: Vec<_> = views.iter().map(|view| view.set(space, generation)).collect();
            let find = |track: &TrackRef| {
                let set = holder(views, *track).and_then(|place| sets[place]);
                set.and_then(|set| set.vector(track.ordinal.0))
            };
            tracks.iter().for_each(|track| rows.push(find(track)));
            return Ok(rows);
        }
        self.expect_vectors(space, generation, tracks.iter().copied())?;
        tracks.iter().for_each(|track| rows.push(self.vector(space, generation, *track)));
        Ok(rows)
    }
}
