//! An immutable version of a track shard, as readers hold it.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::command::LoadMark;
use super::cow::CowVec;
use super::ids::IdMap;
use super::lineage::Lineage;
use super::row::{TrackHot, TrackRow};
use super::segment::{PostingField, TrackBody, TrackSegment};
use super::vectors::VectorSet;
use crate::error::{Error, Result};
use crate::types::{GenerationId, ShardId, SpaceName, TrackId};

/// How many catalogue changes a version remembers one by one.
const CHANGES_MAX: usize = 4_096;

/// One version of a shard's state, after one log entry. Cloning shares everything.
#[derive(Clone)]
pub struct TrackView {
    /// Which shard.
    pub shard: ShardId,
    /// How many track shards the database was created with.
    pub shards: u16,
    /// What it knows of splits; `None` of a shard that was never split, and is no other's child.
    pub(super) lineage: Option<Arc<Lineage>>,
    /// The entry with which it began with files of another shard; 0 of one that did not, or was read from a checkpoint since.
    pub(super) inherited_at: u64,
    /// The last applied entry's index.
    pub applied_index: u64,
    /// The last applied entry's term.
    pub applied_term: u64,
    /// Counts versions of the catalogue rows; vectors do not change it.
    pub epoch: u64,
    /// Catalogue segments, oldest first; at most the last one grows.
    pub segments: Vec<TrackSegment>,
    /// Vector sets, by space and generation.
    pub sets: BTreeMap<(SpaceName, GenerationId), VectorSet>,
    /// Bulk loads under way or done.
    pub loads: Arc<BTreeMap<String, LoadMark>>,
    pub(super) hot: CowVec<TrackHot>,
    /// Recording number → one of its tracks.
    pub(super) recordings: CowVec<u32>,
    /// Recording number → key of its id; kept only where other shards may have versions of it.
    pub(super) recording_keys: CowVec<u64>,
    pub(super) ids: Arc<IdMap>,
    pub(super) recording_ids: Arc<IdMap>,
    pub(super) changes: Changes,
    pub(super) next_segment: u64,
    pub(super) live: u64,
}

/// The last catalogue changes: enough to bring something derived from an earlier epoch up to date.
#[derive(Clone, Default)]
pub(super) struct Changes {
    /// Every change after this epoch is in `list`.
    complete_after: u64,
    list: Arc<Vec<(u64, u32)>>,
}

impl Changes {
    /// Nothing known before `epoch`.
    pub(super) fn starting_after(epoch: u64) -> Self {
        Self { complete_after: epoch, list: Arc::default() }
    }

    /// Notes that `ordinals` changed in `epoch`.
    pub(super) fn note(&mut self, epoch: u64, ordinals: &[u32]) {
        let list = Arc::make_mut(&mut self.list);
        if list.len() + ordinals.len() > CHANGES_MAX {
            list.clear();
            self.complete_after = epoch - 1;
        }
        if ordinals.len() > CHANGES_MAX {
            self.complete_after = epoch;
        } else {
            list.extend(ordinals.iter().map(|&ordinal| (epoch, ordinal)));
        }
    }
}

