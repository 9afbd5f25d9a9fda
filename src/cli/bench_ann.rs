//! `segue bench ann`: recall against speed of the index on vectors from `.npy` files.
//!
//! Rows are ordered, the index is built, put into its arrays and opened again as a sealed segment is, then searched for all
//! queries at each `ef`. The time of the build includes ordering. A hit counts when its exact score is within 1e-5 of the
//! k-th best, once. Each point is the median of five passes of at least `--seconds`; rates at a given recall are
//! interpolated in log space.

use std::path::{Path, PathBuf};
use std::time::Instant;

use segue_index::{
    Allowed, Block, BuildParams, IndexError, IndexHead, IndexSlices, IndexView, Profile, Progress, Rows,
    Scratch, SearchParams, build, exact, locality_order,
};
use segue_storage_format::ResidentBytes;

use super::bench_ann_report::{BenchAnnReport, Bytes, Point, rate_at, round};
use crate::ingest::npy::{NpyArray, NpyError, read_floats, read_integers};
use crate::types::Metric;

/// A hit may be this much worse than the k-th best score.
const TIE: f32 = 1e-5;
/// Passes at each point; the median counts.
const PASSES: usize = 5;
/// The sweep ends above this recall.
const RECALL_ENOUGH: f64 = 0.997;

/// Measures recall and queries per second of the index.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchAnnArgs {
    /// Vectors to index: .npy, [n, d] f4 or f2.
    #[arg(long)]
    pub base: PathBuf,
    /// Queries: .npy, [queries, d] f4 or f2.
    #[arg(long)]
    pub query: PathBuf,
    /// Rows of the exact results, best first: .npy, [queries, at least k] i4, i8 or u4; computed when absent.
    #[arg(long)]
    pub truth: Option<PathBuf>,
    /// How vectors are compared: cosine, ip or l2.
    #[arg(long)]
    pub metric: Metric,
    /// Results of each query.
    #[arg(long, default_value_t = 10)]
    pub k: usize,
    /// Threads that search at the same time.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Layout of the index: fast or compact.
    #[arg(long, default_value = "fast")]
    pub profile: Profile,
    /// Rows that may be returned: .npy, u4.
    #[arg(long)]
    pub allow: Option<PathBuf>,
    /// Search efforts to measure; 0 is the effort that searches take by default.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096])]
    pub ef: Vec<usize>,
    /// Shortest time of one pass.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Candidates kept while building.
    #[arg(long)]
    pub ef_construction: Option<usize>,
    /// Links of a node, a multiple of 32.
    #[arg(long)]
    pub degree: Option<usize>,
    /// Prints one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Why the benchmark cannot run.
#[derive(Debug, thiserror::Error)]
pub enum BenchAnnError {
    /// A file cannot be used.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// The index refuses vectors or parameters.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Files do not fit together.
    #[error("{reason}. path=`{path}`")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The system refused memory or threads.
    #[error("the system refused memory or threads")]
    System(#[from] std::io::Error),
}

/// Everything the measurements need.
struct Bench<'a> {
    view: IndexView<'a>,
    rows: Rows<'a>,
    queries: &'a NpyArray<f32>,
    allowed: Allowed<'a>,
    /// Score of the k-th best allowed row for each query.
    kth: Vec<f32>,
    /// Results a query can have.
    wanted: usize,
    args: &'a BenchAnnArgs,
}

