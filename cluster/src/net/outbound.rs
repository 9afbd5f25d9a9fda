//! One outgoing stream: connects, sends what is queued, and after a failure pauses and connects again.

use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

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
pub(super) async fn run(links: Weak<Links>, store: StoreId, class: Class, mut queue: mpsc::Receiver<Frame>) {
    let mut pause = PAUSE;
    while let Some(first) = queue.recv().await {
        let start = Instant::now();
        let outcome = exchange(&links, store, class, first, &mut queue).await;
        let Err(reason) = outcome else {
            return;
        };
        tracing::debug!(%store, ?class, reason, "a stream to another node ended");
        // What waited is stale by the time there is a stream again; Raft repeats what matters.
        while queue.try_recv().is_ok() {}
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
    queue: &mut mpsc::Receiver<Frame>,
) -> Result<(), String> {
    let known = links.upgrade();
    let address = known.as_ref().and_then(|links| links.directory.address(store));
    let address = address.ok_or("nobody knows its address")?;
    let tls = known.as_ref().and_then(|links| links.wires()).and_then(|wires| wires.tls.clone());
    drop(known);
    let mut client = connect(&address, tls.as_ref()).await?;
    match class {
        Class::Raft => {
            let (sender, frames) = mpsc::channel(1);
            let call = client.raft(ReceiverStream::new(frames));
            pump(call, sender, first, queue, |frame| match frame {
                Frame::Raft(frame) => Some(frame),
                Frame::Files(_) => None,
            })
            .await
        }
        Class::Files => {
            let (sender, frames) = mpsc::channel(1);
            let call = client.files(ReceiverStream::new(frames));
            pump(call, sender, first, queue, |frame| match frame {
                Frame::Files(frame) => Some(frame),
                Frame::Raft(_) => None,
            })
            .await
        }
    }
}

async fn pump<T, R>(
    call: impl Future<Output = Result<R, Status>>,
    sender: mpsc::Sender<T>,
    first: Frame,
    queue: &mut mpsc::Receiver<Frame>,
    own: impl Fn(Frame) -> Option<T>,
) -> Result<(), String> {
    let mut call = std::pin::pin!(call);
    let ended = |outcome: Result<R, Status>| match outcome {
        Ok(_) => Err("the other node ended it".to_owned()),
        Err(status) => Err(status.message().to_owned()),
    };
    let mut next = own(first);
    loop {
        if let Some(frame) = next.take() {
            tokio::select! {
                outcome = &mut call => return ended(outcome),
                sent = sender.send(frame) => sent.map_err(|_| "the stream is closed".to_owned())?,
            }
        }
        tokio::select! {
            outcome = &mut call => return ended(outcome),
            frame = queue.recv() => match frame {
                Some(frame) => next = own(frame),
                None => return Ok(()),
            },
        }
    }
}
