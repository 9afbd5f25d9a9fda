//! What a track shard's log entries say.
#![expect(missing_docs, reason = "rkyv derives undocumented twins of enum fields")]

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};
use segue_storage_format::SegmentEntry;

pub use super::splitting::{Inheritance, TrackSplitOp};
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
    /// A step of a split; in a box, so that other entries keep their bytes. Since version 2.
    Split(Box<TrackSplitOp>),
}

impl TrackCommand {
    /// The segments that it makes live.
    #[must_use]
    pub fn new_segments(&self) -> &[NewSegment] {
        match self {
            Self::AddSegments { segments, .. } => segments,
            Self::Split(step) => match &**step {
                TrackSplitOp::Inherit(inheritance) => &inheritance.segments,
                TrackSplitOp::Freeze { .. } | TrackSplitOp::Release { .. } => &[],
            },
            _ => &[],
        }
    }

    /// Whether slots may be another shard's from this entry on.
    pub(super) fn gives_slots_up(&self) -> bool {
        matches!(self, Self::Split(step) if matches!(**step, TrackSplitOp::Release { .. }))
    }

    /// What each shard gets of a command that met a split; with each part the places of its rows here. `place_of` says where a
    /// track belongs now, `heirs` are the places of all shards whose slots were those of the one that refused it: how far a load has come
    /// is said to all of these. `None` for a command that cannot be divided.
    pub fn divided(
        self,
        place_of: &dyn Fn(&TrackId) -> usize,
        heirs: &[usize],
    ) -> Option<Vec<(usize, Vec<u64>, Self)>> {
        Some(match self {
            Self::UpsertTracks { tracks, load } => {
                let marked = if load.is_some() { heirs } else { &[] };
                let parts = by_place(tracks, marked, |track| place_of(&track.track_id));
                let command = |tracks| Self::UpsertTracks { tracks, load: load.clone() };
                parts.map(|(place, rows, tracks)| (place, rows, command(tracks))).collect()
            }
            Self::MarkLoad { load } => {
                let mark = |place: &usize| (*place, Vec::new(), Self::MarkLoad { load: load.clone() });
                heirs.iter().map(mark).collect()
            }
            Self::DeleteTracks { ids } => by_place(ids, &[], place_of)
                .map(|(place, rows, ids)| (place, rows, Self::DeleteTracks { ids }))
                .collect(),
            Self::DeleteVectors { space, generation, ids } => {
                let command = |ids| Self::DeleteVectors { space: space.clone(), generation, ids };
                let parts = by_place(ids, &[], place_of);
                parts.map(|(place, rows, ids)| (place, rows, command(ids))).collect()
            }
            Self::UpsertVectors { set, ids, rows } => {
                let dim = set.dim as usize;
                let vector = |row: &u64| {
                    let first = usize::try_from(*row).unwrap_or(usize::MAX).saturating_mul(dim);
                    rows.get(first..first.saturating_add(dim)).unwrap_or_default()
                };
                let command = |own: &[u64], ids| {
                    let rows = own.iter().flat_map(vector).copied().collect();
                    Self::UpsertVectors { set: set.clone(), ids, rows }
                };
                let parts = by_place(ids, &[], place_of).map(|(place, own, ids)| {
                    let command = command(&own, ids);
                    (place, own, command)
                });
                parts.collect()
            }
            Self::DropGeneration { .. }
            | Self::Seal
            | Self::AddSegments { .. }
            | Self::ReserveSegments { .. }
            | Self::Split(_) => return None,
        })
    }
}

/// Items by their place, each with its number among all; some places in any case.
fn by_place<T>(
    items: Vec<T>,
    places: &[usize],
    place_of: impl Fn(&T) -> usize,
) -> impl Iterator<Item = (usize, Vec<u64>, Vec<T>)> {
    let mut parts: BTreeMap<usize, (Vec<u64>, Vec<T>)> =
        places.iter().map(|place| (*place, Default::default())).collect();
    for (row, item) in (0..).zip(items) {
        let (rows, part) = parts.entry(place_of(&item)).or_default();
        rows.push(row);
        part.push(item);
    }
    parts.into_iter().map(|(place, (rows, part))| (place, rows, part))
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
    /// Nothing was changed: the shard is giving slots of it away, or has done so. It is to be divided again. Since version 2.
    Moved,
    /// Nothing was changed, for this reason. Since version 2.
    Refused(String),
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<TrackId> {
        names.iter().map(|name| TrackId::new(*name).unwrap()).collect()
    }

    #[test]
    fn a_refused_command_is_divided_with_the_places_of_its_rows() {
        let space = SpaceName::new("audio").unwrap();
        let spec =
            VectorSetSpec { space, generation: GenerationId(0), dim: 2, metrics: vec![Metric::Cosine] };
        let place_of = |id: &TrackId| usize::from(id.as_str() > "m") + 3;
        let vectors = |names: &[&str], rows: &[f32]| {
            let (set, ids, rows) = (spec.clone(), ids(names), rows.to_vec());
            TrackCommand::UpsertVectors { set, ids, rows }
        };
        let whole = vectors(&["z", "a", "y"], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let expected = vec![
            (3, vec![1], vectors(&["a"], &[3.0, 4.0])),
            (4, vec![0, 2], vectors(&["z", "y"], &[1.0, 2.0, 5.0, 6.0])),
        ];
        assert_eq!(whole.divided(&place_of, &[3, 4]), Some(expected));
        // How far a load has come is said to all, whether they have rows of it or not.
        let load = LoadMark { load_id: "l".to_owned(), rows_done: 9, finished: false };
        let track = Track::new(TrackId::new("a").unwrap(), "A", Vec::new());
        let upsert = |tracks: Vec<Track>| TrackCommand::UpsertTracks { tracks, load: Some(load.clone()) };
        let expected = vec![(3, vec![0], upsert(vec![track.clone()])), (4, vec![], upsert(Vec::new()))];
        assert_eq!(upsert(vec![track]).divided(&place_of, &[3, 4]), Some(expected));
        let mark = || TrackCommand::MarkLoad { load: load.clone() };
        let expected = vec![(3, vec![], mark()), (4, vec![], mark())];
        assert_eq!(mark().divided(&place_of, &[3, 4]), Some(expected));
        assert_eq!(TrackCommand::Seal.divided(&place_of, &[3, 4]), None);
    }
}
