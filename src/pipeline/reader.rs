//! What a request reads: one immutable version of everything, taken once at its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::listener::ListenerCache;
use super::prior::PriorCache;
use super::recipe::RecipeBook;
use super::retrieve::{IndexHeads, LiveRecall, Searchers};
use super::sources::trending::TrendCache;
use super::sources::{ReleaseCache, ShelfCache};
use super::statistics::{Statistics, StatisticsCache};
use super::tracks::TrackShards;
use crate::error::Result;
use crate::filter::RuleCache;
use crate::storage::meta::{GramData, MetaState};
use crate::storage::user_shard::{Missing, UserShards};
use crate::types::{Deadline, GenerationId};

/// Memory that requests share: nothing in it decides an answer, only how soon it comes.
#[derive(Default)]
pub struct Caches {
    /// Hard rules as bits.
    pub rules: RuleCache,
    /// Opened indexes.
    pub heads: IndexHeads,
    /// Searches to be checked for recall.
    pub recall: LiveRecall,
    /// What was derived of active listeners.
    pub listeners: ListenerCache,
    /// Mean vectors of listeners by region and age band.
    pub priors: PriorCache,
    /// Popularity and trend by region.
    pub trends: TrendCache,
    /// Recipes and Gram data of the newest meta state that was read.
    pub meta: MetaCache,
    /// New releases of the day.
    pub releases: ReleaseCache,
    /// Popular tracks by genre.
    pub shelves: ShelfCache,
    /// What was learnt from all listeners.
    pub statistics: StatisticsCache,
    /// Version of the catalogue, and how many genres there are then.
    taxonomy: Mutex<Option<(u64, usize)>>,
}

/// What requests need of the meta group's state, in the form they need it in.
pub struct MetaRead {
    /// Stored and built-in recipes.
    pub recipes: Arc<RecipeBook>,
    /// What fold-in needs, by generation.
    pub grams: BTreeMap<GenerationId, Arc<GramData>>,
}

/// The last [`MetaRead`] and the state it was made from.
#[derive(Default)]
pub struct MetaCache {
    last: Mutex<Option<(Arc<MetaState>, Arc<MetaRead>)>>,
}

impl MetaCache {
    /// What `make` makes of this very state; kept until another state is asked for.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn read(
        &self,
        state: &Arc<MetaState>,
        make: impl FnOnce(&MetaState) -> Result<MetaRead>,
    ) -> Result<Arc<MetaRead>> {
        if let Some((of, read)) = &*self.last.lock()
            && Arc::ptr_eq(of, state)
        {
            return Ok(Arc::clone(read));
        }
        let read = Arc::new(make(state)?);
        *self.last.lock() = Some((Arc::clone(state), Arc::clone(&read)));
        Ok(read)
    }
}

/// One version of everything a request reads.
pub struct Reader<'a> {
    /// The track shards.
    pub tracks: TrackShards,
    /// The listeners.
    pub users: &'a UserShards,
    /// User shards on other nodes that did not answer while something was made that can do without them.
    pub missing: Missing,
    /// Stored and built-in recipes.
    pub recipes: Arc<RecipeBook>,
    /// The generation vectors are compared in; absent when none is active.
    pub generation: Option<GenerationId>,
    /// What was learnt from all listeners; empty before the first pass over them.
    pub statistics: Arc<Statistics>,
    /// Statistics are there, and cannot be read.
    pub statistics_unreadable: bool,
    /// What fold-in needs in that generation.
    pub gram: Option<Arc<GramData>>,
    /// The key impression tokens are signed with.
    pub impression_key: [u8; 32],
    /// Whether listeners' hard rules hold; only evaluation switches them off.
    pub rules: bool,
    /// Until when the caller waits: looked at between stages and segments.
    pub deadline: Deadline,
    /// Shared memory.
    pub caches: &'a Caches,
    /// Threads that sources are divided among.
    pub searchers: &'a Searchers,
    /// Applied log index of each group read.
    pub applied: Vec<(String, u64)>,
}

impl Reader<'_> {
    /// How many genres the catalogue names.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn taxonomy_size(&self) -> Result<usize> {
        let epoch = self.catalogue_epoch();
        if let Some((of, size)) = *self.caches.taxonomy.lock()
            && of == epoch
        {
            return Ok(size);
        }
        let size = self.count_genres()?;
        if self.is_whole() {
            *self.caches.taxonomy.lock() = Some((epoch, size));
        }
        Ok(size)
    }

    /// Which version of the catalogue this is: another number for every other.
    #[must_use]
    pub fn catalogue_epoch(&self) -> u64 {
        self.tracks.epoch()
    }
}
