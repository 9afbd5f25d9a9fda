//! What `segue bench ann` reports.

use serde::Serialize;

/// How the index was built.
#[derive(Debug, Clone, Serialize)]
pub struct Build {
    /// Seconds it took, ordering rows and writing files included.
    pub seconds: f64,
    /// Threads it ran on.
    pub threads: usize,
    /// The most memory it took beside the given vectors and mapped files, in MiB.
    pub memory_mb: f64,
}

/// Bytes of the parts of an index.
#[derive(Debug, Clone, Serialize)]
pub struct Bytes {
    /// Codes of vectors and their factors.
    pub codes: usize,
    /// Links and what is beside them.
    pub graph: usize,
    /// One-bit codes, in memory only.
    pub sieve: usize,
    /// Full-precision vectors.
    pub vectors: usize,
    /// Everything else.
    pub other: usize,
}

/// One point of the curve.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Search effort.
    pub ef: usize,
    /// Share of the exact results found.
    pub recall: f64,
    /// Queries per second of all threads.
    pub qps: f64,
    /// Median time of a query in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the time of a query in microseconds.
    pub p99_us: f64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchAnnReport {
    /// Vectors.
    pub n: usize,
    /// Dimension.
    pub d: usize,
    /// Results of each query.
    pub k: usize,
    /// How vectors are compared.
    pub metric: &'static str,
    /// Layout of the index.
    pub profile: &'static str,
    /// How it was built; absent when it was opened.
    pub build: Option<Build>,
    /// Size of the index.
    pub bytes: Bytes,
    /// Memory of the process in MiB.
    pub rss_mb: f64,
    /// The part of it that is no mapped file.
    pub rss_anon_mb: f64,
    /// Way most searches went at the last point.
    pub path: &'static str,
    /// The points.
    pub curve: Vec<Point>,
    /// Queries per second at recall 0.90.
    pub qps_r90: Option<f64>,
    /// Queries per second at recall 0.95.
    pub qps_r95: Option<f64>,
    /// Queries per second at recall 0.99.
    pub qps_r99: Option<f64>,
    /// Searches under filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<FilterBar>,
}

/// Searches under several filters, at the default effort.
#[derive(Debug, Clone, Serialize)]
pub struct FilterBar {
    /// Median time of a search without filter, in microseconds.
    pub unfiltered_p50_us: f64,
    /// The most a median under a filter should be: three times that, or 150.
    pub limit_us: f64,
    /// The filters, the most permissive first.
    pub rows: Vec<FilterRow>,
}

/// One filter.
#[derive(Debug, Clone, Serialize)]
pub struct FilterRow {
    /// Its name.
    pub name: String,
    /// Rows it allows.
    pub allowed: usize,
    /// Share of the exact results found.
    pub recall: f64,
    /// Median time of a query in microseconds.
    pub p50_us: f64,
    /// The same of an exact scan of the vectors of all allowed rows.
    pub exact_p50_us: f64,
    /// Way most searches went.
    pub path: &'static str,
    /// Whether recall is at least 0.95, and the median within the limit and that of a scan.
    pub holds: bool,
}

impl BenchAnnReport {
    /// The report for people: one line a point.
    #[must_use]
    pub fn table(&self) -> String {
        let bytes = (self.bytes.codes + self.bytes.graph + self.bytes.sieve) / self.n.max(1);
        let mut out = format!(
            "{} vectors of {}, {}, {}: {bytes} bytes a vector\n",
            self.n, self.d, self.metric, self.profile
        );
        if let Some(Build { seconds, threads, memory_mb }) = &self.build {
            out +=
                &format!("built in {seconds} s on {threads} threads, {memory_mb} MiB beside the vectors\n");
        }
        out += "    ef  recall       q/s   p50 us   p99 us\n";
        for point in &self.curve {
            out += &format!(
                "{:6}  {:.4}  {:8.0}  {:7.1}  {:7.1}\n",
                point.ef, point.recall, point.qps, point.p50_us, point.p99_us
            );
        }
        if let Some(filters) = &self.filters {
            out += &filters.table();
        }
        out
    }
}

impl FilterBar {
    fn table(&self) -> String {
        let mut out = format!(
            "\nwithout filter {} us; limit {} us\nfilter            allowed  recall   p50 us  exact us  path\n",
            self.unfiltered_p50_us, self.limit_us
        );
        for row in &self.rows {
            let FilterRow { name, allowed, recall, p50_us, exact_p50_us, path, holds } = row;
            let verdict = if *holds { "" } else { "  MISSED" };
            out += &format!(
                "{name:15} {allowed:9}  {recall:.4}  {p50_us:7.1}  {exact_p50_us:8.1}  {path}{verdict}\n"
            );
        }
        out
    }
}

/// Interpolates queries per second at a recall, in log space; `None` when it is never reached.
pub fn rate_at(curve: &[Point], recall: f64) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = curve.iter().map(|point| (point.recall, point.qps)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let first = points.iter().position(|point| point.0 >= recall)?;
    let high = points[first];
    let Some(low) = first.checked_sub(1).map(|i| points[i]) else {
        return Some(high.1);
    };
    let weight = (recall - low.0) / (high.0 - low.0);
    Some(round((low.1.ln() * (1.0 - weight) + high.1.ln() * weight).exp(), 1))
}

/// Rounds to a number of digits.
pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_interpolated_in_log_space() {
        let point = |recall, qps| Point { ef: 0, recall, qps, p50_us: 0.0, p99_us: 0.0 };
        let curve = [point(0.8, 1000.0), point(1.0, 10.0)];
        assert_eq!(rate_at(&curve, 0.9), Some(100.0));
        assert_eq!(rate_at(&curve, 0.7), Some(1000.0));
        assert_eq!(rate_at(&curve[..1], 0.9), None);
    }
}
