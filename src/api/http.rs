//! The small HTTP port: metrics for Prometheus, liveness and readiness for whatever restarts and routes.

use ::http::{StatusCode, header};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use super::core::Core;

/// The form of Prometheus' text.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Port {
    core: Core,
    metrics: PrometheusHandle,
}

/// The routes.
pub(super) fn routes(core: Core, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(render))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Port { core, metrics })
}

async fn render(State(port): State<Port>) -> Response {
    if let Ok(engine) = port.core.engine() {
        engine.record_metrics();
    }
    ([(header::CONTENT_TYPE, METRICS_TEXT)], port.metrics.render()).into_response()
}

/// 200 when requests are served, else 503 with the reason.
async fn ready(State(port): State<Port>) -> Response {
    match port.core.ready() {
        Ok(()) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
