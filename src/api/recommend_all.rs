//! Lists for all listeners as one stream: a few at a time, each taking its turn among all other queries.

use std::time::Duration;

use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;

use super::admission::Lane;
use super::core::Core;
use super::proto as pb;
use super::status::to_status;
use super::streams::Replies;
use crate::error::{Error, Result};
use crate::pipeline::batch::BatchRequest;
use crate::pipeline::request::{RecommendRequest, Recommendation};
use crate::types::{Deadline, Part, User, UserId};

/// Listeners read at a time.
const PAGE: usize = 256;
/// Lists that are made at once; made but unread ones are at most twice as many.
const AT_ONCE: usize = 4;
/// How long to step back when other queries fill the lane.
const PAUSE: Duration = Duration::from_millis(20);

/// Begins the stream.
///
/// # Errors
/// `Exhausted` when there are too many.
pub(super) fn recommend_all(
    core: Core,
    request: BatchRequest,
    after: Option<UserId>,
) -> Result<Replies<pb::Recommendation>> {
    let place = core.begin_stream()?;
    let (replies, receiver) = mpsc::channel(AT_ONCE);
    let task = async move {
        let _place = place;
        let ended = tokio::select! {
            biased;
            () = core.stopped() => Err(Error::Unavailable("the server is stopping".to_owned())),
            ended = send_all(&core, &request, after, &replies) => ended,
        };
        if let Err(error) = ended {
            // Nobody to tell when the caller is gone.
            let _ = replies.send(Err(to_status(&error))).await;
        }
    };
    tokio::spawn(task.in_current_span());
    Ok(ReceiverStream::new(receiver))
}

async fn send_all(
    core: &Core,
    request: &BatchRequest,
    mut after: Option<UserId>,
    replies: &Sender<std::result::Result<pb::Recommendation, Status>>,
) -> Result<()> {
    loop {
        let (users, next) = page(core, request.part, after).await?;
        for some in users.chunks(AT_ONCE) {
            let lists: Vec<_> = some
                .iter()
                .map(|user| {
                    tokio::spawn(list(core.clone(), request.request_for(&user.user_id)).in_current_span())
                })
                .collect();
            for list in lists {
                let list =
                    list.await.map_err(|failure| Error::Internal(format!("a list failed: {failure}")))?;
                let Some(list) = list? else { continue };
                if replies.send(Ok(list.into())).await.is_err() {
                    return Ok(());
                }
            }
        }
        match next {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

async fn page(core: &Core, part: Part, after: Option<UserId>) -> Result<(Vec<User>, Option<UserId>)> {
    loop {
        let from = after.clone();
        let work = move |core: &Core| core.engine()?.list_users_in(part, from, PAGE);
        match core.run(Lane::Query, Deadline::NEVER, work).await {
            Err(Error::Exhausted(_)) => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
}

/// One list; `None` when the listener is gone since they were read.
async fn list(core: Core, request: RecommendRequest) -> Result<Option<Recommendation>> {
    loop {
        let asked = request.clone();
        let work = move |core: &Core| core.engine()?.recommend(asked);
        match core.run(Lane::Query, Deadline::NEVER, work).await {
            Err(Error::Exhausted(_)) => tokio::time::sleep(PAUSE).await,
            Err(Error::NotFound { what, .. }) if what == "user" => return Ok(None),
            result => return result.map(Some),
        }
    }
}
