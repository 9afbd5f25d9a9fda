//! A bulk load over one stream, a few batches ahead of the acknowledgements.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::connection::{Again, Client, Pauses};
use crate::api::convert::{Batch, load_kind_to_proto};
use crate::api::proto as pb;
use crate::error::Result;
use crate::node::{LoadKind, LoadProgress};
use crate::pipeline::request::WriteToken;
use crate::types::Deadline;

/// Batches on the way before the sender waits for an answer.
const ON_THE_WAY_MAX: usize = 3;
/// How long the end of a stream is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A bulk load in progress. Batches not yet acknowledged are kept and sent again when the connection breaks.
pub struct Loader {
    client: Client,
    load_id: String,
    stream: Option<Stream>,
    unacknowledged: VecDeque<pb::PushRequest>,
    done: LoadProgress,
}

struct Stream {
    requests: mpsc::Sender<pb::PushRequest>,
    replies: Streaming<pb::LoadProgress>,
}

impl Client {
    /// Where a load stands. See [`crate::Segue::load_progress`].
    ///
    /// # Errors
    /// The server's, and `Unavailable` when it cannot be reached.
    pub fn load_progress(&self, load_id: &str) -> Result<LoadProgress> {
        let message = pb::GetProgressRequest { load_id: load_id.to_owned() };
        let reply = self.call(Again::Yes, Deadline::NEVER, message, |message| {
            let mut service = self.loads_stub();
            async move { service.get_progress(message).await }
        })?;
        Ok(reply.into())
    }

    /// Begins, or goes on with, a load that stands at `done`.
    #[must_use]
    pub fn loader(&self, load_id: &str, done: LoadProgress) -> Loader {
        Loader {
            client: self.clone(),
            load_id: load_id.to_owned(),
            stream: None,
            unacknowledged: VecDeque::new(),
            done,
        }
    }

    /// Ends a load. See [`crate::Segue::finish_load`].
    ///
    /// # Errors
    /// The server's, and `Unavailable` when it cannot be reached.
    pub fn finish_load(
        &self,
        load_id: &str,
        kind: LoadKind,
        progress: &dyn Fn(f64),
    ) -> Result<(LoadProgress, WriteToken)> {
        let message =
            pb::FinishLoadRequest { load_id: load_id.to_owned(), kind: load_kind_to_proto(kind).into() };
        self.runtime.block_on(async {
            let mut pauses = Pauses::new();
            loop {
                match self.finish_once(message.clone(), progress).await {
                    Ok(reply) => {
                        let token = reply.token.map(TryInto::try_into).transpose()?.unwrap_or_default();
                        return Ok((reply.progress.map(Into::into).unwrap_or_default(), token));
                    }
                    Err(status) => pauses.before_another_try(&status, Again::Yes, Deadline::NEVER).await?,
                }
            }
        })
    }

    async fn finish_once(
        &self,
        message: pb::FinishLoadRequest,
        progress: &dyn Fn(f64),
    ) -> std::result::Result<pb::FinishLoadReply, Status> {
        let mut replies = self.loads_stub().finish(message).await?.into_inner();
        while let Some(reply) = replies.message().await? {
            progress(reply.share);
            if reply.progress.is_some() {
                return Ok(reply);
            }
        }
        Err(Status::unavailable("the server ended the load before it was finished"))
    }
}

impl Loader {
    /// Sends one batch; returns what is durable by now, which may be less than what was sent.
    ///
    /// # Errors
    /// The server's, about this batch or an earlier one.
    pub fn push(&mut self, first_row: u64, batch: Batch) -> Result<LoadProgress> {
        let request = pb::PushRequest { load_id: self.load_id.clone(), first_row, rows: Some(batch.into()) };
        self.unacknowledged.push_back(request.clone());
        self.drive(Some(request), ON_THE_WAY_MAX)
    }

    /// Waits until everything sent is durable.
    ///
    /// # Errors
    /// The server's, about any batch.
    pub fn flush(&mut self) -> Result<LoadProgress> {
        let done = self.drive(None, 0)?;
        self.end();
        Ok(done)
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

    /// Sends `request`, then waits until at most `on_the_way_max` batches are unacknowledged; again after a break.
    fn drive(&mut self, mut request: Option<pb::PushRequest>, on_the_way_max: usize) -> Result<LoadProgress> {
        let client = self.client.clone();
        client.runtime.block_on(async {
            let mut pauses = Pauses::new();
            loop {
                match self.exchange(request.take(), on_the_way_max).await {
                    Ok(()) => return Ok(self.done),
                    Err(status) => {
                        self.stream = None;
                        pauses.before_another_try(&status, Again::Yes, Deadline::NEVER).await?;
                    }
                }
            }
        })
    }

    async fn exchange(
        &mut self,
        request: Option<pb::PushRequest>,
        on_the_way_max: usize,
    ) -> std::result::Result<(), Status> {
        let mut stream = match (self.stream.take(), request) {
            (Some(stream), None) => stream,
            (Some(stream), Some(request)) => {
                // A stream that broke says why in its replies; what was sent stays in `unacknowledged`.
                let _ = stream.requests.send(request).await;
                stream
            }
            (None, _) => self.reopen().await?,
        };
        while self.unacknowledged.len() > on_the_way_max {
            match stream.replies.message().await? {
                Some(progress) => self.done = progress.into(),
                None => return Err(Status::unavailable("the server ended the stream")),
            }
            self.unacknowledged.pop_front();
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// A new stream that begins with everything unacknowledged; the server skips rows it has.
    async fn reopen(&self) -> std::result::Result<Stream, Status> {
        let (requests, receiver) = mpsc::channel(ON_THE_WAY_MAX + 2);
        for request in &self.unacknowledged {
            let failed = |_| Status::internal("more batches are unacknowledged than fit on the way");
            requests.try_send(request.clone()).map_err(failed)?;
        }
        let replies = self.client.loads_stub().push(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Stream { requests, replies })
    }
}
