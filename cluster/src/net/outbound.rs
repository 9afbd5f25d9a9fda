//! One outgoing stream: connects, sends what is queued, and after a failure pauses and connects again.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};

use super::calls::connect;
use super::links::Links;
use super::proto as pb;
use crate::driver::mailbox::FromPeers;
use crate::ids::StoreId;

/// Pause after the first failure; doubled with each, up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A stream that lived so long is no failure.
const LIVED: Duration = Duration::from_secs(5);

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Raft,
    Files,
}

/// One frame of either class.
#[derive(Debug)]
pub(crate) enum Frame {
    Raft(pb::RaftFrame),
    Files(pb::FilesFrame),
}

/// Runs a stream until its queue is closed.
pub(super) async fn run(links: Weak<Links>, store: StoreId, class: Class, queue: mpsc::Receiver<Frame>) {
    let queue = Arc::new(Mutex::new(Queue { stream: 0, frames: queue }));
    let mut pause = PAUSE;
    while let Some(first) = std::future::poll_fn(|context| queue.lock().frames.poll_recv(context)).await {
        let start = Instant::now();
        let outcome = exchange(&links, store, class, first, &queue).await;
        let Err(reason) = outcome else {
            return;
        };
        tracing::debug!(%store, ?class, reason, "a stream to another node ended");
        queue.lock().end_stream();
        let Some(links) = links.upgrade() else {
            return;
        };
        if class == Class::Raft
            && let Some(wires) = links.wires()
        {
            // A full inbox: Raft finds out by the missing answers.
            let _ = wires.peers.try_send(FromPeers::Unreachable(store));
        }
        drop(links);
        pause = if start.elapsed() >= LIVED { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// Connects and sends; `Ok` when the queue was closed.
async fn exchange(
    links: &Weak<Links>,
    store: StoreId,
    class: Class,
    first: Frame,
    queue: &Arc<Mutex<Queue>>,
) -> Result<(), String> {
    let known = links.upgrade();
    let address = known.as_ref().and_then(|links| links.directory.address(store));
    let address = address.ok_or("nobody knows its address")?;
    let tls = known.as_ref().and_then(|links| links.wires()).and_then(|wires| wires.tls.clone());
    drop(known);
    let mut client = connect(&address, tls.as_ref()).await?;
    let frames = Frames { stream: queue.lock().stream, first: Some(first), queue: queue.clone() };
    let ended = match class {
        Class::Raft => {
            let frames = frames.filter_map(|frame| match frame {
                Frame::Raft(frame) => Some(frame),
                Frame::Files(_) => None,
            });
            client.raft(frames).await
        }
        Class::Files => {
            let frames = frames.filter_map(|frame| match frame {
                Frame::Files(frame) => Some(frame),
                Frame::Raft(_) => None,
            });
            client.files(frames).await
        }
    };
    match ended {
        Ok(_) if queue.lock().frames.is_closed() => Ok(()),
        Ok(_) => Err("the other node ended it".to_owned()),
        Err(status) => Err(status.message().to_owned()),
    }
}

/// What waits for a stream. The connection's own task takes it: a frame wakes nobody in between.
struct Queue {
    /// Number of the stream that may take from it.
    stream: u64,
    frames: mpsc::Receiver<Frame>,
}

impl Queue {
    /// Ends a stream: what is left of it takes nothing more. What waited is stale by the time there is a stream again; Raft
    /// repeats what matters.
    fn end_stream(&mut self) {
        self.stream += 1;
        while self.frames.try_recv().is_ok() {}
    }
}

/// The frames of one stream, until the queue is closed or another stream takes over.
struct Frames {
    stream: u64,
    first: Option<Frame>,
    queue: Arc<Mutex<Queue>>,
}

impl Stream for Frames {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let mut queue = self.queue.lock();
        if queue.stream == self.stream { queue.frames.poll_recv(context) } else { Poll::Ready(None) }
    }
}
