//! Calls to other nodes. Each makes its own connection attempt known: a call that never left is told from one whose
//! outcome is unknown.

use std::time::Duration;

use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};

use super::frame::{Local, VERSION, WIRE_BYTES_MAX};
use super::proto::{self as pb, peers_client::PeersClient};
use super::tls::{Tls, sources};
use crate::error::ClusterError;
use crate::group::Applied;
use crate::ids::{ClusterId, GroupId, PeerId, StoreId};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A silent connection is asked so often whether it lives, and may take so long to answer.
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// Makes a connection.
///
/// # Errors
/// A sentence; nothing was sent then.
pub(super) async fn connect(address: &str, tls: Option<&Tls>) -> Result<PeersClient<Channel>, String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(|_| format!("not an address. address=`{address}`"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let failed = |error: tonic::transport::Error| format!("{}. address=`{address}`", sources(&error));
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls.client()).map_err(failed)?;
    }
    let channel = endpoint.connect().await.map_err(failed)?;
    Ok(PeersClient::new(channel)
        .max_decoding_message_size(WIRE_BYTES_MAX)
        .max_encoding_message_size(WIRE_BYTES_MAX))
}

/// Asks a node who it is.
///
/// # Errors
/// A sentence.
pub(super) async fn hello(client: &mut PeersClient<Channel>) -> Result<Local, String> {
    let reply = client.hello(pb::HelloRequest {}).await.map_err(|status| status.message().to_owned())?;
    let reply = reply.into_inner();
    if reply.version != VERSION {
        return Err(format!(
            "the node speaks another version of the protocol: upgrade first. version=`{}`, known=`{VERSION}`",
            reply.version
        ));
    }
    let cluster = <[u8; 16]>::try_from(&reply.cluster[..]).map_err(|_| "its cluster id cannot be read")?;
    Ok(Local { cluster: ClusterId(u128::from_be_bytes(cluster)), store: StoreId(reply.store) })
}

/// What became of a proposal sent to another node.
pub(crate) enum Sent {
    Answered(Result<Applied, ClusterError>),
    /// Nothing was done: this one leads, if the node that was asked knows.
    NotLeader(Option<StoreId>),
    /// Nothing was sent.
    Undelivered(String),
}

/// Proposes to a group at the node that leads it.
pub(super) async fn propose(
    client: &mut PeersClient<Channel>,
    (local, to): (Local, StoreId),
    group: GroupId,
    data: Bytes,
    timeout: Duration,
) -> Sent {
    let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    let request = pb::ProposeRequest { header: Some(local.header(to)), group: group.0, data, timeout_ms };
    let mut request = tonic::Request::new(request);
    request.set_timeout(timeout + Duration::from_millis(100));
    match client.propose(request).await {
        Ok(reply) => read_reply(group, reply.into_inner()),
        Err(status) if never_left(&status) => Sent::Undelivered(status.message().to_owned()),
        // It may have arrived.
        Err(_) => Sent::Answered(Err(ClusterError::Timeout { group })),
    }
}

/// Reads what became of a proposal.
pub(super) fn read_reply(group: GroupId, reply: pb::ProposeReply) -> Sent {
    if reply.outcome() == pb::Outcome::NotLeader {
        return Sent::NotLeader((reply.leader_store != 0).then_some(StoreId(reply.leader_store)));
    }
    Sent::Answered(read_outcome(group, reply))
}

