//! Vector sets: one space in one generation, in segments of their own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use roaring::RoaringBitmap;
use segue_storage_format::{
    BlockFile, ColumnFile, ColumnFileWriter, FileEntry, IndexPart, SegmentEntry, SegmentKind, VectorFile,
    VectorFileWriter, Verify, manifest::segment_folder,
};

use super::command::VectorSetSpec;
use super::cow::CowVec;
use super::dead::DeadRows;
pub use super::growing::{GrowingVectors, VectorChunk};
use super::shard::Opening;
use crate::error::{Error, Result};
use crate::storage::error::damaged;
use crate::types::Metric;

/// File of the full-precision vectors in a vector segment's folder.
pub const VECTORS: &str = "vectors.seg";
/// File of the offset → ordinal column in a vector segment's folder.
pub const ROWS: &str = "rows.seg";

/// Name of the file with the quantised codes for one metric.
pub fn codes_file(metric: Metric) -> String {
    format!("codes-{metric}.seg")
}

/// Name of the file with the graph for one metric.
pub fn graph_file(metric: Metric) -> String {
    format!("graph-{metric}.seg")
}

/// Where a vector segment's rows are.
#[derive(Clone)]
pub enum VectorBody {
    /// In memory.
    Memory(GrowingVectors),
    /// In files.
    Sealed(Arc<SealedVectors>),
}

/// One vector segment as a version of the shard sees it.
#[derive(Clone)]
pub struct VectorSegment {
    /// Its number.
    pub id: u32,
    /// Whether rows may still be appended.
    pub growing: bool,
    /// Its rows.
    pub body: VectorBody,
    /// Rows that newer rows have replaced or that were deleted, by offset.
    pub dead: Arc<DeadRows>,
}

impl VectorSegment {
    /// Number of rows, dead ones included.
    pub fn rows(&self) -> usize {
        match &self.body {
            VectorBody::Memory(rows) => rows.rows(),
            VectorBody::Sealed(sealed) => sealed.vectors.rows(),
        }
    }

    /// Its files, once it has some.
    pub fn files(&self) -> Option<&SegmentEntry> {
        match &self.body {
            VectorBody::Memory(_) => None,
            VectorBody::Sealed(sealed) => Some(&sealed.entry),
        }
    }

    /// The row at `offset`.
    pub fn row(&self, offset: u32) -> Option<&[f32]> {
        match &self.body {
            VectorBody::Memory(rows) => rows.row(offset),
            VectorBody::Sealed(sealed) => sealed.vectors.get(offset as usize),
        }
    }
}

/// A sealed vector segment: mapped vectors, their owners, and an index for each metric (none when it is too small to
/// be worth one: it is scanned).
pub struct SealedVectors {
    /// The files, as the manifest lists them.
    pub entry: SegmentEntry,
    /// `[rows, dim]`.
    pub vectors: VectorFile,
    /// The indexes by metric.
    pub indexes: Vec<IndexFiles>,
    rows: ColumnFile,
    in_order: bool,
    places: Option<Vec<u32>>,
}

/// The two files of one metric's index.
pub struct IndexFiles {
    /// The metric.
    pub metric: Metric,
    /// Quantised codes.
    pub codes: BlockFile,
    /// Links. While [`IndexFiles::is_sound`] is false, whoever reads them checks the rows they use.
    pub graph: BlockFile,
    sound: AtomicBool,
}

impl IndexFiles {
    /// Whether all of the graph was checked: for damage, and that every link leads to a node.
    pub fn is_sound(&self) -> bool {
        self.sound.load(Ordering::Acquire)
    }

    /// Notes that it was.
    pub fn set_sound(&self) {
        self.sound.store(true, Ordering::Release);
    }
}

/// Ordinals a row, at most, for which [`SealedVectors::places`] are kept.
const PLACES_MAX: usize = 2;

/// The column `ordinal -> offset`, unless it would mostly be holes or an ordinal has several rows.
fn places(ordinals: &[u32]) -> Option<Vec<u32>> {
    let end = ordinals.iter().max().map_or(0, |&last| last as usize + 1);
    if end > PLACES_MAX * ordinals.len() {
        return None;
    }
    let mut places = vec![u32::MAX; end];
    for (offset, &ordinal) in (0_u32..).zip(ordinals) {
        let place = &mut places[ordinal as usize];
        if *place != u32::MAX {
            return None;
        }
        *place = offset;
    }
    Some(places)
}

