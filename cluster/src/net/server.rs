//! What other nodes call. Nothing of it is trusted before it is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;
use parking_lot::Mutex;
use tonic::{Request, Response, Status, Streaming};

use super::calls::{Joining, write_outcome};
use super::frame::{Local, VERSION, read_packet, read_raft};
use super::links::Links;
use super::network::Handlers;
use super::proto::{self as pb, peers_server::Peers};
use crate::driver::alarm::Bell;
use crate::driver::mailbox::FromPeers;
use crate::driver::transfer_thread::TransferJob;
use crate::edge::Refused;
use crate::error::ClusterError;
use crate::group::{Applied, GroupHandle};
use crate::ids::{GroupId, PeerId, StoreId};
use crate::metrics::Metrics;
use crate::snapshot::packet::Packet;

/// Longest wait for a proposal, whatever the caller asks.
const PROPOSE_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Bytes of an address.
const ADDRESS_BYTES_MAX: usize = 256;
/// Groups one node may bring along.
const REPLICAS_MAX: usize = 65_536;

/// The service.
pub(super) struct Service {
    pub local: Local,
    pub links: Arc<Links>,
    pub peers: Bell<FromPeers>,
    pub transfers: Sender<TransferJob>,
    pub groups: Arc<Mutex<BTreeMap<GroupId, GroupHandle>>>,
    pub handlers: Arc<Handlers>,
    pub metrics: Arc<Metrics>,
}

impl Service {
    fn check(&self, header: Option<&pb::Header>) -> Result<StoreId, Status> {
        self.links.check(self.local, header).map_err(|reason| match reason {
            Refused::Removed(_) => Status::permission_denied(reason.to_string()),
            reason => refused(reason),
        })
    }

    /// Hands something to the Raft thread; a full inbox drops it, as the network might.
    fn deliver(&self, what: FromPeers) {
        if self.peers.try_send(what).is_err() {
            Metrics::add(&self.metrics.messages_dropped, 1);
        }
    }
}

fn refused(refused: Refused) -> Status {
    tracing::warn!(reason = %refused, "something from another node was refused");
    Status::invalid_argument(refused.to_string())
}

#[tonic::async_trait]
impl Peers for Service {
    async fn hello(&self, _: Request<pb::HelloRequest>) -> Result<Response<pb::HelloReply>, Status> {
        let cluster = Bytes::copy_from_slice(&self.local.cluster.0.to_be_bytes());
        Ok(Response::new(pb::HelloReply { version: VERSION, cluster, store: self.local.store.0 }))
    }

    async fn raft(
        &self,
        request: Request<Streaming<pb::RaftFrame>>,
    ) -> Result<Response<pb::StreamEnd>, Status> {
        let mut frames = request.into_inner();
        while let Some(frame) = frames.message().await? {
            let from = self.check(frame.header.as_ref())?;
            let messages = read_raft(&frame.messages).map_err(refused)?;
            Metrics::add(&self.metrics.messages_received, messages.len());
            self.deliver(FromPeers::Raft { from, messages });
        }
        Ok(Response::new(pb::StreamEnd {}))
    }

    async fn files(
        &self,
        request: Request<Streaming<pb::FilesFrame>>,
    ) -> Result<Response<pb::StreamEnd>, Status> {
        let mut frames = request.into_inner();
        while let Some(frame) = frames.message().await? {
            let from = self.check(frame.header.as_ref())?;
            let what = read_packet(frame, self.local.store).map_err(refused)?;
            match what.packet {
                // Straight to the files; a full queue drops it, and it is asked for again.
                Packet::Chunk(chunk) => {
                    drop(self.transfers.try_send(TransferJob::Chunk { group: what.group, chunk }));
                }
                _ => self.deliver(FromPeers::Packet { from, what: Box::new(what) }),
            }
        }
        Ok(Response::new(pb::StreamEnd {}))
    }

    async fn propose(
        &self,
        request: Request<pb::ProposeRequest>,
    ) -> Result<Response<pb::ProposeReply>, Status> {
        let request = request.into_inner();
        self.check(request.header.as_ref())?;
        let group = GroupId(request.group);
        let handle = self.groups.lock().get(&group).cloned();
        let timeout = Duration::from_millis(request.timeout_ms.into()).min(PROPOSE_TIMEOUT_MAX);
        let (outcome, leader) = match handle {
            None => (Err(ClusterError::NotLeader { group, hint: None }), None),
            Some(handle) => {
                let outcome = propose(&handle, request.data, timeout).await;
                (outcome, handle.status().leader_store)
            }
        };
        Ok(Response::new(write_outcome(outcome, leader)))
    }

    async fn join(&self, request: Request<pb::JoinRequest>) -> Result<Response<pb::JoinReply>, Status> {
        let request = request.into_inner();
        let store = self.check(request.header.as_ref())?;
        let long = request.address.len().max(request.api.len()) > ADDRESS_BYTES_MAX;
        if long || request.replicas.len() > REPLICAS_MAX {
            return Err(refused(Refused::Malformed("a request to join")));
        }
        let replicas = request.replicas.iter().map(|new| (GroupId(new.group), PeerId(new.peer)));
        let (address, api) = (request.address, request.api);
        let joining = Joining { store, address, api, replicas: replicas.collect() };
        let handlers = self.handlers.clone();
        let outcome = tokio::task::spawn_blocking(move || (handlers.join)(joining)).await;
        let reply = match outcome.map_err(|_| Status::internal("the request panicked"))? {
            Ok(map) => {
                pb::JoinReply { outcome: pb::Outcome::Done.into(), reason: String::new(), map: map.into() }
            }
            Err(reason) => pb::JoinReply { outcome: pb::Outcome::Busy.into(), reason, map: Bytes::new() },
        };
        Ok(Response::new(reply))
    }

    async fn call(&self, request: Request<pb::CallRequest>) -> Result<Response<pb::CallReply>, Status> {
        let request = request.into_inner();
        let from = self.check(request.header.as_ref())?;
        let handlers = self.handlers.clone();
        let work = move || (handlers.call)(from, request.topic, request.request);
        let outcome = tokio::task::spawn_blocking(work).await;
        let reply = match outcome.map_err(|_| Status::internal("the request panicked"))? {
            Ok(reply) => pb::CallReply { ok: true, reply, reason: String::new() },
            Err(reason) => pb::CallReply { ok: false, reply: Bytes::new(), reason },
        };
        Ok(Response::new(reply))
    }
}

async fn propose(handle: &GroupHandle, data: Bytes, timeout: Duration) -> Result<Applied, ClusterError> {
    let answer = handle.propose(data)?;
    let unknown = Err(ClusterError::Timeout { group: handle.id() });
    tokio::time::timeout(timeout, answer).await.unwrap_or(unknown)
}
