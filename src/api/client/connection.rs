//! Connecting, and sending one request until it is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::servers::{Asked, Servers};
use crate::api::status::{RETRY_AFTER_MS, from_status};
use crate::error::{Error, ErrorKind, Result};
use crate::types::Deadline;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is tried; of several servers, how often each is asked.
pub(super) const ATTEMPTS: u32 = 8;
/// The first pause between two tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two tries that a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest that pauses grow to: a group is without a leader for a second or two, and what waits for it should not wait as long again.
const GROWN_PAUSE: Duration = Duration::from_millis(600);

/// A connection to a server, or to one of several that stand in for each other. Cheap to clone, clones share it; safe to share
/// between threads; calls block.
#[derive(Clone)]
pub struct Client {
    pub(super) runtime: Arc<Runtime>,
    pub(super) servers: Arc<Servers>,
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
    /// Connects to `http://HOST:PORT`, or to several of a cluster with commas between them: the first that answers is asked, and the next
    /// one at once when it no longer serves. Must not be called on a thread of an async runtime.
    ///
    /// # Errors
    /// `InvalidField` when an endpoint is not a URL; `Unavailable` when nobody answers there.
    pub fn connect(endpoints: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| Error::io("start the client's threads", endpoints, source))?;
        let servers = runtime.block_on(Servers::connect(endpoints))?;
        Ok(Self { runtime: Arc::new(runtime), servers: Arc::new(servers) })
    }

    /// The connection to the server that is asked now.
    pub(super) fn channel(&self) -> Channel {
        self.servers.channel()
    }

    /// What a status says. A server that does not serve is left: the next request goes to another.
    pub(super) fn failed(&self, asked: Asked, status: &Status) -> Error {
        let error = from_status(status);
        if error.kind() == ErrorKind::Unavailable {
            self.servers.leave(asked);
        }
        error
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
            let mut pauses = Pauses::among(self.servers.count());
            loop {
                let mut request = Request::new(message.clone());
                deadline.check()?;
                request.set_timeout(deadline.left().unwrap_or(REQUEST_TIMEOUT).min(REQUEST_TIMEOUT));
                let asked = self.servers.asked();
                match send(request).await {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(status) => {
                        let error = self.failed(asked, &status);
                        pauses.before_another_try(error, hint(&status), again, deadline).await?;
                    }
                }
            }
        })
    }
}

/// The pauses between the tries of one request.
pub(super) struct Pauses {
    /// Servers that may be asked one after the other without a pause.
    servers: usize,
    /// How many were, since the last pause.
    asked: usize,
    tried: u32,
    next: Duration,
}

impl Pauses {
    /// Of a request that any of so many servers may answer.
    pub(super) fn among(servers: usize) -> Self {
        Self { servers, asked: 0, tried: 0, next: FIRST_PAUSE }
    }

    /// Waits as long as the server asks, else longer every time; not at all while there is another server that has not been asked.
    ///
    /// * `wished`: how long the server asks to wait.
    ///
    /// # Errors
    /// The error when another try cannot help or there were enough; `Timeout` when it would come after the deadline.
    pub(super) async fn before_another_try(
        &mut self,
        error: Error,
        wished: Option<Duration>,
        again: Again,
        deadline: Deadline,
    ) -> Result<()> {
        if !worth_another_try(&error, again) {
            return Err(error);
        }
        self.asked += 1;
        if error.kind() == ErrorKind::Unavailable && self.asked < self.servers {
            return Ok(());
        }
        (self.asked, self.tried) = (0, self.tried + 1);
        if self.tried == ATTEMPTS {
            return Err(error);
        }
        let pause = wished.unwrap_or(self.next);
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
pub(super) fn hint(status: &Status) -> Option<Duration> {
    let ms = status.metadata().get(RETRY_AFTER_MS)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(ms).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use std::time::Instant;

    use super::*;

    fn try_again(
        pauses: &mut Pauses,
        error: Error,
        wished: Option<Duration>,
        deadline: Deadline,
    ) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(pauses.before_another_try(error, wished, Again::Yes, deadline))
    }

    fn no_leader() -> Error {
        Error::Unavailable("no leader".to_owned())
    }

    #[test]
    fn a_pause_that_would_end_after_the_deadline_is_not_begun() {
        let mut pauses = Pauses::among(1);
        let (begun, wanted) = (Instant::now(), Duration::from_secs(4));
        let wished = Some(Duration::from_secs(5));
        let refused = try_again(&mut pauses, no_leader(), wished, Deadline::after(wanted)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Timeout);
        assert!(begun.elapsed() < wanted, "{:?}", begun.elapsed());
        let begun = Instant::now();
        try_again(&mut pauses, no_leader(), None, Deadline::after(Duration::from_secs(60))).unwrap();
        try_again(&mut pauses, no_leader(), None, Deadline::NEVER).unwrap();
        assert!(begun.elapsed() >= FIRST_PAUSE * 3, "{:?}", begun.elapsed());
    }

    #[test]
    fn every_server_is_asked_before_the_first_pause_and_a_busy_one_is_given_time() {
        let long = Some(Duration::from_secs(3_600));
        let soon = || Deadline::after(Duration::from_secs(60));
        let mut pauses = Pauses::among(3);
        for _ in 0..2 {
            try_again(&mut pauses, no_leader(), long, soon()).unwrap();
        }
        // After the third there is nobody else.
        assert_eq!(try_again(&mut pauses, no_leader(), long, soon()).unwrap_err().kind(), ErrorKind::Timeout);
        let busy = Error::Exhausted("too many requests wait".to_owned());
        assert_eq!(
            try_again(&mut Pauses::among(3), busy, long, soon()).unwrap_err().kind(),
            ErrorKind::Timeout
        );
    }
}