impl SealedVectors {
    /// Opens the files of `entry` in `shard_folder`; checks that they agree with each other and with `set`.
    pub fn open(
        shard_folder: &Path,
        entry: &SegmentEntry,
        set: &VectorSetSpec,
        opening: &Opening,
    ) -> Result<Self> {
        let residence = opening.index;
        let health = opening.health.as_ref();
        // What is small, or what searches need before the first of them, is checked at once in any case.
        let verify = health.map_or(opening.verify, |_| Verify::Full);
        let folder = segment_folder(shard_folder, entry.id);
        let has_index = |metric: &&Metric| entry.files.iter().any(|file| file.name == graph_file(**metric));
        let metrics: Vec<Metric> = set.metrics.iter().filter(has_index).copied().collect();
        let open = |name: String, part| BlockFile::open(&folder.join(name), part, residence, verify);
        let open_index = |&metric: &Metric| -> Result<IndexFiles> {
            let codes = open(codes_file(metric), IndexPart::Codes).map_err(damaged)?;
            let name = graph_file(metric);
            let graph = match health {
                None => open(name, IndexPart::Graph),
                Some(health) => BlockFile::open_on_use(&folder.join(name), IndexPart::Graph, health),
            };
            let sound = health.is_none().into();
            Ok(IndexFiles { metric, codes, graph: graph.map_err(damaged)?, sound })
        };
        let open_vectors = || {
            let path = folder.join(VECTORS);
            let opened = match health {
                None => VectorFile::open(&path, verify),
                Some(health) => VectorFile::open_on_use(&path, health),
            };
            opened.map_err(damaged)
        };
        let (indexes, vectors) =
            rayon::join(|| metrics.par_iter().map(open_index).collect::<Result<Vec<_>>>(), open_vectors);
        let (vectors, indexes) = (vectors?, indexes?);
        let rows = ColumnFile::open(&folder.join(ROWS), verify).map_err(damaged)?;
        let mut sealed = Self { entry: entry.clone(), vectors, indexes, rows, in_order: false, places: None };
        sealed.in_order = (0_u32..).zip(sealed.ordinals()?).all(|(offset, &ordinal)| offset == ordinal);
        sealed.places = if sealed.in_order { None } else { places(sealed.ordinals()?) };
        let counts = [sealed.vectors.rows() as u64, sealed.ordinals()?.len() as u64];
        if counts != [entry.rows; 2] || sealed.vectors.dim() != set.dim as usize {
            return Err(Error::Corrupt(format!(
                "files of a vector segment disagree. segment=`{}`, manifest_rows=`{}`, vectors=`{}`, ordinals=`{}`, dim=`{}`, set_dim=`{}`",
                entry.id,
                entry.rows,
                counts[0],
                counts[1],
                sealed.vectors.dim(),
                set.dim
            )));
        }
        Ok(sealed)
    }

    /// Whether row `i` belongs to ordinal `i`: then nothing needs to be looked up.
    pub fn is_in_order(&self) -> bool {
        self.in_order
    }

    /// The row of each ordinal, `u32::MAX` for those without one; absent where rows are in order, or few beside the ordinals
    /// they are of.
    pub fn places(&self) -> Option<&[u32]> {
        self.places.as_deref()
    }

    /// Owner of each row.
    pub fn ordinals(&self) -> Result<&[u32]> {
        self.rows.fixed("ordinal").map_err(damaged)
    }
}

/// One space in one generation.
#[derive(Clone)]
pub struct VectorSet {
    /// What it is.
    pub spec: Arc<VectorSetSpec>,
    /// Its segments, oldest first; at most the last one grows.
    pub segments: Vec<VectorSegment>,
    /// Ordinal → the segment and row of its newest vector.
    pub(super) locations: CowVec<(u32, u32)>,
    /// Vectors that are the newest of their track.
    pub live: u64,
}

/// The location of an ordinal without a vector.
pub(super) const NOWHERE: (u32, u32) = (u32::MAX, 0);

impl VectorSet {
    /// An empty set.
    pub fn new(spec: VectorSetSpec) -> Self {
        Self { spec: Arc::new(spec), segments: Vec::new(), locations: CowVec::default(), live: 0 }
    }

