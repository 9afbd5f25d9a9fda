//! What a request reads: one immutable version of everything, taken once at its start.

use std::sync::Arc;

use parking_lot::Mutex;

use super::listener::ListenerCache;
use super::recipe::RecipeBook;
use super::retrieve::IndexHeads;
use super::sources::trending::TrendCache;
use super::sources::{ReleaseCache, ShelfCache};
use super::statistics::{Statistics, StatisticsCache};
use crate::error::{Error, Result};
use crate::filter::RuleCache;
use crate::storage::meta::GramData;
use crate::storage::track_shard::TrackView;
use crate::storage::user_shard::UserShard;
use crate::types::{GenerationId, ShardId, SpaceName, TrackId, TrackOrdinal, TrackRef};

/// Memory that requests share: nothing in it decides an answer, only how soon it comes.
#[derive(Default)]
pub struct Caches {
    /// Hard rules as bits.
    pub rules: RuleCache,
    /// Opened indexes.
    pub heads: IndexHeads,
    /// What was derived of active listeners.
    pub listeners: ListenerCache,
    /// Popularity and trend by region.
    pub trends: TrendCache,
    /// New releases of the day.
    pub releases: ReleaseCache,
    /// Popular tracks by genre.
    pub shelves: ShelfCache,
    /// What was learnt from all listeners.
    pub statistics: StatisticsCache,
    /// Sum of the shards' catalogue epochs, and how many genres there are then.
    taxonomy: Mutex<Option<(u64, usize)>>,
}

/// One version of everything a request reads.
pub struct Reader<'a> {
    /// The track shards' versions.
    pub tracks: Vec<Arc<TrackView>>,
    /// The listener's shard.
    pub users: &'a UserShard,
    /// Stored and built-in recipes.
    pub recipes: Arc<RecipeBook>,
    /// The generation vectors are compared in; absent when none is active.
    pub generation: Option<GenerationId>,
    /// What was learnt from all listeners; empty before the first pass over them.
    pub statistics: Arc<Statistics>,
    /// What fold-in needs in that generation.
    pub gram: Option<Arc<GramData>>,
    /// The key impression tokens are signed with.
    pub impression_key: [u8; 32],
    /// Whether listeners' hard rules hold; only evaluation switches them off.
    pub rules: bool,
    /// Shared memory.
    pub caches: &'a Caches,
    /// Applied log index of each group read.
    pub applied: Vec<(String, u64)>,
}

impl Reader<'_> {
    /// The version of a track shard.
    ///
    /// # Errors
    /// `Internal` when the shard is not part of this reader.
    pub fn view(&self, shard: ShardId) -> Result<&TrackView> {
        let found = self.tracks.iter().find(|view| view.shard == shard);
        found
            .map(|view| &**view)
            .ok_or_else(|| Error::Internal(format!("no such track shard. shard=`{shard}`")))
    }

    /// How many genres the catalogue names, on the shard that names most.
    ///
    /// # Errors
    /// Damaged files.
    pub fn taxonomy_size(&self) -> Result<usize> {
        let epoch = self.catalogue_epoch();
        if let Some((of, size)) = *self.caches.taxonomy.lock()
            && of == epoch
        {
            return Ok(size);
        }
        let mut size = 0;
        for view in &self.tracks {
            size = size.max(view.genre_count()?);
        }
        *self.caches.taxonomy.lock() = Some((epoch, size));
        Ok(size)
    }

    /// Counts versions of the catalogue over all shards.
    #[must_use]
    pub fn catalogue_epoch(&self) -> u64 {
        self.tracks.iter().map(|view| view.epoch).sum()
    }

    /// Where a track that exists is.
    #[must_use]
    pub fn find(&self, id: &TrackId) -> Option<TrackRef> {
        self.tracks.iter().find_map(|view| {
            view.find(id).map(|ordinal| TrackRef { shard: view.shard, ordinal: TrackOrdinal(ordinal) })
        })
    }

    /// A track's vector in a space; of a space with generations, in the request's.
    #[must_use]
    pub fn vector(&self, space: &SpaceName, generation: GenerationId, track: TrackRef) -> Option<&[f32]> {
        let view = self.tracks.iter().find(|view| view.shard == track.shard)?;
        view.set(space, generation)?.vector(track.ordinal.0)
    }
}
