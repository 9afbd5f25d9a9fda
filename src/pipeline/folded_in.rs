//! The vector last solved for a listener, kept beside what is derived of them.

use parking_lot::Mutex;

use super::reader::Reader;
use crate::types::{GenerationId, ShardId};

/// What a solved vector depends on besides the listener's state: the generation, and of each track shard which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Basis(GenerationId, Vec<(ShardId, u64)>);

impl Basis {
    pub(super) fn of(reader: &Reader<'_>, generation: GenerationId) -> Self {
        Self(generation, reader.tracks.versions())
    }
}

/// See the module; `None` is kept, too, of whom nothing can be solved.
#[derive(Default)]
pub struct FoldedIn(Mutex<Option<(Basis, Option<Vec<f32>>)>>);

impl FoldedIn {
    /// What was solved on this very basis.
    pub(super) fn find(&self, basis: &Basis) -> Option<Option<Vec<f32>>> {
        let kept = self.0.lock();
        kept.as_ref().filter(|(of, _)| of == basis).map(|(_, vector)| vector.clone())
    }

    #[cfg(test)]
    pub(super) fn is_kept(&self) -> bool {
        self.0.lock().is_some()
    }

    pub(super) fn keep(&self, basis: Basis, vector: Option<Vec<f32>>) {
        *self.0.lock() = Some((basis, vector));
    }
}