/// Builds the index, measures, and reports.
///
/// # Errors
/// [`BenchAnnError`] names the file or parameter.
pub fn run(args: &BenchAnnArgs) -> Result<BenchAnnReport, BenchAnnError> {
    let base = read_floats(&args.base)?;
    let queries = read_floats(&args.query)?;
    if queries.columns != base.columns || queries.rows == 0 {
        return mismatch(&args.query, format!("expected at least one query of {} numbers", base.columns));
    }
    let start = Instant::now();
    let (base, ordinals) = ordered(base);
    let places = places(&ordinals);
    let rows = Rows::new(&base.data, base.rows, base.columns, base.columns)?;
    let bits = args.allow.as_deref().map(|path| allow_bits(path, base.rows)).transpose()?;
    let by_ordinal = Allowed::all().with_ordinals(&ordinals).with_places(&places);
    let allowed = bits.as_ref().map_or_else(Allowed::all, |bits| by_ordinal.with_base(bits));
    let mut params = BuildParams::new(args.metric, args.profile);
    params.ef_construction = args.ef_construction.unwrap_or(params.ef_construction);
    params.degree = args.degree.unwrap_or(params.degree);
    let parts = build(&rows, &params, &Progress::default())?;
    let build_s = start.elapsed().as_secs_f64();
    let bytes = Bytes {
        codes: parts.codes.bytes.len() + parts.factors.bytes.len(),
        graph: parts.rows.bytes.len(),
        vectors: 4 * base.data.len(),
        other: parts.meta.len(),
    };
    let copy = |block: &Block| ResidentBytes::copy(&block.bytes);
    let (codes, factors, links) = (copy(&parts.codes)?, copy(&parts.factors)?, copy(&parts.rows)?);
    let slices = IndexSlices { codes: codes.bytes(), factors: factors.bytes(), rows: links.bytes() };
    let head = IndexHead::open(&parts.meta)?;
    drop(parts);
    let view = head.view(slices, rows)?;
    view.check()?;
    let kth = kth_scores(args, (&rows, &places), &queries, &allowed)?;
    let wanted = args.k.min(allowed.estimated_count(base.rows));
    let bench = Bench { view, rows, queries: &queries, allowed, kth, wanted, args };
    let (curve, path) = bench.sweep()?;
    let at = |recall| rate_at(&curve, recall);
    Ok(BenchAnnReport {
        n: base.rows,
        d: base.columns,
        k: args.k,
        metric: args.metric.as_str(),
        profile: args.profile.as_str(),
        build_s: round(build_s, 2),
        build_threads: rayon::current_num_threads(),
        bytes,
        rss_mb: round(rss_mb(), 1),
        path,
        qps_r90: at(0.90),
        qps_r95: at(0.95),
        qps_r99: at(0.99),
        curve,
    })
}

fn mismatch<T>(path: &Path, reason: String) -> Result<T, BenchAnnError> {
    Err(BenchAnnError::Mismatch { path: path.to_owned(), reason })
}

/// Brings rows into the order that segments are written in, and returns which row each was.
fn ordered(base: NpyArray<f32>) -> (NpyArray<f32>, Vec<u32>) {
    let rows: Vec<&[f32]> = base.data.chunks_exact(base.columns.max(1)).collect();
    let order = locality_order(&rows, 1);
    let data = order.iter().flat_map(|&at| rows[at as usize].iter().copied()).collect();
    (NpyArray { data, ..base }, order)
}

/// The places of rows in an order.
fn places(order: &[u32]) -> Vec<u32> {
    let mut places = vec![0; order.len()];
    (0..).zip(order).for_each(|(place, &row)| places[row as usize] = place);
    places
}

/// Reads permitted rows as a bitset.
fn allow_bits(path: &Path, n: usize) -> Result<Vec<u64>, BenchAnnError> {
    let mut bits = vec![0u64; n.div_ceil(64)];
    for row in read_integers(path)?.data {
        match usize::try_from(row) {
            Ok(row) if row < n => bits[row / 64] |= 1 << (row % 64),
            _ => return mismatch(path, format!("row {row} does not exist, there are {n}")),
        }
    }
    Ok(bits)
}

