//! Logs and metrics of the process: set up once, by the program. The library only emits.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::error::{Error, Result};

/// Bounds of latency histograms, in seconds: 100 µs to 10 s, about three a factor of ten.
const LATENCY_BOUNDS_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bounds of histograms of shares, 0 to 1.
const RATIO_BOUNDS: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Sends logs to standard error in the configured form. Standard output stays free for answers.
///
/// # Errors
/// `InvalidField` when `log.filter` is not a filter; `Conflict` when logging is set up already.
pub fn init_logs(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| {
        Error::invalid("log.filter", format!("is not a filter: {error}. filter=`{}`", log.filter))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let outcome = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    outcome.map_err(|error| Error::Conflict(format!("logging cannot be set up: {error}")))
}

/// The process's metrics, rendered by `/metrics`. The first call installs the recorder.
///
/// # Errors
/// `Conflict` when the program has installed another metrics recorder.
pub fn metrics() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<std::result::Result<PrometheusHandle, String>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BOUNDS_SECONDS)
                .and_then(|builder| {
                    builder.set_buckets_for_metric(Matcher::Suffix("_ratio".to_owned()), &RATIO_BOUNDS)
                })
                .and_then(PrometheusBuilder::install_recorder)
                .map_err(|error| error.to_string())
        })
        .clone()
        .map_err(|error| Error::Conflict(format!("metrics cannot be set up: {error}")))
}

/// The histogram of the pipeline's stages, by the label `stage`.
const STAGE_SECONDS: &str = "segue_recommend_stage_seconds";

/// Records how long one stage of one request took. Costs a look-up in the recorder; nothing without one.
pub fn record_stage(stage: &'static str, took: Duration) {
    metrics::histogram!(STAGE_SECONDS, "stage" => stage).record(took);
}

/// Times the stages of one request, one after the other.
#[derive(Debug)]
pub struct StageClock {
    last: Instant,
}

impl StageClock {
    /// Starts with the first stage.
    #[must_use]
    pub fn start() -> Self {
        Self { last: Instant::now() }
    }

    /// Ends a stage, records how long it took, and starts the next one.
    pub fn end(&mut self, stage: &'static str) {
        let now = Instant::now();
        record_stage(stage, now - self.last);
        self.last = now;
    }
}

/// How often each stage ran in this process and how long it took on average, in milliseconds, by name.
///
/// # Errors
/// Those of [`metrics()`].
pub fn stage_means() -> Result<BTreeMap<String, (u64, f64)>> {
    Ok(parse_stages(&metrics()?.render()))
}

/// Reads sums and counts of the stages from Prometheus text.
fn parse_stages(text: &str) -> BTreeMap<String, (u64, f64)> {
    let read = |suffix: &str| {
        let prefix = format!("{STAGE_SECONDS}_{suffix}{{stage=\"");
        let lines =
            text.lines().filter_map(move |line| line.strip_prefix(prefix.as_str())?.split_once("\"} "));
        lines.filter_map(|(stage, value)| Some((stage.to_owned(), value.parse::<f64>().ok()?))).collect()
    };
    let (sums, counts): (BTreeMap<String, f64>, BTreeMap<String, f64>) = (read("sum"), read("count"));
    let mean = |(stage, count): (String, f64)| {
        let sum = sums.get(&stage).copied()?;
        (count > 0.0).then_some((stage, (count as u64, 1_000.0 * sum / count)))
    };
    counts.into_iter().filter_map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_recorded_are_stages_read() {
        let before = stage_means().expect("the recorder is ours");
        assert_eq!(before.get("test_stage"), None);
        record_stage("test_stage", Duration::from_millis(2));
        record_stage("test_stage", Duration::from_millis(4));
        let (count, mean_ms) = stage_means().expect("the recorder is ours")["test_stage"];
        assert!(count == 2 && (mean_ms - 3.0).abs() < 1e-6, "{count} {mean_ms}");
    }
}
