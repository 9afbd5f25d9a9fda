//! Counts, times and traces every request, from its first byte to the last of its reply.
//!
//! Labels come from the services' descriptors, never from the wire: a made-up path cannot make a new time series.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use metrics::{SharedString, counter, gauge, histogram};
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::{Instrument, debug, debug_span, error};

use super::proto;
use super::status::{Outcome, outcome};

/// The requests in flight, and the known methods.
#[derive(Clone)]
pub(super) struct Observer(Arc<Known>);

struct Known {
    methods: HashMap<String, Method>,
    in_flight: AtomicUsize,
}

#[derive(Clone)]
struct Method {
    service: SharedString,
    name: SharedString,
}

impl Observer {
    pub(super) fn new() -> Self {
        Self(Arc::new(Known { methods: known_methods(), in_flight: AtomicUsize::new(0) }))
    }

    /// Requests that have begun and not ended.
    pub(super) fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Acquire)
    }

    fn begin(&self, path: &str) -> Option<InFlight> {
        let method = self.0.methods.get(path)?.clone();
        let before = self.0.in_flight.fetch_add(1, Ordering::AcqRel);
        gauge!("segue_grpc_in_flight_requests").set((before + 1) as f64);
        Some(InFlight { known: Arc::clone(&self.0), method, start: Instant::now(), outcome: None })
    }
}

/// Every method of the public services, by its path on the wire.
fn known_methods() -> HashMap<String, Method> {
    let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap_or_default().file;
    let mut methods = HashMap::new();
    for file in &files {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let (service, name) = (service.name().to_owned().into(), method.name().to_owned().into());
                methods.insert(path, Method { service, name });
            }
        }
    }
    methods
}

/// One request in flight; counted when dropped, whatever ended it.
struct InFlight {
    known: Arc<Known>,
    method: Method,
    start: Instant,
    outcome: Option<Outcome>,
}

impl InFlight {
    fn see(&mut self, headers: &HeaderMap) {
        self.outcome = outcome(headers).or(self.outcome);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Outcome { code, failed } = self.outcome.unwrap_or(Outcome::GONE);
        let (service, method) = (self.method.service.clone(), self.method.name.clone());
        let seconds = self.start.elapsed().as_secs_f64();
        let before = self.known.in_flight.fetch_sub(1, Ordering::AcqRel);
        gauge!("segue_grpc_in_flight_requests").set(before.saturating_sub(1) as f64);
        counter!("segue_grpc_requests_total", "service" => service.clone(), "method" => method.clone(), "code" => code)
            .increment(1);
        histogram!("segue_grpc_request_duration_seconds", "service" => service, "method" => method, "code" => code)
            .record(seconds);
        if failed {
            error!(method = %self.method.name, code, seconds, "request failed");
        } else {
            debug!(method = %self.method.name, code, seconds, "request ended");
        }
    }
}

impl<S> Layer<S> for Observer {
    type Service = Observed<S>;
    fn layer(&self, inner: S) -> Observed<S> {
        Observed { observer: self.clone(), inner }
    }
}

/// The services, observed.
#[derive(Clone)]
pub(super) struct Observed<S> {
    observer: Observer,
    inner: S,
}

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<ObservedBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut in_flight = self.observer.begin(request.uri().path());
        let span = match &in_flight {
            Some(known) => {
                debug_span!("request", service = %known.method.service, method = %known.method.name)
            }
            None => tracing::Span::none(),
        };
        let answer = self.inner.call(request).instrument(span);
        Box::pin(async move {
            let response = answer.await?;
            if let Some(in_flight) = &mut in_flight {
                in_flight.see(response.headers());
            }
            Ok(response.map(|inner| ObservedBody { inner, in_flight }))
        })
    }
}

/// A reply whose end is noticed.
pub(super) struct ObservedBody {
    inner: Body,
    in_flight: Option<InFlight>,
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let (Some(trailers), Some(in_flight)) = (frame.trailers_ref(), &mut self.in_flight)
        {
            in_flight.see(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
