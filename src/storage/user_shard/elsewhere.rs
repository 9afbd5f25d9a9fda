//! Shards on other nodes, as a shard's readers see them.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{Result, UserShardError};
use super::question::{Figures, UserAnswer, UserQuestion};
use crate::error::ErrorKind;

/// Asks shards that are on other nodes.
pub trait Elsewhere: Send + Sync {
    /// Has one of those who hold a shard answer, from a state that contains everything acknowledged before this call.
    ///
    /// # Errors
    /// [`UserShardError::Elsewhere`].
    fn ask(&self, shard: usize, question: &UserQuestion) -> Result<UserAnswer>;

    /// How much a shard holds, as of a moment ago; `None` before anything was heard of it.
    fn figures(&self, shard: usize) -> Option<Arc<Figures>>;

    /// The statistics the first shard keeps, as of a moment ago; the same allocation until there are others.
    fn statistics(&self) -> Option<Arc<[u8]>>;
}

/// Shards that did not answer while something was made that can do without them, so that it can be said.
#[derive(Debug, Default)]
pub struct Missing(Mutex<BTreeSet<usize>>);

impl Missing {
    /// Takes note of a shard that could not be asked.
    ///
    /// # Errors
    /// What is not a passing trouble of another node.
    pub(super) fn note(&self, shard: usize, error: UserShardError) -> Result<()> {
        match error {
            UserShardError::Elsewhere { source }
                if matches!(
                    source.kind(),
                    ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Exhausted
                ) =>
            {
                self.0.lock().insert(shard);
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Whether all have answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Those that have not, in order.
    #[must_use]
    pub fn shards(&self) -> Vec<usize> {
        self.0.lock().iter().copied().collect()
    }
}
