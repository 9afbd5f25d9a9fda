//! Who makes the connections of [`wire`](super::wire): one task for each node that is written to, and the port, which tells
//! them from those of gRPC by their first byte.
//!
//! There are none where nodes have certificates: those are gRPC's.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::frame::Local;
use super::links::Links;
use super::proto as pb;
use super::wire::{ACCEPTED, PREFACE, encode};
use crate::driver::mailbox::FromPeers;
use crate::ids::StoreId;

/// How long a connection may take to be made, and to say what it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(20);
/// What was sent and not acknowledged for so long breaks the connection.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(6);
/// Pause after the first failure; doubled with each, up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A node that knows no such connections is asked again so often: it may be another program by then.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(5);
/// Bytes of the first frame: a header.
const HELLO_BYTES_MAX: u32 = 1_024;
/// Pause when the port has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that wait to be served.
const ACCEPTED_MAX: usize = 64;

/// Keeps a connection to a store, while its address is known and the network runs.
pub(super) async fn keep(links: Weak<Links>, store: StoreId) {
    let mut pause = PAUSE;
    loop {
        let Some((local, address)) = links.upgrade().and_then(|links| links.whom_to_dial(store)) else {
            return;
        };
        let dialled = timeout(CONNECT_TIMEOUT, dial(&address, local, store)).await;
        let next = match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let (alive, ended) = oneshot::channel();
                let Some(links) = links.upgrade() else { return };
                links.hand_over(FromPeers::Linked { store, stream, alive });
                drop(links);
                // Dropped with the connection; at once, if the Raft thread had no room for it.
                let _ = ended.await;
                PAUSE
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => UNKNOWN_PAUSE,
            Err(error) => {
                tracing::debug!(%store, %error, "a node cannot be connected to");
                (pause * 2).min(PAUSE_MAX)
            }
        };
        tokio::time::sleep(pause).await;
        pause = next;
    }
}

async fn dial(address: &str, local: Local, store: StoreId) -> io::Result<std::net::TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let hello = encode(&pb::RaftFrame { header: Some(local.header(store)), ..pb::RaftFrame::default() });
    stream.write_all(&[&PREFACE[..], &hello].concat()).await?;
    match stream.read_u8().await? {
        ACCEPTED => stream.into_std(),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Accepts connections: those of nodes go to the Raft thread, the others come out here.
pub(super) fn sort(
    listener: TcpListener,
    local: Local,
    links: Arc<Links>,
) -> mpsc::Receiver<io::Result<TcpStream>> {
    let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (sender, links) = (sender.clone(), links.clone());
            tokio::spawn(async move {
                let told = timeout(FIRST_BYTE_TIMEOUT, welcome(stream, local, &links)).await;
                match told {
                    // The server has ended.
                    Ok(Ok(Some(stream))) => drop(sender.send(Ok(stream)).await),
                    Ok(Ok(None)) | Err(_) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "a connection ended before it said what it is"),
                }
            });
        }
    });
    receiver
}

/// Finds out what a connection is; one for gRPC comes back.
async fn welcome(mut stream: TcpStream, local: Local, links: &Links) -> io::Result<Option<TcpStream>> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || first[0] != PREFACE[0] {
        return Ok(Some(stream));
    }
    let refused = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    let length = stream.read_u32_le().await?;
    if preface != PREFACE || length > HELLO_BYTES_MAX {
        return Err(refused("it is of no known kind".to_owned()));
    }
    let mut hello = vec![0; length as usize];
    stream.read_exact(&mut hello).await?;
    let hello =
        <pb::RaftFrame as prost::Message>::decode(&hello[..]).map_err(|error| refused(error.to_string()))?;
    let store = links.check(local, hello.header.as_ref()).map_err(|error| {
        tracing::warn!(reason = %error, "something from another node was refused");
        refused(error.to_string())
    })?;
    stream.write_all(&[ACCEPTED]).await?;
    // Dropped, if the Raft thread has no room for it: whoever connects tries again.
    links.hand_over(FromPeers::LinkedFrom { store, stream: stream.into_std()? });
    Ok(None)
}
