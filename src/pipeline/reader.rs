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
use crate::error::{Error, Result};
use crate::filter::RuleCache;
use crate::storage::meta::{GramData, MetaState};
use crate::storage::track_shard::segment::PostingField;
use crate::storage::track_shard::{TrackView, holder, home, versions_in};
use crate::storage::user_shard::{Missing, UserShards};
use crate::types::{Deadline, GenerationId, SpaceName, SplitMix64, TrackId, TrackRef};

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
    /// The track shards' versions, in the order of their slots.
    pub tracks: Vec<Arc<TrackView>>,
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
    /// The version of the shard that a track is in.
    ///
    /// # Errors
    /// `Internal` when no shard of this reader is.
    pub fn view(&self, track: TrackRef) -> Result<&TrackView> {
        let found = self.holder(track);
        found.ok_or_else(|| Error::Internal(format!("no such track shard. shard=`{}`", track.shard)))
    }

    fn holder(&self, track: TrackRef) -> Option<&TrackView> {
        holder(&self.tracks, track).map(|place| &*self.tracks[place])
    }

    /// How many genres the catalogue names.
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
        let mut genres = std::collections::BTreeSet::new();
        for view in &self.tracks {
            view.genres(&mut genres)?;
        }
        let size = genres.len();
        *self.caches.taxonomy.lock() = Some((epoch, size));
        Ok(size)
    }

    /// Which version of the catalogue this is: another number for every other. Of several shards their epochs mixed, not
    /// added: readers that take shards at different moments must not take one version for another.
    #[must_use]
    pub fn catalogue_epoch(&self) -> u64 {
        match &self.tracks[..] {
            [only] => only.epoch,
            several => several.iter().fold(0, |mixed, view| SplitMix64::new(mixed ^ view.epoch).next_u64()),
        }
    }

    /// Where a track that exists is.
    #[must_use]
    pub fn find(&self, id: &TrackId) -> Option<TrackRef> {
        let view = self.home(id)?;
        Some(view.reference(view.find(id)?))
    }

    /// The place an id was given, whether or not the track still exists.
    #[must_use]
    pub fn place_of(&self, id: &TrackId) -> Option<TrackRef> {
        let view = self.home(id)?;
        Some(view.reference(view.ordinal_of(id.as_str())?))
    }

    /// The shard an id is in, if it is anywhere.
    fn home(&self, id: &TrackId) -> Option<&TrackView> {
        home(&self.tracks, id.as_str())
    }

    /// What ties between tracks are decided by, the smaller first: the key of the track's id, which is the same however
    /// many shards there are. Shards own ranges of its top bits, so they stand in its order.
    #[must_use]
    pub fn key(&self, track: TrackRef) -> u64 {
        self.holder(track).map_or(0, |view| view.hot(track.ordinal.0).key)
    }

    /// The first `most` tracks with a posting, by key.
    ///
    /// # Errors
    /// Damaged files.
    pub fn posted(&self, field: PostingField, key: u64, most: usize) -> Result<Vec<TrackRef>> {
        let mut tracks = Vec::new();
        for view in &self.tracks {
            let posted = view.postings(field, key)?;
            tracks.extend(posted.iter().map(|ordinal| (view.hot(ordinal).key, view.reference(ordinal))));
        }
        tracks.sort_unstable();
        Ok(tracks.into_iter().take(most).map(|(_, track)| track).collect())
    }

    /// All versions of a track's recording, itself among them, in all shards.
    pub fn for_each_version(&self, track: TrackRef, mut each: impl FnMut(TrackRef)) {
        for view in &self.tracks {
            versions_in(view, &self.tracks, track, |ordinal| each(view.reference(ordinal)));
        }
    }

    /// A track's vector in a space; of a space with generations, in the request's.
    #[must_use]
    pub fn vector(&self, space: &SpaceName, generation: GenerationId, track: TrackRef) -> Option<&[f32]> {
        self.holder(track)?.set(space, generation)?.vector(track.ordinal.0)
    }
}