/// Returns the score of the k-th best allowed row of each query, from the truth file or by exact search.
fn kth_scores(
    args: &BenchAnnArgs,
    (rows, places): (&Rows<'_>, &[u32]),
    queries: &NpyArray<f32>,
    allowed: &Allowed<'_>,
) -> Result<Vec<f32>, BenchAnnError> {
    use rayon::prelude::*;
    let each = queries.data.par_chunks_exact(queries.columns);
    let Some(path) = &args.truth else {
        let kth = each.map_init(Scratch::new, |scratch, query| {
            let hits = exact::search(rows, args.metric, query, args.k, allowed, scratch)?;
            Ok(hits.last().map_or(f32::INFINITY, |hit| hit.1))
        });
        return kth.collect();
    };
    let truth = read_integers(path)?;
    if truth.rows != queries.rows || truth.columns < args.k.min(allowed.estimated_count(rows.len())) {
        return mismatch(path, format!("expected {} rows of at least {} numbers", queries.rows, args.k));
    }
    if truth.data.iter().any(|&row| usize::try_from(row).is_ok_and(|row| row >= rows.len())) {
        return mismatch(path, "it names rows that do not exist".to_owned());
    }
    let kth = each.zip(truth.data.par_chunks_exact(truth.columns)).map(|(query, truth)| {
        let known = truth.iter().take(args.k).filter_map(|&row| usize::try_from(row).ok());
        let scores = known.map(|row| exact::score(args.metric, query, rows.row(places[row] as usize)));
        scores.fold(f32::INFINITY, f32::min)
    });
    Ok(kth.collect())
}

impl Bench<'_> {
    /// Measures each effort until recall is high enough.
    fn sweep(&self) -> Result<(Vec<Point>, &'static str), BenchAnnError> {
        let (mut curve, mut path) = (Vec::new(), "plain");
        for &ef in &self.args.ef {
            let params = SearchParams { k: self.args.k, ef: (ef > 0).then_some(ef) };
            let recall;
            (recall, path) = self.recall(&params)?;
            let mut passes = (0..PASSES).map(|_| self.pass(&params)).collect::<Result<Vec<_>, _>>()?;
            passes.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut times: Vec<f64> = passes.iter().flat_map(|pass| pass.1.iter().copied()).collect();
            times.sort_by(f64::total_cmp);
            let percentile = |p: f64| round(times[((times.len() - 1) as f64 * p) as usize], 2);
            curve.push(Point {
                ef,
                recall: round(recall, 4),
                qps: round(passes[PASSES / 2].0, 1),
                p50_us: percentile(0.5),
                p99_us: percentile(0.99),
            });
            if recall > RECALL_ENOUGH {
                break;
            }
        }
        Ok((curve, path))
    }

    /// Returns the recall over all queries and the way most of them went.
    fn recall(&self, params: &SearchParams) -> Result<(f64, &'static str), BenchAnnError> {
        let mut scratch = Scratch::new();
        let mut found = 0;
        let mut paths = std::collections::BTreeMap::<&'static str, usize>::new();
        for (query, kth) in self.queries.data.chunks_exact(self.queries.columns).zip(&self.kth) {
            let outcome = self.view.search(query, params, &self.allowed, &mut scratch)?;
            let good =
                |row: u32| exact::score(self.args.metric, query, self.rows.row(row as usize)) >= kth - TIE;
            found += outcome.hits.iter().filter(|hit| good(hit.0.0)).count();
            *paths.entry(outcome.path.as_str()).or_default() += 1;
        }
        let path = paths.iter().max_by_key(|entry| entry.1).map_or("plain", |entry| entry.0);
        Ok((found as f64 / (self.queries.rows * self.wanted).max(1) as f64, path))
    }

    /// Runs all queries again and again for `--seconds`: queries per second, and the time of each in microseconds.
    fn pass(&self, params: &SearchParams) -> Result<(f64, Vec<f64>), BenchAnnError> {
        let threads = self.args.threads.max(1);
        let start = Instant::now();
        let times = std::thread::scope(|scope| {
            let handles: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| self.one_thread(params, start))).collect();
            let parts = handles.into_iter().map(|handle| handle.join().expect("a search does not panic"));
            parts.collect::<Result<Vec<_>, _>>()
        })?;
        let times = times.concat();
        Ok((times.len() as f64 / start.elapsed().as_secs_f64(), times))
    }

    fn one_thread(&self, params: &SearchParams, start: Instant) -> Result<Vec<f64>, BenchAnnError> {
        let (mut scratch, mut times) = (Scratch::new(), Vec::new());
        while times.is_empty() || start.elapsed().as_secs_f64() < self.args.seconds {
            for query in self.queries.data.chunks_exact(self.queries.columns) {
                let begin = Instant::now();
                std::hint::black_box(self.view.search(query, params, &self.allowed, &mut scratch)?);
                times.push(begin.elapsed().as_secs_f64() * 1e6);
            }
        }
        Ok(times)
    }
}

/// Resident memory of this process, 0 where the system does not say.
fn rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
