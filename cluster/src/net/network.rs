//! The network of a node: two threads, one port; and calls that block.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Server, server::TcpIncoming};

use super::calls::{self, Joining, Sent};
use super::dial;
use super::frame::{Local, WIRE_BYTES_MAX};
use super::links::{Links, Wires};
use super::proto::{peers_client::PeersClient, peers_server::PeersServer};
use super::race::{RaceEvent, RaceStep, Running, next_event};
use super::server::Service;
use super::tls::{Tls, TlsFiles, sources};
use crate::driver::alarm::Bell;
use crate::driver::mailbox::FromPeers;
use crate::driver::transfer_thread::TransferJob;
use crate::env::Room;
use crate::group::GroupHandle;
use crate::ids::{ClusterId, GroupId, StoreId};
use crate::metrics::Metrics;

const THREADS: usize = 2;
/// Threads for calls that block: joins, and the program's own. They are started as they are needed. The program bounds those
/// of its calls that wait for further ones, so that some are always left for calls that do not.
const BLOCKING_THREADS: usize = 128;
/// A silent connection is asked so often whether it lives, and may take so long to answer.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// How a node is reached.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Where other nodes are listened to. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// `HOST:PORT` other nodes reach it at; `None`: where it listens.
    pub advertise: Option<String>,
    /// Certificates, if nodes shall know each other by them. All nodes of a cluster have them or none.
    pub tls: Option<TlsFiles>,
}

/// Why the network could not be started, or another node not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The port or the threads.
    #[error("cannot {action}. address=`{address}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        address: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A node of another cluster was asked.
    #[error(
        "the node is of another cluster, and two clusters never become one. cluster=`{found}`, own=`{own}`"
    )]
    OtherCluster {
        /// Its cluster.
        found: ClusterId,
        /// The cluster of the directory.
        own: ClusterId,
    },
    /// A file of the certificates.
    #[error("certificates cannot be used: {reason}. file=`{file}`")]
    Tls {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
    /// A node that was asked.
    #[error("node cannot be asked: {reason}")]
    Peer {
        /// Why.
        reason: String,
    },
}

/// Answers calls of other nodes to the program around the groups: from whom, about what, and the request; a sentence when it
/// cannot. May block.
pub type CallHandler = Box<dyn Fn(StoreId, u32, Bytes) -> Result<Bytes, String> + Send + Sync>;

/// What the service hands on.
pub(crate) struct Handlers {
    pub join: Box<dyn Fn(Joining) -> Result<Vec<u8>, String> + Send + Sync>,
    pub call: CallHandler,
}

/// What of a node the network reaches.
pub(crate) struct Reach {
    pub local: Local,
    pub links: Arc<Links>,
    pub peers: Bell<FromPeers>,
    pub transfers: Sender<TransferJob>,
    pub groups: Arc<Mutex<BTreeMap<GroupId, GroupHandle>>>,
    pub metrics: Arc<Metrics>,
    pub room: Room,
}

/// The connections that gRPC serves.
enum Incoming {
    All(TcpIncoming),
    /// Those that nodes have for themselves are taken out.
    Sorted(ReceiverStream<std::io::Result<TcpStream>>),
}

impl Stream for Incoming {
    type Item = std::io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::All(all) => Pin::new(all).poll_next(context),
            Self::Sorted(sorted) => Pin::new(sorted).poll_next(context),
        }
    }
}

/// The running network.
pub(crate) struct Network {
    runtime: Option<Runtime>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    local: Local,
    links: Arc<Links>,
    /// Where other nodes reach this one.
    pub address: String,
    tls: Option<Tls>,
    clients: Mutex<BTreeMap<StoreId, (String, PeersClient<Channel>)>>,
}

