//! Connecting, and sending one request until it is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::api::status::{RETRY_AFTER_MS, from_status};
use crate::error::{Error, ErrorKind, Result};
use crate::types::Deadline;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is tried.
pub(super) const ATTEMPTS: u32 = 8;
/// The first pause between two tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two tries that a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest that pauses grow to: a group is without a leader for a second or two, and what waits for it should not wait as long again.
const GROWN_PAUSE: Duration = Duration::from_millis(600);
/// What may be under way on one stream: a large batch of a bulk load.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// A connection to a server. Cheap to clone; safe to share between threads; calls block.
#[derive(Clone)]
pub struct Client {
    pub(super) runtime: Arc<Runtime>,
    pub(super) channel: Channel,
}

/// Whether a request may be sent again when its fate is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Doing it twice is the same as doing it once.
    Yes,
    /// It would be done twice.
    No,
}

impl Client {
    /// Connects to `http://HOST:PORT`. Must not be called on a thread of an async runtime.
    ///
    /// # Errors
    /// `InvalidField` when the endpoint is not a URL; `Unavailable` when nobody answers there.
    pub fn connect(endpoint: &str) -> Result<Self> {
        let target = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| {
            Error::invalid(
                "endpoint",
                format!("must be like http://127.0.0.1:7700: {error}. endpoint=`{endpoint}`"),
            )
        })?;
        let target = target
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(4 * STREAM_WINDOW_BYTES)
            .tcp_nodelay(true);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| Error::io("start the client's threads", endpoint, source))?;
        let channel = runtime.block_on(target.connect()).map_err(|error| {
            let cause = root_cause(&error);
            Error::Unavailable(format!(
                "no server answers at {endpoint} ({cause}); is `segue serve` running there?"
            ))
        })?;
        Ok(Self { runtime: Arc::new(runtime), channel })
    }

    /// Sends a request until it is answered, not worth another try, or too late.
    pub(super) fn call<P: Clone, R, F>(
        &self,
        again: Again,
        deadline: Deadline,
        message: P,
        send: impl Fn(Request<P>) -> F,
    ) -> Result<R>
    where
        F: Future<Output = std::result::Result<Response<R>, Status>>,
    {
        self.runtime.block_on(async {
            let mut pauses = Pauses::new();
            loop {
                let mut request = Request::new(message.clone());
                deadline.check()?;
                request.set_timeout(deadline.left().unwrap_or(REQUEST_TIMEOUT).min(REQUEST_TIMEOUT));
                match send(request).await {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(status) => pauses.before_another_try(&status, again, deadline).await?,
                }
            }
        })
    }
}

/// The pauses between the tries of one request.
pub(super) struct Pauses {
    tried: u32,
    next: Duration,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { tried: 0, next: FIRST_PAUSE }
    }

    /// Waits as long as the server asks, else longer every time.
    ///
    /// # Errors
    /// The status as an error when another try cannot help or there were enough; `Timeout` when it would come after the deadline.
    pub(super) async fn before_another_try(
        &mut self,
        status: &Status,
        again: Again,
        deadline: Deadline,
    ) -> Result<()> {
        self.tried += 1;
        let error = from_status(status);
        let pause = hint(status).unwrap_or(self.next);
        if self.tried == ATTEMPTS || !worth_another_try(&error, again) {
            return Err(error);
        }
        if deadline.left().is_some_and(|left| left <= pause) {
            return Err(deadline.error());
        }
        tokio::time::sleep(pause).await;
        self.next = (self.next * 2).min(GROWN_PAUSE);
        Ok(())
    }
}

fn worth_another_try(error: &Error, again: Again) -> bool {
    match error.kind() {
        // The server has not begun; a full disk does not empty itself in a moment.
        ErrorKind::Exhausted => !matches!(error, Error::DiskFull { .. }),
        ErrorKind::Unavailable => again == Again::Yes,
        _ => false,
    }
}

/// The server's wish how long to wait.
fn hint(status: &Status) -> Option<Duration> {
    let ms = status.metadata().get(RETRY_AFTER_MS)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(ms).min(LONGEST_PAUSE))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use std::time::Instant;

    use super::*;

    #[test]
    fn a_pause_that_would_end_after_the_deadline_is_not_begun() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let try_again = |pauses: &mut Pauses, status: &Status, deadline| {
            runtime.block_on(pauses.before_another_try(status, Again::Yes, deadline))
        };
        let mut pauses = Pauses::new();
        let mut busy = Status::unavailable("no leader");
        busy.metadata_mut().insert(RETRY_AFTER_MS, "5000".parse().unwrap());
        let (begun, wanted) = (Instant::now(), Duration::from_secs(4));
        let refused = try_again(&mut pauses, &busy, Deadline::after(wanted)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Timeout);
        assert!(begun.elapsed() < wanted, "{:?}", begun.elapsed());
        let (begun, busy) = (Instant::now(), Status::unavailable("no leader"));
        try_again(&mut pauses, &busy, Deadline::after(Duration::from_secs(60))).unwrap();
        try_again(&mut pauses, &busy, Deadline::NEVER).unwrap();
        assert!(begun.elapsed() >= FIRST_PAUSE * 3, "{:?}", begun.elapsed());
    }
}
