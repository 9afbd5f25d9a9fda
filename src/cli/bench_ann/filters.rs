//! The filter bar: every filter of a directory, at the default effort, beside a search without filter and an exact scan.

use std::path::Path;

use segue_index::SearchParams;

use super::measure::{Measured, Queries, percentile};
use super::report::{FilterBar, FilterRow, round};
use super::segment::BenchSegment;
use super::{BenchAnnArgs, PASSES, unusable};
use crate::error::{Error, Result};

/// What marks the file of allowed rows.
const ALLOW: &str = ".allow.npy";

/// Measures each filter of `folder`, the most permissive first.
pub(super) fn measure(
    segment: &BenchSegment,
    unfiltered: &Measured<'_>,
    args: &BenchAnnArgs,
    folder: &Path,
) -> Result<FilterBar> {
    let params = SearchParams { k: args.k, ef: None };
    let p50 = median(unfiltered, &params, args)?;
    let limit_us = round((3.0 * p50).max(150.0), 2);
    let mut rows = Vec::new();
    for name in names(folder)? {
        let file = |part: &str| folder.join(format!("{name}.{part}.npy"));
        let bits = segment.allow_bits(&file("allow"))?;
        let queries = Queries::of_files(segment, &file("query"), Some(&file("truth")))?;
        let measured = Measured::new(segment, &queries, segment.allowed(Some(&bits))?, args.k)?;
        let (recall, path) = measured.recall(&params)?;
        let p50_us = median(&measured, &params, args)?;
        let exact_p50_us = percentile(&mut measured.exact_pass(args.k, args.seconds)?, 0.5);
        let allowed = bits.iter().map(|word| word.count_ones() as usize).sum();
        let holds = recall >= 0.95 && p50_us <= limit_us && p50_us <= exact_p50_us.max(1.0);
        rows.push(FilterRow { name, allowed, recall: round(recall, 4), p50_us, exact_p50_us, path, holds });
    }
    rows.sort_by(|a, b| b.allowed.cmp(&a.allowed).then_with(|| a.name.cmp(&b.name)));
    Ok(FilterBar { unfiltered_p50_us: p50, limit_us, rows })
}

/// The median of the medians of all passes.
fn median(measured: &Measured<'_>, params: &SearchParams, args: &BenchAnnArgs) -> Result<f64> {
    let mut medians = Vec::new();
    for _ in 0..PASSES {
        medians.push(percentile(&mut measured.pass(params, 1, args.seconds / PASSES as f64)?.1, 0.5));
    }
    Ok(percentile(&mut medians, 0.5))
}

/// The names of the filters of a directory.
fn names(folder: &Path) -> Result<Vec<String>> {
    let read = |source| Error::io("list filters", folder, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let file = entry.map_err(read)?.file_name();
        names.extend(file.to_string_lossy().strip_suffix(ALLOW).map(str::to_owned));
    }
    if names.is_empty() {
        return Err(unusable("filters", folder, "this directory holds no NAME.allow.npy"));
    }
    Ok(names)
}
