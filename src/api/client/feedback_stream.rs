//! Feedback over one stream, a few batches ahead of the acknowledgements.

use super::batches::{Batches, OnBreak};
use super::connection::Client;
use crate::api::border::stamp_events;
use crate::api::proto as pb;
use crate::error::Result;
use crate::pipeline::request::WriteToken;
use crate::types::FeedbackEvent;

/// What a server says of a batch once it is durable: which of its events are new, in their order, and a token for reading them. Of a
/// batch that was sent again, what had got through before is not new.
pub type Recorded = (Vec<bool>, WriteToken);

/// A stream of feedback. Batches not yet acknowledged are kept and sent again when the connection breaks, and count once: events are
/// known by what they say. After an error it is not gone on with; what was not acknowledged may have been recorded.
pub struct FeedbackStream {
    batches: Batches<pb::RecordRequest, pb::RecordReply>,
}

impl Client {
    /// Begins a stream of feedback: for services that record thousands of events a second. Nothing is sent yet.
    #[must_use]
    pub fn feedback_stream(&self) -> FeedbackStream {
        let batches = Batches::new(self, OnBreak::Anywhere, |client, batches| {
            let mut service = client.feedback_stub();
            Box::pin(async move { service.record_stream(batches).await })
        });
        FeedbackStream { batches }
    }
}

impl FeedbackStream {
    /// Sends a batch, and returns what was said of earlier ones meanwhile, in the order they were sent; waits where several are on
    /// the way. Events without a time get one here.
    ///
    /// # Errors
    /// The server's, about this batch or an earlier one.
    pub fn send(&mut self, events: Vec<FeedbackEvent>) -> Result<Vec<Recorded>> {
        let events = stamp_events(events).into_iter().map(Into::into).collect();
        let mut replies = Vec::new();
        self.batches.push(pb::RecordRequest { events }, |reply| replies.push(reply))?;
        replies.into_iter().map(recorded).collect()
    }

    /// Waits until everything sent is durable, and returns what was said of it.
    ///
    /// # Errors
    /// The server's, about any batch.
    pub fn flush(&mut self) -> Result<Vec<Recorded>> {
        let mut replies = Vec::new();
        self.batches.flush(|reply| replies.push(reply))?;
        replies.into_iter().map(recorded).collect()
    }
}

fn recorded(reply: pb::RecordReply) -> Result<Recorded> {
    Ok((reply.accepted, reply.token.map(TryInto::try_into).transpose()?.unwrap_or_default()))
}
