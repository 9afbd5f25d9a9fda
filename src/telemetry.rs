//! Logs and metrics of the process: set up once, by the program. The library only emits.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::error::{Error, Result};

/// Bounds of latency histograms, in seconds: 100 µs to 10 s, about three a factor of ten.
const LATENCY_BOUNDS_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

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
                .and_then(PrometheusBuilder::install_recorder)
                .map_err(|error| error.to_string())
        })
        .clone()
        .map_err(|error| Error::Conflict(format!("metrics cannot be set up: {error}")))
}
