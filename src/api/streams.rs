//! Streams of batches with one reply each, in order: back-pressure by answering before reading on.

use std::future::Future;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};
use tracing::Instrument;

use super::core::Core;
use super::status::to_status;
use crate::error::{Error, Result};

/// The replies of a stream.
pub(super) type Replies<T> = ReceiverStream<std::result::Result<T, Status>>;

/// Answers each message before the next one is read, so that at most one batch of a stream is in memory besides what
/// the transport's window holds. The first error ends the stream; so does a stopping server, between two batches.
pub(super) fn answer_each<P, R, F>(
    core: Core,
    mut input: Streaming<P>,
    mut answer: impl FnMut(P) -> F + Send + 'static,
) -> Response<Replies<R>>
where
    P: Send + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R>> + Send,
{
    let (replies, receiver) = mpsc::channel(1);
    let task = async move {
        while let Some(message) = next(&core, &mut input).await {
            let reply = match message {
                Ok(message) => answer(message).await.map_err(|error| to_status(&error)),
                Err(status) => Err(status),
            };
            let failed = reply.is_err();
            if replies.send(reply).await.is_err() || failed {
                break;
            }
        }
    };
    tokio::spawn(task.in_current_span());
    Response::new(ReceiverStream::new(receiver))
}

/// The next message of a stream; `None` at its end.
pub(super) async fn next<P>(core: &Core, input: &mut Streaming<P>) -> Option<std::result::Result<P, Status>> {
    tokio::select! {
        biased;
        () = core.stopped() => Some(Err(to_status(&Error::Unavailable("the server is stopping".to_owned())))),
        message = input.message() => message.transpose(),
    }
}
