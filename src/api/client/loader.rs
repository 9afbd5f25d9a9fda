//! A bulk load over one stream, a few batches ahead of the acknowledgements.

use tonic::Status;

use super::batches::{Batches, OnBreak};
use super::connection::{Again, Client, Pauses, hint};
use crate::api::convert::{Batch, load_kind_to_proto};
use crate::api::proto as pb;
use crate::api::status::from_status;
use crate::error::Result;
use crate::node::{LoadKind, LoadProgress};
use crate::pipeline::request::WriteToken;
use crate::types::Deadline;

/// A bulk load in progress. Batches not yet acknowledged are kept and sent again when the connection breaks.
pub struct Loader {
    load_id: String,
    batches: Batches<pb::PushRequest, pb::LoadProgress>,
    done: LoadProgress,
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

    /// Begins, or goes on with, a load that stands at `done`. Of several servers it stays with the one that is asked now, which has what
    /// was sent before.
    #[must_use]
    pub fn loader(&self, load_id: &str, done: LoadProgress) -> Loader {
        // What is sent again is skipped by the server: it knows which rows it has.
        let batches = Batches::new(self, OnBreak::Stay, |client, batches| {
            let mut service = client.loads_stub();
            Box::pin(async move { service.push(batches).await })
        });
        Loader { load_id: load_id.to_owned(), batches, done }
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
            // At the server that has the rows, and at no other.
            let mut pauses = Pauses::among(1);
            loop {
                match self.finish_once(message.clone(), progress).await {
                    Ok(reply) => {
                        let token = reply.token.map(TryInto::try_into).transpose()?.unwrap_or_default();
                        return Ok((reply.progress.map(Into::into).unwrap_or_default(), token));
                    }
                    Err(status) => {
                        let error = from_status(&status);
                        pauses.before_another_try(error, hint(&status), Again::Yes, Deadline::NEVER).await?;
                    }
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
        self.batches.push(request, |progress| self.done = progress.into())?;
        Ok(self.done)
    }

    /// Waits until everything sent is durable.
    ///
    /// # Errors
    /// The server's, about any batch.
    pub fn flush(&mut self) -> Result<LoadProgress> {
        self.batches.flush(|progress| self.done = progress.into())?;
        Ok(self.done)
    }
}
