//! What a track shard's log entries say.
#![expect(missing_docs, reason = "rkyv derives undocumented twins of enum fields")]

use rkyv::{Archive, Deserialize, Serialize};
use segue_storage_format::SegmentEntry;

use crate::types::{GenerationId, Metric, SpaceName, Track, TrackId};

/// One entry of a track shard's log. Applied in order, the same way on every replica.
#[derive(Debug, Clone, PartialEq, Archive, Serialize, Deserialize)]
pub enum TrackCommand {
    /// Adds or replaces tracks.
    UpsertTracks {
        /// The rows.
        tracks: Vec<Track>,
        /// The bulk load these rows belong to, if any.
        load: Option<LoadMark>,
    },
    /// Takes tracks down; their ordinals stay theirs.
    DeleteTracks {
        /// Which.
        ids: Vec<TrackId>,
    },
    /// Adds or replaces vectors of tracks that exist; rows of unknown tracks are refused one by one.
    UpsertVectors {
        /// Which set.
        set: VectorSetSpec,
        /// Row owners.
        ids: Vec<TrackId>,
        /// `[ids.len(), set.dim]`, row-major.
        rows: Vec<f32>,
    },
    /// Removes vectors.
    DeleteVectors {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// Row owners.
        ids: Vec<TrackId>,
    },
    /// Forgets all vectors of a generation.
    DropGeneration {
        /// Which; never `STATIC`.
        generation: GenerationId,
    },
    /// Freezes everything that grows, so that it can be written to files: the state at this entry is the next
    /// checkpoint.
    Seal,
    /// Makes finished segment files live.
    AddSegments {
        /// The files, already durable in the shard's folder.
        segments: Vec<NewSegment>,
        /// What they take the place of.
        origin: SegmentOrigin,
        /// The bulk load this completes, if any.
        load: Option<LoadMark>,
    },
    /// Sets segment numbers aside for files about to be built; the reply's count is the first of them.
    ReserveSegments {
        /// How many.
        count: u32,
    },
    /// Notes how far a bulk load has come.
    MarkLoad {
        /// The load.
        load: LoadMark,
    },
}

/// How far a bulk load has come.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LoadMark {
    /// The load's id.
    pub load_id: String,
    /// Rows that need not be sent again.
    pub rows_done: u64,
    /// Whether the load is complete: searchable and indexed.
    pub finished: bool,
}

/// A set of vectors: one space in one generation.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct VectorSetSpec {
    /// The space.
    pub space: SpaceName,
    /// The generation; `STATIC` for spaces without.
    pub generation: GenerationId,
    /// Components a row.
    pub dim: u32,
    /// Metrics it is indexed by.
    pub metrics: Vec<Metric>,
}

/// Segment files about to go live.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NewSegment {
    /// The files as the manifest will list them.
    pub entry: SegmentEntry,
    /// For vector segments, the set they belong to.
    pub set: Option<VectorSetSpec>,
}

/// What new segment files take the place of.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum SegmentOrigin {
    /// The frozen segments of the same ids, frozen by the `Seal` entry at this log index.
    Sealed(u64),
    /// The live rows of these segments.
    Merged(Vec<u64>),
    /// Nothing: a bulk load; its rows replace older ones of the same tracks.
    Loaded,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum TrackReply {
    /// Done; how many rows it touched (upserted, deleted, found).
    Done(u64),
    /// Nothing was changed: the row at this position names a track that does not exist.
    UnknownTrack {
        /// 0-based row of the command.
        row: u64,
    },
    /// Nothing was changed: the set has another dimension.
    WrongDim {
        /// The set's dimension.
        expected: u32,
    },
    /// Nothing was changed: the segments no longer fit the state (superseded, or never frozen).
    Stale,
}