    /// The newest vector of a track, as stored.
    pub fn vector(&self, ordinal: u32) -> Option<&[f32]> {
        let &(segment, offset) = self.locations.get(ordinal as usize)?;
        self.segment(segment)?.row(offset)
    }

    /// Where the newest vector of a track is: segment and row. Another vector is at another place, so a place stands
    /// for the vector's content.
    pub fn location(&self, ordinal: u32) -> Option<(u32, u32)> {
        self.locations.get(ordinal as usize).copied().filter(|location| *location != NOWHERE)
    }

    /// Whether a track has a vector here.
    pub fn has(&self, ordinal: u32) -> bool {
        self.locations.get(ordinal as usize).is_some_and(|location| *location != NOWHERE)
    }

    /// The segment of this number.
    pub fn segment(&self, id: u32) -> Option<&VectorSegment> {
        self.segments.iter().find(|segment| segment.id == id)
    }

    /// Points `ordinal` at a new row (or nowhere) and marks its old row dead.
    pub(super) fn relocate(&mut self, ordinal: u32, to: (u32, u32)) {
        let old = self.locations.get(ordinal as usize).copied().unwrap_or(NOWHERE);
        if old != NOWHERE {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == old.0) {
                Arc::make_mut(&mut segment.dead).insert(old.1);
            }
            self.live -= 1;
        }
        if to != NOWHERE {
            self.live += 1;
        }
        self.locations.set(ordinal as usize, to, &NOWHERE);
    }
}

/// Starts the files of a vector segment: writes vectors and owners. The caller adds index files and completes the
/// entry.
pub fn write_vectors<'a>(
    shard_folder: &Path,
    id: u64,
    set: &VectorSetSpec,
    rows: impl Iterator<Item = (u32, &'a [f32])>,
) -> Result<SegmentEntry> {
    let folder = segment_folder(shard_folder, id);
    segue_storage_format::publish::create_folder(&folder).map_err(damaged)?;
    let mut vectors = VectorFileWriter::create(&folder, VECTORS, set.dim as usize, true).map_err(damaged)?;
    let mut ordinals = Vec::new();
    for (ordinal, row) in rows {
        vectors.push(row).map_err(damaged)?;
        ordinals.push(ordinal);
    }
    let vectors = vectors.finish().map_err(damaged)?;
    let rows = write_ordinals(&folder, &ordinals)?;
    Ok(SegmentEntry {
        id,
        kind: SegmentKind::Vectors,
        space: set.space.as_str().to_owned(),
        generation: set.generation.0,
        profile: String::new(),
        rows: ordinals.len() as u64,
        files: vec![vectors, rows],
        tombstones: None,
    })
}

fn write_ordinals(folder: &Path, ordinals: &[u32]) -> Result<FileEntry> {
    let mut file = ColumnFileWriter::create(folder, ROWS).map_err(damaged)?;
    file.fixed("ordinal", ordinals).map_err(damaged)?;
    file.finish().map_err(damaged)
}

impl VectorSet {
    /// One sealed segment takes the place of `inputs`: rows replaced meanwhile are dead in it, rows it left out are
    /// gone.
    pub(super) fn replace_merged(
        &mut self,
        id: u32,
        sealed: Arc<SealedVectors>,
        inputs: &std::collections::BTreeSet<u32>,
    ) -> Result<()> {
        let mut dead = RoaringBitmap::new();
        for (offset, &ordinal) in (0_u32..).zip(sealed.ordinals()?) {
            let now = self.locations.get(ordinal as usize).copied().unwrap_or(NOWHERE);
            if inputs.contains(&now.0) {
                self.locations.set(ordinal as usize, (id, offset), &NOWHERE);
            } else {
                dead.insert(offset);
            }
        }
        let left_out: Vec<usize> = (0..self.locations.len())
            .filter(|at| self.locations.get(*at).is_some_and(|(segment, _)| inputs.contains(segment)))
            .collect();
        for at in left_out {
            self.locations.set(at, NOWHERE, &NOWHERE);
            self.live -= 1;
        }
        self.segments.retain(|segment| !inputs.contains(&segment.id));
        let at = self.segments.partition_point(|known| known.id < id);
        let segment = VectorSegment {
            id,
            growing: false,
            body: VectorBody::Sealed(sealed),
            dead: Arc::new(dead.into()),
        };
        self.segments.insert(at, segment);
        Ok(())
    }
}
