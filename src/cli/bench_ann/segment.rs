//! The vector segment that is measured: built or opened, as a database would.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use segue_index::{Allowed, IndexHead, IndexView, Rows};
use segue_storage_format::{Manifest, Residence, Verify, manifest};

use super::measure::rss_mb;
use super::report::{Build, Bytes, round};
use super::{BenchAnnArgs, unusable};
use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::ingest::npy::{read_floats, read_integers};
use crate::maintenance::{IndexChoice, write_vector_segment};
use crate::pipeline::retrieve::{open_head, open_view, rows_of};
use crate::storage::error::damaged;
use crate::storage::track_shard::Opening;
use crate::storage::track_shard::command::VectorSetSpec;
use crate::storage::track_shard::vectors::{IndexFiles, SealedVectors, VECTORS};
use crate::types::{GenerationId, Metric, SpaceName};

/// Number of the segment in its directory.
const SEGMENT: u64 = 1;
/// How often memory is looked at during a build.
const LOOK: Duration = Duration::from_millis(50);

/// One indexed segment, ready to be searched.
pub(super) struct BenchSegment {
    sealed: SealedVectors,
    head: IndexHead,
    metric: Metric,
    /// How it was built; absent when it was there.
    pub(super) built: Option<Build>,
    /// Holds the files of a segment that is not kept.
    _folder: Option<tempfile::TempDir>,
}

impl BenchSegment {
    /// Opens the segment in `--index`, or builds it from `--base`.
    pub(super) fn open_or_build(args: &BenchAnnArgs) -> Result<Self> {
        let system = |source| Error::io("make a directory for the segment", PathBuf::from("."), source);
        let temporary = if args.index.is_none() { Some(tempfile::tempdir().map_err(system)?) } else { None };
        let kept = args.index.clone().or(temporary.as_ref().map(|folder| folder.path().to_owned()));
        let folder = kept.as_deref().unwrap_or(Path::new("."));
        let built = match manifest::load(folder).map_err(damaged)? {
            Some(_) => None,
            None => Some(build(args, folder)?),
        };
        let known = manifest::load(folder).map_err(damaged)?;
        let entry = known.as_ref().and_then(|known| known.manifest.segments.first());
        let Some(entry) = entry else {
            return Err(unusable("index", folder, "this directory holds no segment: choose an empty one"));
        };
        // The dimension is the file's own; the set's is only compared with it.
        let vectors = manifest::segment_folder(folder, entry.id).join(VECTORS);
        let dim = segue_storage_format::VectorFile::open(&vectors, Verify::Structure).map_err(damaged)?.dim();
        let opening =
            Opening { verify: Verify::Structure, index: Residence::Memory, shards: 1, health: None };
        let sealed = SealedVectors::open(folder, entry, &spec(dim, args.metric)?, &opening)?;
        let profile = args.profile.as_str();
        let Some(files) = sealed.indexes.first().filter(|_| sealed.entry.profile == profile) else {
            let reason = format!("the segment there has no {profile} index for {}", args.metric);
            return Err(unusable("index", folder, &reason));
        };
        let head = open_head(&sealed, files)?;
        let segment = Self { head, metric: args.metric, built, _folder: temporary, sealed };
        segment.view()?.check().map_err(|error| unusable("index", folder, &error.to_string()))?;
        Ok(segment)
    }

    fn files(&self) -> &IndexFiles {
        &self.sealed.indexes[0]
    }

