//! Batches over one stream, a few ahead of their acknowledgements.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::connection::{Again, Client, Pauses, hint};
use crate::api::status::from_status;
use crate::error::Result;
use crate::types::Deadline;

/// Batches on the way before the sender waits for an answer.
pub(super) const ON_THE_WAY_MAX: usize = 3;
/// How long the end of a stream is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A call that opens a stream of batches.
pub(super) type Opening<R> =
    Pin<Box<dyn Future<Output = std::result::Result<Response<Streaming<R>>, Status>> + Send>>;

/// Batches of a method that acknowledges each of them, in order. Those not yet acknowledged are kept and sent again when the connection
/// breaks: doing one twice must be the same as doing it once.
pub(super) struct Batches<P, R> {
    client: Client,
    open: fn(&Client, ReceiverStream<P>) -> Opening<R>,
    on_break: OnBreak,
    stream: Option<Stream<P, R>>,
    unacknowledged: VecDeque<P>,
}

/// Where batches go on when their connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnBreak {
    /// At any server.
    Anywhere,
    /// At the same server: it alone has what was sent before.
    Stay,
}

struct Stream<P, R> {
    requests: mpsc::Sender<P>,
    replies: Streaming<R>,
}

impl<P: Clone, R> Batches<P, R> {
    /// None yet; the stream is opened with the first.
    pub(super) fn new(
        client: &Client,
        on_break: OnBreak,
        open: fn(&Client, ReceiverStream<P>) -> Opening<R>,
    ) -> Self {
        Self { client: client.clone(), open, on_break, stream: None, unacknowledged: VecDeque::new() }
    }

    /// Sends a batch, and hands over what acknowledges earlier ones until few are on the way.
    ///
    /// # Errors
    /// The server's, about this batch or an earlier one.
    pub(super) fn push(&mut self, batch: P, acknowledged: impl FnMut(R)) -> Result<()> {
        self.unacknowledged.push_back(batch.clone());
        self.drive(Some(batch), ON_THE_WAY_MAX, acknowledged)
    }

    /// Waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// The server's, about any batch.
    pub(super) fn flush(&mut self, acknowledged: impl FnMut(R)) -> Result<()> {
        self.drive(None, 0, acknowledged)?;
        self.end();
        Ok(())
    }

    /// Ends the stream as its requests end, so that the server counts it as done and not as cancelled. Everything is
    /// answered: what the server may still say, or that it is gone, changes nothing.
    fn end(&mut self) {
        let Some(Stream { requests, mut replies }) = self.stream.take() else { return };
        drop(requests);
        let ended = async { while let Ok(Some(_)) = replies.message().await {} };
        self.client.runtime.block_on(async {
            let _ = tokio::time::timeout(END_TIMEOUT, ended).await;
        });
    }

    /// Sends `batch`, then waits until at most `most` batches are unacknowledged; again after a break.
    fn drive(&mut self, mut batch: Option<P>, most: usize, mut acknowledged: impl FnMut(R)) -> Result<()> {
        let client = self.client.clone();
        client.runtime.block_on(async {
            let moves = self.on_break == OnBreak::Anywhere;
            let mut pauses = Pauses::among(if moves { client.servers.count() } else { 1 });
            loop {
                let asked = client.servers.asked();
                let Err(status) = self.exchange(batch.take(), most, &mut acknowledged).await else {
                    return Ok(());
                };
                self.stream = None;
                let error = if moves { client.failed(asked, &status) } else { from_status(&status) };
                pauses.before_another_try(error, hint(&status), Again::Yes, Deadline::NEVER).await?;
            }
        })
    }

    async fn exchange(
        &mut self,
        batch: Option<P>,
        most: usize,
        acknowledged: &mut impl FnMut(R),
    ) -> std::result::Result<(), Status> {
        let mut stream = match (self.stream.take(), batch) {
            (Some(stream), None) => stream,
            (Some(stream), Some(batch)) => {
                // A stream that broke says why in its replies; what was sent stays in `unacknowledged`.
                let _ = stream.requests.send(batch).await;
                stream
            }
            (None, _) => self.reopen().await?,
        };
        while self.unacknowledged.len() > most {
            match stream.replies.message().await? {
                Some(reply) => acknowledged(reply),
                None => return Err(Status::unavailable("the server ended the stream")),
            }
            self.unacknowledged.pop_front();
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// A new stream that begins with everything unacknowledged.
    async fn reopen(&self) -> std::result::Result<Stream<P, R>, Status> {
        let (requests, receiver) = mpsc::channel(ON_THE_WAY_MAX + 2);
        for batch in &self.unacknowledged {
            let failed = |_| Status::internal("more batches are unacknowledged than fit on the way");
            requests.try_send(batch.clone()).map_err(failed)?;
        }
        let replies = (self.open)(&self.client, ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Stream { requests, replies })
    }
}
