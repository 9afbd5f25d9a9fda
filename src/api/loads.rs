//! The `Loads` service.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};
use tracing::Instrument;

use super::admission::Lane;
use super::convert::{self, Batch};
use super::core::Core;
use super::deadline::deadline_of;
use super::proto as pb;
use super::status::to_status;
use super::streams::{Replies, answer_each};
use crate::error::Result;
use crate::node::{LoadProgress, Segue};

/// Progress is sent when it has moved by this share.
const SHARE_STEP: f64 = 0.005;

type Reply<T> = std::result::Result<Response<T>, Status>;

/// The service.
pub(super) struct LoadsService(pub(super) Core);

fn push(core: &Core, request: pb::PushRequest) -> Result<pb::LoadProgress> {
    let (load_id, first_row, batch) = convert::push(request, core.limits().batch_rows_max)?;
    Ok(push_batch(core.engine()?, &load_id, first_row, batch)?.into())
}

/// One piece of a load into the engine.
///
/// # Errors
/// The engine's.
pub fn push_batch(engine: &Segue, load_id: &str, first_row: u64, batch: Batch) -> Result<LoadProgress> {
    match batch {
        Batch::Tracks(rows) => engine.load_tracks(load_id, first_row, rows),
        Batch::Users(rows) => engine.load_users(load_id, first_row, rows),
        Batch::Plays(rows) => engine.load_plays(load_id, first_row, rows),
        Batch::Vectors(space, generation, rows) => {
            engine.load_vectors(load_id, first_row, &space, generation, rows)
        }
    }
}

#[async_trait]
impl pb::loads_server::Loads for LoadsService {
    type PushStream = Replies<pb::LoadProgress>;
    type FinishStream = Replies<pb::FinishLoadReply>;

    async fn get_progress(&self, request: Request<pb::GetProgressRequest>) -> Reply<pb::LoadProgress> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let load_id = convert::load_id(request.into_inner().load_id)?;
            Ok(core.engine()?.load_progress(&load_id)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn push(&self, request: Request<Streaming<pb::PushRequest>>) -> Reply<Self::PushStream> {
        let deadline = deadline_of(request.metadata(), None);
        let core = self.0.clone();
        Ok(answer_each(self.0.clone(), request.into_inner(), move |batch| {
            let core = core.clone();
            async move { core.run(Lane::Load, deadline, |core| push(core, batch)).await }
        }))
    }

    async fn finish(&self, request: Request<pb::FinishLoadRequest>) -> Reply<Self::FinishStream> {
        let deadline = deadline_of(request.metadata(), None);
        let request = request.into_inner();
        let (replies, receiver) = mpsc::channel(16);
        let core = self.0.clone();
        let task = async move {
            let progress = replies.clone();
            let outcome = core.run(Lane::Load, deadline, move |core| finish(core, request, &progress)).await;
            // The caller may be gone; the load is finished all the same, and a second Finish says so.
            let _ = replies.send(outcome.map_err(|error| to_status(&error))).await;
        };
        tokio::spawn(task.in_current_span());
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

fn finish(
    core: &Core,
    request: pb::FinishLoadRequest,
    replies: &mpsc::Sender<std::result::Result<pb::FinishLoadReply, Status>>,
) -> Result<pb::FinishLoadReply> {
    let load_id = convert::load_id(request.load_id)?;
    let kind = convert::load_kind(request.kind)?;
    let sent = AtomicU64::new(0.0_f64.to_bits());
    let report = |share: f64| {
        let share = share.clamp(0.0, 1.0);
        let moved = share - f64::from_bits(sent.load(Ordering::Relaxed)) >= SHARE_STEP;
        // A slow reader misses steps; it never holds up the work.
        if moved && replies.try_send(Ok(pb::FinishLoadReply { share, progress: None, token: None })).is_ok() {
            sent.store(share.to_bits(), Ordering::Relaxed);
        }
    };
    let (progress, token) = core.engine()?.finish_load(&load_id, kind, &report)?;
    Ok(pb::FinishLoadReply { share: 1.0, progress: Some(progress.into()), token: Some(token.into()) })
}
