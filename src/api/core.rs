//! What all services share: the engine once it is open, the limits, the lanes, and whether the server is stopping.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use super::admission::{Admission, Lane};
use super::deadline::deadline_of;
use super::status::to_status;
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::node::Segue;
use crate::types::Deadline;

/// What all services share; cheap to clone.
#[derive(Clone)]
pub(super) struct Core(Arc<Shared>);

struct Shared {
    engine: OnceLock<Segue>,
    limits: Limits,
    admission: Admission,
    stopping: watch::Sender<bool>,
}

impl Core {
    pub(super) fn new(limits: Limits) -> Self {
        let admission = Admission::new(&limits);
        Self(Arc::new(Shared {
            engine: OnceLock::new(),
            limits,
            admission,
            stopping: watch::Sender::new(false),
        }))
    }

    /// Starts serving from an open engine. A second engine is ignored: there is one for each server.
    pub(super) fn open(&self, engine: Segue) {
        self.0.engine.get_or_init(|| engine);
    }

    /// The engine.
    ///
    /// # Errors
    /// `Unavailable` while the data directory is being opened.
    pub(super) fn engine(&self) -> Result<&Segue> {
        self.0.engine.get().ok_or_else(|| Error::Unavailable("the data directory is being opened".to_owned()))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Whether requests are served: open, able to read and write, and not stopping.
    pub(super) fn ready(&self) -> Result<()> {
        if *self.0.stopping.borrow() {
            return Err(Error::Unavailable("the server is stopping".to_owned()));
        }
        self.engine()?.ready()
    }

    /// Tells streams to end; single requests in flight finish.
    pub(super) fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Returns when the server is stopping.
    pub(super) async fn stopped(&self) {
        // An error means that the sender is gone, which is a stop, too.
        let _ = self.0.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// The deadline of one request.
    pub(super) fn deadline(&self, metadata: &MetadataMap) -> Deadline {
        deadline_of(metadata, Some(Duration::from_millis(self.0.limits.request_timeout_ms)))
    }

    /// See [`Admission::begin_stream`].
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn begin_stream(&self) -> Result<OwnedSemaphorePermit> {
        self.0.admission.begin_stream()
    }

    /// Runs `work` (conversion, checks and the engine's call) on a blocking thread when its turn comes.
    pub(super) async fn answer<T: Send + 'static>(
        &self,
        lane: Lane,
        deadline: Deadline,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> std::result::Result<Response<T>, Status> {
        self.run(lane, deadline, work).await.map(Response::new).map_err(|error| to_status(&error))
    }

    /// The same with the domain's error, for streams.
    ///
    /// # Errors
    /// Those of `work`; `Exhausted` and `Timeout` of admission. After a timeout the work goes on until it next
    /// looks at its own deadline (a write does not: it is never half done) and keeps its place in the lane until it ends.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        deadline: Deadline,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.0.admission.enter(lane, deadline).await?;
        let core = self.clone();
        let span = tracing::Span::current();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let _span = span.entered();
            if deadline.passed() { Err(deadline.error()) } else { work(&core) }
        });
        let outcome = match deadline.left() {
            None => task.await,
            Some(left) => tokio::time::timeout(left, task).await.map_err(|_| deadline.error())?,
        };
        outcome.unwrap_or_else(|failure| {
            Err(Error::Internal(format!("the request failed unexpectedly: {failure}")))
        })
    }
}