/// Whether a call failed because nobody listens there any more.
fn never_left(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        if error.downcast_ref::<std::io::Error>().is_some_and(refused) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn read_outcome(group: GroupId, reply: pb::ProposeReply) -> Result<Applied, ClusterError> {
    let error = match reply.outcome() {
        pb::Outcome::Done => {
            return Ok(Applied { index: reply.index, term: reply.term, reply: reply.reply });
        }
        pb::Outcome::NotLeader => ClusterError::NotLeader { group, hint: None },
        pb::Outcome::Busy => ClusterError::Busy { group, what: "its leader is busy" },
        pb::Outcome::DiskFull => {
            ClusterError::DiskFull { free_bytes: reply.index, reserve_bytes: reply.term }
        }
        pb::Outcome::TooLarge => ClusterError::TooLarge {
            bytes: usize::try_from(reply.index).unwrap_or(usize::MAX),
            max: usize::try_from(reply.term).unwrap_or(usize::MAX),
        },
        pb::Outcome::Failed => ClusterError::NodeFailed { reason: reply.reason.into() },
        pb::Outcome::Unknown | pb::Outcome::Unspecified => ClusterError::Timeout { group },
    };
    Err(error)
}

/// Writes the outcome of a proposal, and who leads, if that is known.
pub(super) fn write_outcome(
    outcome: Result<Applied, ClusterError>,
    leader: Option<StoreId>,
) -> pb::ProposeReply {
    let error = match outcome {
        Ok(Applied { index, term, reply }) => {
            let outcome = pb::Outcome::Done.into();
            return pb::ProposeReply { outcome, index, term, reply, reason: String::new(), leader_store: 0 };
        }
        Err(error) => error,
    };
    let (outcome, index, term) = match &error {
        ClusterError::NotLeader { .. } | ClusterError::Dropped { .. } => (pb::Outcome::NotLeader, 0, 0),
        ClusterError::Busy { .. } => (pb::Outcome::Busy, 0, 0),
        ClusterError::DiskFull { free_bytes, reserve_bytes } => {
            (pb::Outcome::DiskFull, *free_bytes, *reserve_bytes)
        }
        ClusterError::TooLarge { bytes, max } => (pb::Outcome::TooLarge, *bytes as u64, *max as u64),
        ClusterError::Timeout { .. } | ClusterError::Stopped { .. } => (pb::Outcome::Unknown, 0, 0),
        ClusterError::Quarantined { .. } | ClusterError::NodeFailed { .. } => (pb::Outcome::Failed, 0, 0),
    };
    let reason = error.to_string();
    let leader_store = leader.map_or(0, |store| store.0);
    pb::ProposeReply { outcome: outcome.into(), index, term, reply: Bytes::new(), reason, leader_store }
}

/// A node that asks to be added.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub store: StoreId,
    pub address: String,
    pub api: String,
    pub replicas: Vec<(GroupId, PeerId)>,
}

/// Asks to be added; the cluster's map afterwards.
///
/// # Errors
/// A sentence.
pub(super) async fn join(
    client: &mut PeersClient<Channel>,
    (local, to): (Local, StoreId),
    joining: &Joining,
    timeout: Duration,
) -> Result<Bytes, String> {
    let replicas =
        joining.replicas.iter().map(|(group, peer)| pb::NewReplica { group: group.0, peer: peer.0 });
    let mut request = tonic::Request::new(pb::JoinRequest {
        header: Some(local.header(to)),
        address: joining.address.clone(),
        api: joining.api.clone(),
        replicas: replicas.collect(),
    });
    request.set_timeout(timeout);
    let reply = client.join(request).await.map_err(|status| status.message().to_owned())?.into_inner();
    match reply.outcome() {
        pb::Outcome::Done => Ok(reply.map),
        _ => Err(reply.reason),
    }
}

/// Calls the program around the groups on another node.
///
/// # Errors
/// A sentence.
pub(super) async fn call(
    client: &mut PeersClient<Channel>,
    (local, to): (Local, StoreId),
    topic: u32,
    request: Bytes,
    timeout: Duration,
) -> Result<Bytes, String> {
    let mut request = tonic::Request::new(pb::CallRequest { header: Some(local.header(to)), topic, request });
    request.set_timeout(timeout);
    let reply = client.call(request).await.map_err(|status| status.message().to_owned())?.into_inner();
    if reply.ok { Ok(reply.reply) } else { Err(reply.reason) }
}
