//! How much a shard holds. What it still holds of slots that it has given away is another shard's, and not counted for who asks about
//! the others ([`UserShard::within`]).

use super::{error::Result, question::Figures, shard::UserShard, split::SplitState, vectors};
use crate::types::{GenerationId, SpaceName};

impl UserShard {
    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> u64 {
        let inner = self.inner();
        let (row, split) = &*inner.now.read();
        row.users.saturating_sub(split.given(self.end).map_or(0, |(users, _)| users))
    }

    /// The newest day (since the epoch) with a counted play; which days of counts are kept follows from it.
    #[must_use]
    pub fn newest_day(&self) -> Option<i32> {
        self.row().newest_day
    }

    /// Spaces and generations there are vectors of: dimension and rows.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn generations(&self) -> Result<Vec<(SpaceName, GenerationId, u32, u64)>> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let split = SplitState::read(&snapshot)?;
        let live = vectors::generations(&snapshot)?.into_iter().filter(|(_, _, row)| !row.dropped);
        let counted = live.map(|(space, id, row)| {
            let rows = row.rows.saturating_sub(split.given_vectors(self.end, &space, id));
            (space, GenerationId(id), row.dim, rows)
        });
        Ok(counted.collect())
    }

    /// How many users have a vector.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn vector_count(&self, space: &SpaceName, generation: GenerationId) -> Result<u64> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let rows = vectors::row_of(&snapshot, space, generation)?.map_or(0, |row| row.rows);
        Ok(rows.saturating_sub(SplitState::read(&snapshot)?.given_vectors(self.end, space, generation.0)))
    }

    /// How much the shard holds.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn figures(&self) -> Result<Figures> {
        Ok(Figures {
            applied: self.applied().index,
            users: self.user_count(),
            newest_day: self.newest_day(),
            generations: self.generations()?,
            statistics: self.statistics_version(),
            bytes: self.disk_bytes(),
        })
    }
}