    /// The index.
    pub(super) fn view(&self) -> Result<IndexView<'_>> {
        open_view(&self.head, &self.sealed, self.files())
    }

    /// The vectors.
    pub(super) fn rows(&self) -> Result<Rows<'_>> {
        rows_of(&self.sealed)
    }

    pub(super) fn len(&self) -> usize {
        self.sealed.vectors.rows()
    }

    pub(super) fn dim(&self) -> usize {
        self.sealed.vectors.dim()
    }

    pub(super) fn metric(&self) -> Metric {
        self.metric
    }

    /// Where the row of the given number of `--base` lies now.
    pub(super) fn place(&self, row: usize) -> usize {
        self.sealed.places().map_or(row, |places| places[row] as usize)
    }

    /// Only these rows, or all.
    pub(super) fn allowed<'a>(&'a self, bits: Option<&'a [u64]>) -> Result<Allowed<'a>> {
        let Some(bits) = bits else { return Ok(Allowed::all()) };
        let mut allowed = Allowed::all().with_base(bits);
        if !self.sealed.is_in_order() {
            allowed = allowed.with_ordinals(self.sealed.ordinals()?);
        }
        Ok(match self.sealed.places() {
            Some(places) => allowed.with_places(places),
            None => allowed,
        })
    }

    /// Reads permitted rows as a bitset.
    pub(super) fn allow_bits(&self, path: &Path) -> Result<Vec<u64>> {
        let n = self.len();
        let mut bits = vec![0u64; n.div_ceil(64)];
        for row in read_integers(path)?.data {
            match usize::try_from(row) {
                Ok(row) if row < n => bits[row / 64] |= 1 << (row % 64),
                _ => {
                    return Err(unusable("allow", path, &format!("row {row} does not exist, there are {n}")));
                }
            }
        }
        Ok(bits)
    }

    /// Sizes of the parts.
    pub(super) fn bytes(&self) -> Result<Bytes> {
        let IndexFiles { codes, graph, .. } = self.files();
        let len = |file: &segue_storage_format::BlockFile, tag: &str| {
            file.bytes(tag).map(<[u8]>::len).map_err(damaged)
        };
        Ok(Bytes {
            codes: len(codes, "codes")? + len(codes, "factors")?,
            sieve: self.head.sieve_bytes(),
            graph: len(graph, "rows")?,
            vectors: size_of_val(self.sealed.vectors.raw().0),
            other: codes.meta().len(),
        })
    }
}

fn spec(dim: usize, metric: Metric) -> Result<VectorSetSpec> {
    let space = SpaceName::new("bench").map_err(|error| Error::Internal(error.to_string()))?;
    let dim = u32::try_from(dim).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(VectorSetSpec { space, generation: GenerationId::STATIC, dim, metrics: vec![metric] })
}

/// Writes the segment and a manifest that names it.
fn build(args: &BenchAnnArgs, folder: &Path) -> Result<Build> {
    let Some(path) = &args.base else {
        return Err(unusable("index", folder, "this directory holds no segment yet: give --base as well"));
    };
    let base = read_floats(path)?;
    if base.columns == 0 || u32::try_from(base.rows).is_err() {
        return Err(unusable("base", path, "expected rows of at least one number, at most 2^32"));
    }
    std::fs::create_dir_all(folder)
        .map_err(|source| Error::io("make the directory of the segment", folder, source))?;
    let choice = IndexChoice { rows_min: 0, profile: args.profile, threads: None };
    let progress = Progress::indexing("index");
    let start = Instant::now();
    let rows = (0_u32..).zip(base.data.chunks_exact(base.columns));
    let before = rss_mb("RssAnon:");
    let (entry, peak) = with_peak_memory(|| {
        let set = spec(base.columns, args.metric)?;
        write_vector_segment(folder, SEGMENT, &set, rows, &choice, &|share| progress.at_share(share))
    });
    let seconds = round(start.elapsed().as_secs_f64(), 2);
    let manifest = Manifest {
        format: manifest::SHARD_FORMAT,
        shard: "bench".to_owned(),
        slots: (0, 0),
        epoch: 0,
        applied_index: 0,
        applied_term: 0,
        conf_state: Vec::new(),
        next_segment: SEGMENT + 1,
        next_ordinal: 0,
        next_recording: 0,
        segments: vec![entry?],
        files: Vec::new(),
    };
    manifest::publish(folder, &manifest).map_err(damaged)?;
    let threads = rayon::current_num_threads();
    Ok(Build { seconds, threads, memory_mb: round(peak - before, 1) })
}

/// Runs `work`; what it returns, and the most memory of the process meanwhile, mapped files not counted.
fn with_peak_memory<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut peak = 0.0_f64;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(rss_mb("RssAnon:"));
                std::thread::sleep(LOOK);
            }
            peak
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, looking.join().unwrap_or(f64::NAN))
    })
}
