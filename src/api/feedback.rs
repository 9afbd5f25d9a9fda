//! The `Feedback` service.

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::admission::Lane;
use super::border::stamp_events;
use super::core::Core;
use super::proto as pb;
use super::streams::{Replies, answer_each};
use super::{convert, deadline::deadline_of};
use crate::error::Result;

type Reply<T> = std::result::Result<Response<T>, Status>;

/// The service.
pub(super) struct FeedbackService(pub(super) Core);

fn record(core: &Core, request: pb::RecordRequest) -> Result<pb::RecordReply> {
    let events = convert::events(request, core.limits().batch_rows_max)?;
    let (accepted, token) = core.engine()?.feedback(stamp_events(events))?;
    Ok(pb::RecordReply { accepted, token: Some(token.into()) })
}

#[async_trait]
impl pb::feedback_server::Feedback for FeedbackService {
    type RecordStreamStream = Replies<pb::RecordReply>;

    async fn record(&self, request: Request<pb::RecordRequest>) -> Reply<pb::RecordReply> {
        let deadline = self.0.deadline(request.metadata());
        self.0.answer(Lane::Write, deadline, |core| record(core, request.into_inner())).await
    }

    async fn record_stream(
        &self,
        request: Request<Streaming<pb::RecordRequest>>,
    ) -> Reply<Self::RecordStreamStream> {
        let deadline = deadline_of(request.metadata(), None);
        let core = self.0.clone();
        Ok(answer_each(self.0.clone(), request.into_inner(), move |batch| {
            let core = core.clone();
            async move { core.run(Lane::Write, deadline, |core| record(core, batch)).await }
        }))
    }
}