impl Network {
    /// Binds the port, listens and starts sending.
    ///
    /// # Errors
    /// The port or the threads.
    pub fn start(
        config: &NetworkConfig,
        reach: Reach,
        handlers: Arc<Handlers>,
    ) -> Result<Self, NetworkError> {
        let error = |action| {
            let address = config.listen.to_string();
            move |source| NetworkError::Io { action, address, source }
        };
        let tls = config.tls.as_ref().map(Tls::read).transpose()?;
        let runtime = runtime(THREADS).map_err(error("start the network's threads"))?;
        let listener =
            runtime.block_on(TcpListener::bind(config.listen)).map_err(error("bind the cluster port"))?;
        let bound = listener.local_addr().map_err(error("read the cluster port"))?;
        let address = config.advertise.clone().unwrap_or_else(|| bound.to_string());
        let Reach { local, links, peers, transfers, groups, metrics, room: _ } = reach;
        let wires = Wires::new(local, runtime.handle().clone(), peers.clone(), tls.clone());
        links.open(wires);
        let service = Service { local, links: links.clone(), peers, transfers, groups, handlers, metrics };
        let service = PeersServer::new(service)
            .max_decoding_message_size(WIRE_BYTES_MAX)
            .max_encoding_message_size(WIRE_BYTES_MAX);
        // Certificates are gRPC's: with them, all connections are.
        let incoming = match tls {
            None => {
                let _inside = runtime.enter();
                Incoming::Sorted(ReceiverStream::new(dial::sort(listener, local, links.clone())))
            }
            Some(_) => Incoming::All(TcpIncoming::from(listener).with_nodelay(Some(true))),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = server(tls.as_ref())?
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .add_service(service)
            .serve_with_incoming(incoming);
        runtime.spawn(async move {
            tokio::select! {
                outcome = server => if let Err(error) = outcome {
                    tracing::error!(%error, "the cluster port stopped answering");
                },
                _ = stopped => {}
            }
        });
        let clients = Mutex::default();
        let stop = Mutex::new(Some(stop));
        Ok(Self { runtime: Some(runtime), stop, local, links, address, tls, clients })
    }

    /// Proposes to a group at another node, for at most `timeout`. Blocks.
    pub fn propose(&self, to: StoreId, group: GroupId, data: Bytes, timeout: Duration) -> Sent {
        if let Some(sent) = self.links.propose(to, group, &data, timeout) {
            return sent;
        }
        let Some(runtime) = &self.runtime else {
            return Sent::Undelivered("the network has stopped".to_owned());
        };
        runtime.block_on(async {
            let mut client = match self.client(to).await {
                Ok(client) => client,
                Err(reason) => return Sent::Undelivered(reason),
            };
            let sent = calls::propose(&mut client, (self.local, to), group, data, timeout).await;
            if matches!(&sent, Sent::Answered(Err(error)) if error.kind() == crate::ErrorKind::Unknown) {
                self.clients.lock().remove(&to);
            }
            sent
        })
    }

    /// Calls the program on another node. Blocks; `timeout` counts the making of a connection.
    ///
    /// # Errors
    /// A sentence.
    pub fn call(&self, to: StoreId, topic: u32, request: Bytes, timeout: Duration) -> Result<Bytes, String> {
        let runtime = self.runtime.as_ref().ok_or("the network has stopped")?;
        runtime.block_on(self.call_within(to, topic, request, timeout))
    }

    /// Calls the program on several nodes about one thing, as `step` says. Blocks.
    ///
    /// # Errors
    /// When the network has stopped.
    pub fn race<T>(&self, topic: u32, mut step: impl FnMut(RaceEvent) -> RaceStep<T>) -> Result<T, String> {
        let runtime = self.runtime.as_ref().ok_or("the network has stopped")?;
        runtime.block_on(async {
            let mut running = Vec::with_capacity(2);
            let mut event = RaceEvent::Began;
            loop {
                let wait = match step(event) {
                    RaceStep::Ask { to, request, timeout, wait } => {
                        let outcome = Box::pin(self.call_within(to, topic, request, timeout));
                        running.push(Running { to, begun: Instant::now(), outcome });
                        wait
                    }
                    RaceStep::Wait(wait) => wait,
                    RaceStep::Done(done) => return Ok(done),
                };
                event = next_event(&mut running, wait).await;
            }
        })
    }

    /// One call, the making of a connection included.
    async fn call_within(
        &self,
        to: StoreId,
        topic: u32,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, String> {
        let call = async {
            let mut client = self.client(to).await?;
            calls::call(&mut client, (self.local, to), topic, request, timeout).await
        };
        let outcome = tokio::time::timeout(timeout, call).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer in time. node=`{to}`")));
        outcome.inspect_err(|_| drop(self.clients.lock().remove(&to)))
    }

    /// Asks the node at `address` to add this one. Blocks.
    ///
    /// # Errors
    /// A sentence.
    pub fn join(&self, address: &str, joining: &Joining, timeout: Duration) -> Result<Bytes, NetworkError> {
        let peer = |reason: String| NetworkError::Peer { reason };
        let runtime = self.runtime.as_ref().ok_or_else(|| peer("the network has stopped".to_owned()))?;
        runtime.block_on(async {
            let mut client = calls::connect(address, self.tls.as_ref()).await.map_err(peer)?;
            let there = calls::hello(&mut client).await.map_err(peer)?;
            if there.cluster != self.local.cluster {
                return Err(NetworkError::OtherCluster { found: there.cluster, own: self.local.cluster });
            }
            calls::join(&mut client, (self.local, there.store), joining, timeout).await.map_err(peer)
        })
    }

    /// Asks the node at `address` who it is. Blocks.
    ///
    /// # Errors
    /// A sentence.
    pub fn hello(&self, address: &str) -> Result<Local, String> {
        let runtime = self.runtime.as_ref().ok_or("the network has stopped")?;
        runtime.block_on(async { calls::hello(&mut calls::connect(address, self.tls.as_ref()).await?).await })
    }

    /// The connection to a node, made anew when its address changed.
    async fn client(&self, to: StoreId) -> Result<PeersClient<Channel>, String> {
        let address = self.links.directory.address(to).ok_or("nobody knows its address")?;
        let known = self.clients.lock().get(&to).cloned();
        if let Some((known, client)) = known
            && known == address
        {
            return Ok(client);
        }
        let client = calls::connect(&address, self.tls.as_ref()).await?;
        self.clients.lock().insert(to, (address, client.clone()));
        Ok(client)
    }

    /// Stops listening and sending; calls under way go on until they end.
    pub fn close(&self) {
        self.links.close();
        self.clients.lock().clear();
        drop(self.stop.lock().take());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Asks the node at `address` which cluster it is of. Blocks.
///
/// # Errors
/// When it cannot be reached, or speaks another version.
pub fn cluster_of(address: &str, tls: Option<&TlsFiles>) -> Result<ClusterId, NetworkError> {
    let tls = tls.map(Tls::read).transpose()?;
    let io = |source| NetworkError::Io { action: "start a thread", address: address.to_owned(), source };
    let runtime = runtime(1).map_err(io)?;
    let asked =
        runtime.block_on(async { calls::hello(&mut calls::connect(address, tls.as_ref()).await?).await });
    asked.map(|there| there.cluster).map_err(|reason| NetworkError::Peer { reason })
}

fn server(tls: Option<&Tls>) -> Result<Server, NetworkError> {
    match tls {
        None => Ok(Server::builder()),
        Some(tls) => Server::builder()
            .tls_config(tls.server())
            .map_err(|error| NetworkError::Tls { file: "cluster.tls".to_owned(), reason: sources(&error) }),
    }
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("segue-net")
        .enable_all()
        .build()
}