impl TrackView {
    /// Bytes of the files of its segments.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let tracks = self.segments.iter().filter_map(|segment| segment.files());
        let vectors = self.sets.values().flat_map(|set| &set.segments).filter_map(|segment| segment.files());
        tracks.chain(vectors).flat_map(|entry| entry.all_files()).map(|file| file.len).sum()
    }

    /// A shard in which nothing was ever written.
    pub(super) fn empty(shard: ShardId, shards: u16) -> Self {
        Self {
            shard,
            shards,
            lineage: None,
            inherited_at: 0,
            applied_index: 0,
            applied_term: 0,
            epoch: 0,
            segments: Vec::new(),
            sets: BTreeMap::new(),
            loads: Arc::default(),
            hot: CowVec::default(),
            recordings: CowVec::default(),
            recording_keys: CowVec::default(),
            ids: Arc::default(),
            recording_ids: Arc::default(),
            changes: Changes::default(),
            next_segment: 1,
            live: 0,
        }
    }

    /// One past the largest ordinal given so far.
    pub fn ordinals(&self) -> u32 {
        u32::try_from(self.hot.len()).expect("ordinals are u32")
    }

    /// Tracks that exist and are not taken down.
    pub fn live_tracks(&self) -> u64 {
        self.live
    }

    /// The facts in memory; of an ordinal never given, [`TrackHot::ABSENT`].
    pub fn hot(&self, ordinal: u32) -> TrackHot {
        self.hot.get(ordinal as usize).copied().unwrap_or(TrackHot::ABSENT)
    }

    /// Where [`TrackView::hot`] reads: what to ask memory for before.
    pub fn hot_place(&self, ordinal: u32) -> Option<&TrackHot> {
        self.hot.get(ordinal as usize)
    }

    /// The facts of every ordinal, in order.
    pub fn all_hot(&self) -> impl Iterator<Item = &TrackHot> {
        self.hot.iter()
    }

    /// The ordinal an id was given, whether or not the track still exists.
    pub fn ordinal_of(&self, id: &str) -> Option<u32> {
        self.ids.find(id, |ordinal| self.id_is(ordinal, id)).filter(|&ordinal| ordinal < self.ordinals())
    }

    /// The ordinal of a track that exists.
    pub fn find(&self, id: &TrackId) -> Option<u32> {
        self.ordinal_of(id.as_str()).filter(|&ordinal| self.hot(ordinal).live)
    }

    fn id_is(&self, ordinal: u32, id: &str) -> bool {
        self.row(ordinal).is_ok_and(|row| row.track.track_id.as_str() == id)
    }

    /// The newest row of an ordinal, taken-down tracks included.
    pub fn row(&self, ordinal: u32) -> Result<Arc<TrackRow>> {
        let hot = self.hot(ordinal);
        self.track_segment(hot.segment)?.row(hot.offset)
    }

    fn track_segment(&self, id: u32) -> Result<&TrackSegment> {
        self.segments
            .binary_search_by_key(&id, |segment| segment.id)
            .ok()
            .and_then(|at| self.segments.get(at))
            .ok_or_else(|| Error::Internal(format!("a track points at no segment. segment=`{id}`")))
    }

    /// Adds every genre that the shard's tracks name. Cost: one pass over the genres' keys and the growing rows.
    pub fn genres(&self, genres: &mut std::collections::BTreeSet<u64>) -> Result<()> {
        for segment in &self.segments {
            match &segment.body {
                TrackBody::Memory(rows) => {
                    genres.extend(rows.iter().flat_map(|row| &row.genres).map(|(genre, _)| genre.0));
                }
                TrackBody::Sealed(sealed) => genres.extend(sealed.keys(PostingField::Genre)?),
            }
        }
        Ok(())
    }

    /// All tracks of the recording that `ordinal` belongs to, itself first.
    pub fn versions(&self, ordinal: u32) -> impl Iterator<Item = u32> + '_ {
        let mut next = Some(ordinal);
        std::iter::from_fn(move || {
            let now = next?;
            let sibling = self.hot(now).sibling;
            next = (sibling != ordinal && sibling != u32::MAX).then_some(sibling);
            Some(now)
        })
    }

    /// Ordinals of the tracks posted under `key`, newest rows only.
    pub fn postings(&self, field: PostingField, key: u64) -> Result<RoaringBitmap> {
        let mut out = RoaringBitmap::new();
        for segment in &self.segments {
            segment.postings(field, key, &mut out)?;
        }
        Ok(out)
    }

    /// The set of a space in a generation.
    pub fn set(&self, space: &SpaceName, generation: GenerationId) -> Option<&VectorSet> {
        // A BTreeMap key of two owned parts cannot be looked up by reference; the map is tiny.
        self.sets
            .iter()
            .find(|((name, number), _)| name == space && *number == generation)
            .map(|(_, set)| set)
    }

    /// The ordinals whose rows changed after `epoch`; `None` when that is no longer known one by one.
    pub fn changed_since(&self, epoch: u64) -> Option<impl Iterator<Item = u32> + '_> {
        (epoch >= self.changes.complete_after).then(|| {
            let start = self.changes.list.partition_point(|(at, _)| *at <= epoch);
            self.changes.list[start..].iter().map(|&(_, ordinal)| ordinal)
        })
    }
}
