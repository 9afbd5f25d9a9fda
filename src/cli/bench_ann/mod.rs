//! `segue bench ann`: recall against speed of the index on vectors from `.npy` files.
//!
//! The index is a vector segment as a database writes and opens it: rows in order, vectors in a mapped file, codes and graph in
//! memory. A hit counts when its exact score is within 1e-5 of the k-th best, once.

mod filters;
mod measure;
mod report;
mod segment;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::path::PathBuf;

use segue_index::{Profile, SearchParams};

use measure::{Measured, Queries, rss_mb};
use report::{BenchAnnReport, Point, rate_at, round};
use segment::BenchSegment;

use crate::error::{Error, Result};
use crate::types::Metric;

/// Passes at each point; the median counts.
const PASSES: usize = 5;
/// The sweep ends above this recall.
const RECALL_ENOUGH: f64 = 0.997;

/// Measures recall and queries per second of the index.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchAnnArgs {
    /// Vectors to index: .npy, [n, d] f4 or f2. May be left out when --index holds a segment already.
    #[arg(long, required_unless_present = "index")]
    pub base: Option<PathBuf>,
    /// Keeps the built segment in this directory, and opens the one that is there instead of building.
    #[arg(long)]
    pub index: Option<PathBuf>,
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
    /// Directory of filters, NAME.allow.npy, NAME.query.npy and NAME.truth.npy each: all are measured, at the default effort.
    #[arg(long)]
    pub filters: Option<PathBuf>,
    /// Search efforts to measure; 0 is the effort that searches take by default.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096])]
    pub ef: Vec<usize>,
    /// Shortest time of one pass.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Prints one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Opens or builds the index, measures, and reports.
///
/// # Errors
/// `InvalidField` names the file or flag that cannot be used; `Io`; `Corrupt` for a damaged segment.
pub fn run(args: &BenchAnnArgs) -> Result<BenchAnnReport> {
    let segment = BenchSegment::open_or_build(args)?;
    let queries = Queries::read(&segment, args)?;
    let allow = args.allow.as_deref().map(|path| segment.allow_bits(path)).transpose()?;
    let allowed = segment.allowed(allow.as_deref())?;
    let measured = Measured::new(&segment, &queries, allowed, args.k)?;
    let (curve, path) = sweep(args, &measured)?;
    let filters = match &args.filters {
        Some(folder) => Some(filters::measure(&segment, &measured, args, folder)?),
        None => None,
    };
    let at = |recall| rate_at(&curve, recall);
    Ok(BenchAnnReport {
        n: segment.len(),
        d: segment.dim(),
        k: args.k,
        metric: args.metric.as_str(),
        profile: args.profile.as_str(),
        build: segment.built.clone(),
        bytes: segment.bytes()?,
        rss_mb: round(rss_mb("VmRSS:"), 1),
        rss_anon_mb: round(rss_mb("RssAnon:"), 1),
        path,
        qps_r90: at(0.90),
        qps_r95: at(0.95),
        qps_r99: at(0.99),
        curve,
        filters,
    })
}

/// Measures each effort until recall is high enough; the curve, and the way most searches went at its end.
fn sweep(args: &BenchAnnArgs, measured: &Measured<'_>) -> Result<(Vec<Point>, &'static str)> {
    let (mut curve, mut path) = (Vec::new(), "plain");
    for &ef in &args.ef {
        let params = SearchParams { k: args.k, ef: (ef > 0).then_some(ef) };
        let recall;
        (recall, path) = measured.recall(&params)?;
        let mut passes = (0..PASSES)
            .map(|_| measured.pass(&params, args.threads, args.seconds))
            .collect::<Result<Vec<_>>>()?;
        passes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut times = passes.iter().flat_map(|pass| pass.1.iter().copied()).collect::<Vec<_>>();
        curve.push(Point {
            ef,
            recall: round(recall, 4),
            qps: round(passes[PASSES / 2].0, 1),
            p50_us: measure::percentile(&mut times, 0.5),
            p99_us: measure::percentile(&mut times, 0.99),
        });
        if recall > RECALL_ENOUGH {
            break;
        }
    }
    Ok((curve, path))
}

/// A file or flag that cannot be used.
fn unusable(field: &'static str, path: &std::path::Path, reason: &str) -> Error {
    Error::invalid(field, format!("{reason}. path=`{}`", path.display()))
}
