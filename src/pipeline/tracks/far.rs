//! A track shard on other nodes, as one request sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::{FetchedVectors, Heard};
use super::plain::{Brief, PlainRow};
use super::question::{TrackAnswer, TrackQuestion};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::track_shard::Outline;
use crate::storage::track_shard::row::TrackRow;
use crate::types::{Deadline, GenerationId, SpaceName};

/// Asks track shards that are on other nodes.
pub trait TracksElsewhere: Send + Sync {
    /// Has one of those who hold a shard answer.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Exhausted` when nobody can be asked in time; others as they were there.
    fn ask(&self, shard: u16, question: &TrackQuestion, deadline: Deadline) -> Result<TrackAnswer>;
}

/// A shard that is asked, and what it said so far.
pub(super) struct FarShard {
    pub(super) outline: Outline,
    asks: Option<Arc<dyn TracksElsewhere>>,
    /// It could not be asked, and is not asked again.
    is_silent: AtomicBool,
    briefs: Heard<Brief>,
    rows: Heard<Option<Arc<TrackRow>>>,
    vectors: FetchedVectors,
}

impl FarShard {
    /// `None`: there is nobody to ask.
    pub(super) fn new(outline: Outline, asks: Option<Arc<dyn TracksElsewhere>>) -> Self {
        Self {
            outline,
            is_silent: asks.is_none().into(),
            asks,
            briefs: Heard::default(),
            rows: Heard::default(),
            vectors: FetchedVectors::default(),
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    pub(super) fn dim(&self, space: &SpaceName, generation: GenerationId) -> Option<u32> {
        self.outline.set(space, generation).map(|set| set.dim)
    }

    /// Asks, unless the shard could not be asked before: then, and when it cannot be now, `None`.
    ///
    /// # Errors
    /// What is no passing trouble of other nodes; `Internal` for an answer that `read` does not take.
    pub(super) fn ask<T>(
        &self,
        question: &TrackQuestion,
        deadline: Deadline,
        read: impl FnOnce(TrackAnswer) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(asks) = self.asks.as_ref().filter(|_| !self.is_silent()) else { return Ok(None) };
        match asks.ask(self.outline.shard, question, deadline) {
            Ok(answer) => match read(answer) {
                Some(answer) => Ok(Some(answer)),
                None => {
                    let shard = self.outline.shard;
                    Err(Error::Internal(format!("a track shard answered something else. shard=`{shard}`")))
                }
            },
            // The caller waits no longer: that is no fault of the shard.
            Err(_) if deadline.passed() => Err(deadline.error()),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Exhausted
                ) =>
            {
                tracing::debug!(%error, shard = self.outline.shard, "a track shard on other nodes is missing");
                self.is_silent.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn knows_brief(&self, ordinal: u32) -> bool {
        self.briefs.has(ordinal)
    }

    pub(super) fn hear_briefs(&self, briefs: impl IntoIterator<Item = (u32, Brief)>) {
        self.briefs.extend(briefs);
    }

    /// What is kept in memory of a track there; `None` when it cannot be asked for.
    pub(super) fn brief(&self, ordinal: u32, deadline: Deadline) -> Option<Brief> {
        self.briefs.get(ordinal).or_else(|| {
            let brief = self.ask(&TrackQuestion::Briefs(vec![ordinal]), deadline, |answer| match answer {
                TrackAnswer::Briefs(briefs) => <[Brief; 1]>::try_from(briefs).ok().map(|[brief]| brief),
                _ => None,
            });
            let brief = self.or_silent(brief)?;
            self.briefs.extend([(ordinal, brief)]);
            Some(brief)
        })
    }

    pub(super) fn knows_row(&self, ordinal: u32) -> bool {
        self.rows.has(ordinal)
    }

    pub(super) fn hear_rows(&self, rows: impl IntoIterator<Item = (u32, Option<PlainRow>)>) {
        let row =
            |(ordinal, row): (u32, Option<PlainRow>)| (ordinal, row.map(|row| Arc::new(row.of(ordinal))));
        self.rows.extend(rows.into_iter().map(row));
    }

    /// The record of a track there that was heard.
    pub(super) fn row(&self, ordinal: u32) -> Option<Arc<TrackRow>> {
        self.rows.get(ordinal).flatten()
    }

    pub(super) fn vectors(&self) -> &FetchedVectors {
        &self.vectors
    }

    /// Where a look cannot fail: a shard that answers nonsense is one that does not answer.
    fn or_silent<T>(&self, answer: Result<Option<T>>) -> Option<T> {
        answer.unwrap_or_else(|error| {
            tracing::warn!(%error, shard = self.outline.shard, "a track shard on other nodes cannot be used");
            self.is_silent.store(true, Ordering::Relaxed);
            None
        })
    }
}
