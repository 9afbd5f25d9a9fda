//! Writing a vector segment: rows, owners, and an index for each metric of the space.

use std::path::Path;
use std::sync::Arc;

use segue_index::{Block, BuildParams, IndexError, IndexParts, Profile, Progress, Rows};
use segue_storage_format::{
    BlockFileWriter, FileEntry, FormatError, IndexPart, SegmentEntry, VectorFile, Verify,
    manifest::segment_folder,
};

use super::ProgressFn;
use crate::error::{Error, Result};
use crate::storage::error::damaged;
use crate::storage::track_shard::command::VectorSetSpec;
use crate::storage::track_shard::vectors::{VECTORS, codes_file, graph_file, write_vectors};
use crate::types::Metric;

/// How indexes are built.
#[derive(Debug, Clone)]
pub struct IndexChoice {
    /// Segments with fewer rows are scanned instead of indexed.
    pub rows_min: usize,
    /// Memory against speed.
    pub profile: Profile,
    /// Threads that build; those of the caller when absent.
    pub threads: Option<Arc<rayon::ThreadPool>>,
}

impl IndexChoice {
    /// Runs `work` on the threads that build.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }

    /// The default choice with threads of its own to build on: `count`, or one a processor for 0. Not the global pool, so
    /// that nothing else waits behind a build.
    ///
    /// # Errors
    /// `Exhausted` when the system refuses threads.
    pub fn with_threads(count: u32) -> Result<Self> {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(count as usize);
        let builder = builder
            .thread_name(|at| format!("segue-build-{at}"))
            .start_handler(|_| give_way(Background::Building));
        let threads = builder.build();
        let threads = threads
            .map_err(|error| Error::Exhausted(format!("build threads could not be started: {error}")))?;
        Ok(Self { threads: Some(Arc::new(threads)), ..Self::default() })
    }
}

/// How far background work stands back where a request wants the same processor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Background {
    /// It gets a quarter of it: far less, and what grows would never be sealed on a node that is always busy.
    Building,
    /// It gets a thirtieth: done once, and nobody waits for it.
    Reading,
}

impl Background {
    /// How much lower the priority of a thread is, on the scale of `nice(2)`.
    #[cfg(target_os = "linux")]
    const fn nice(self) -> i32 {
        match self {
            Self::Building => 5,
            Self::Reading => 15,
        }
    }
}

/// Lowers the priority of this thread. Only Linux has priorities of threads.
pub(crate) fn give_way(work: Background) {
    #[cfg(not(target_os = "linux"))]
    let _ = work;
    #[cfg(target_os = "linux")]
    if let Err(errno) = rustix::process::nice(work.nice()) {
        tracing::warn!(%errno, "a background thread keeps the priority of requests");
    }
}

impl Default for IndexChoice {
    fn default() -> Self {
        Self { rows_min: 2_048, profile: Profile::Fast, threads: None }
    }
}

/// Seed of the order that rows are written in.
const ORDER_SEED: u64 = 1;

/// Writes the files of a new vector segment and returns its entry for the manifest. `rows` are `(ordinal, vector)`. The index
/// is built from the mapped file, so the vectors are in memory once at most.
///
/// Rows of an indexed segment are written in an order in which near vectors lie near each other, since searches and builds
/// are faster then; rows of others in the order they come.
///
/// # Errors
/// Disk errors; a vector that is not finite.
pub fn write_vector_segment<'a>(
    shard_folder: &Path,
    id: u64,
    set: &VectorSetSpec,
    rows: impl Iterator<Item = (u32, &'a [f32])>,
    choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<SegmentEntry> {
    let (ordinals, rows): (Vec<u32>, Vec<&[f32]>) = rows.unzip();
    let order = if rows.len() < choice.rows_min {
        (0_u32..).take(rows.len()).collect()
    } else {
        choice.install(|| segue_index::locality_order(&rows, ORDER_SEED))
    };
    let ordered = order.iter().map(|&at| (ordinals[at as usize], rows[at as usize]));
    write_rows_as_given(shard_folder, id, set, ordered, choice, progress)
}

/// The same for a segment whose rows are known by their offsets: they are written in the order they come.
///
/// # Errors
/// As [`write_vector_segment`].
pub(super) fn write_rows_as_given<'a>(
    shard_folder: &Path,
    id: u64,
    set: &VectorSetSpec,
    rows: impl Iterator<Item = (u32, &'a [f32])>,
    choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<SegmentEntry> {
    let mut entry = write_vectors(shard_folder, id, set, rows)?;
    if entry.rows < choice.rows_min as u64 {
        progress(1.0);
        return Ok(entry);
    }
    let folder = segment_folder(shard_folder, id);
    let vectors = VectorFile::open(&folder.join(VECTORS), Verify::Structure).map_err(damaged)?;
    let (data, stride) = vectors.raw();
    let rows = Rows::new(data, vectors.rows(), vectors.dim(), stride).map_err(index_error)?;
    let metrics = set.metrics.len() as f64;
    for (at, &metric) in set.metrics.iter().enumerate() {
        let report = |done: usize, total: usize| {
            progress((at as f64 + done as f64 / total.max(1) as f64) / metrics);
        };
        let params = BuildParams::new(metric, choice.profile);
        let parts = choice.install(|| segue_index::build(&rows, &params, &Progress::new(&report)));
        let parts = parts.map_err(index_error)?;
        entry.files.extend(write_index(&folder, metric, &parts).map_err(damaged)?);
    }
    entry.profile = choice.profile.as_str().to_owned();
    Ok(entry)
}

fn write_index(
    folder: &Path,
    metric: Metric,
    parts: &IndexParts,
) -> std::result::Result<[FileEntry; 2], FormatError> {
    let mut codes = BlockFileWriter::create(folder, &codes_file(metric), IndexPart::Codes)?;
    put(&mut codes, &parts.codes)?;
    put(&mut codes, &parts.factors)?;
    let codes = codes.finish(&parts.meta)?;
    let mut graph = BlockFileWriter::create(folder, &graph_file(metric), IndexPart::Graph)?;
    put(&mut graph, &parts.rows)?;
    let graph = graph.finish(&parts.meta)?;
    Ok([codes, graph])
}

fn put(file: &mut BlockFileWriter, block: &Block) -> std::result::Result<(), FormatError> {
    file.begin_block(block.tag, 1, block.stride_bytes)?;
    file.append_bytes(&block.bytes)
}

fn index_error(error: IndexError) -> Error {
    Error::Internal(format!("an index could not be built: {error}"))
}
