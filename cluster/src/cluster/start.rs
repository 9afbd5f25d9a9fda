//! How a node comes to be one of a cluster, and comes back after a stop.
//!
//! ```text
//! first node     its groups, of one member each, stay as they are; the map's group is made, and the node put into it
//! another node   asks the first for the cluster's id, opens an empty directory with it, creates replicas that wait, and
//!                asks to be put into the map with them; leaders add the replicas as the map says
//! after a stop   everything is in the directory
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::keeper;
use super::shared::{Call, Shared};
use super::status;
use crate::error::{ClusterError, GroupError, OpenError};
use crate::group::{Applied, GroupHandle};
use crate::ids::{GroupId, StoreId};
use crate::map::{FACTOR, MAP_GROUP, MapCommand, MapMachine, MapState, NodeIntent};
use crate::net::calls::Joining;
use crate::net::network::{CallHandler, Handlers, Network, NetworkConfig, NetworkError};
use crate::net::race::{RaceEvent, RaceStep};
use crate::node::ClusterNode;
use crate::state_machine::StateMachine;

/// How long a request to join may take at the node that is asked.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause before another attempt.
const JOIN_PAUSE: Duration = Duration::from_millis(500);
/// How long a first node waits for its own groups.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);

/// How a node comes to its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is the first node; one that is in a cluster already stays in it.
    First,
    /// By asking the nodes at these `HOST:PORT`, in turn until one answers; one that is in the cluster already stays in it, and asks
    /// them when it has moved and reaches nobody it knows. Its own address may be among them.
    Join(Vec<String>),
    /// It was there before.
    Member,
}

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The cluster port.
    pub network: NetworkConfig,
    /// `HOST:PORT` of the public port, for other nodes and operators.
    pub api: String,
    /// How it comes to its cluster.
    pub entry: Entry,
    /// How long a voter may be silent before its vote goes to a node that follows; `None`: for ever.
    pub replace_after: Option<Duration>,
    /// How many replicas of a group vote, once there are so many nodes: an odd number. Only the first node is asked, when it
    /// creates the cluster.
    pub voters: usize,
}

/// Why a node does not take part.
#[derive(Debug, thiserror::Error)]
pub enum ClusterStartError {
    /// The port, or a node that was asked.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The map's file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The directory is in no cluster, or has not finished joining one.
    #[error("the directory has not finished joining a cluster: name a node of the cluster to join")]
    NotJoined,
    /// The cluster does not want it.
    #[error("this node cannot join: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// A node among others. Stop it before its [`ClusterNode`].
pub struct Cluster {
    shared: Arc<Shared>,
    entry: Entry,
    voters: usize,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Cluster {
    /// Whether the directory of `node` is in a cluster, or about to join one.
    pub fn is_member(node: &ClusterNode) -> bool {
        node.stored_groups().contains(&MAP_GROUP)
    }

    /// Starts the network and the map's group. The program's own groups are added next, with
    /// [`Cluster::add_group`]; then [`Cluster::enter`] is called.
    ///
    /// # Errors
    /// The port; a damaged map or log.
    pub fn start(
        node: &ClusterNode,
        dir: &Path,
        options: ClusterOptions,
        call: CallHandler,
    ) -> Result<Self, ClusterStartError> {
        if matches!(options.entry, Entry::Join(_))
            && !Self::is_member(node)
            && !node.stored_groups().is_empty()
        {
            let reason = "the directory holds a database of its own; join with an empty one";
            return Err(ClusterStartError::Refused { reason: reason.to_owned() });
        }
        let machine = MapMachine::open(dir)?;
        let reach = node.reach();
        let shared = Arc::new(Shared {
            local: reach.local,
            groups: reach.groups.clone(),
            links: reach.links.clone(),
            room: reach.room.clone(),
            map: machine.reader(),
            network: OnceLock::new(),
            api: options.api,
            replace_after: options.replace_after,
            closing: AtomicBool::new(false),
            metrics: reach.metrics.clone(),
            intents: Mutex::default(),
            named: if let Entry::Join(named) = &options.entry { named.clone() } else { Vec::new() },
            directory_epoch: AtomicU64::new(0),
            given_up: Mutex::default(),
            leaders: Mutex::default(),
        });
        shared.fill_directory(&shared.map.map());
        let handlers = Arc::new(handlers(&shared, call));
        let network = Network::start(&options.network, reach, handlers)?;
        shared.network.get_or_init(|| network);
        let (entry, voters) = (options.entry, options.voters);
        let cluster = Self { shared, entry, voters, keeper: Mutex::default() };
        cluster.add_group(node, MAP_GROUP, Box::new(machine))?;
        Ok(cluster)
    }

    /// Runs a group of the program: the one in the directory, or a new replica. After [`Cluster::enter`] a new one is always
    /// a replica of a group that others have; the map is told of it.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn add_group(
        &self,
        node: &ClusterNode,
        group: GroupId,
        machine: Box<dyn StateMachine>,
    ) -> Result<GroupHandle, GroupError> {
        if matches!(self.entry, Entry::Join(_)) || self.keeper.lock().is_some() {
            node.join_group(group, machine)
        } else {
            node.add_group(group, machine)
        }
    }

    /// Whether this node is the first of its cluster and not in the map yet: a start with [`Entry::First`], or one after
    /// such a start was cut short. What it lacks then, no other node has. Ask before [`Cluster::enter`].
    pub fn is_founding(&self) -> bool {
        let shared = &self.shared;
        if matches!(self.entry, Entry::Join(_)) || !shared.map.map().nodes.is_empty() {
            return false;
        }
        // The log knows the members, whether or not the map was replayed.
        let status = shared.handle(MAP_GROUP).and_then(|handle| handle.with(|core| core.status()));
        status.is_some_and(|status| status.members.len() == 1)
    }

    /// Comes into the cluster, and keeps groups and map in step from then on. Blocks until the map knows the node.
    ///
    /// # Errors
    /// `Refused`, `NotJoined`; a node that cannot be reached is asked again until [`Cluster::stop`].
    pub fn enter(&self) -> Result<(), ClusterStartError> {
        let shared = &self.shared;
        let own = shared.map.map().nodes.get(&shared.local.store).map(|node| node.intent);
        match (own, &self.entry) {
            (Some(NodeIntent::Removed), _) => {
                let reason = "it was removed; start with an empty directory to come back as a new node";
                return Err(ClusterStartError::Refused { reason: reason.to_owned() });
            }
            (Some(_), _) => self.check_not_left_behind()?,
            (None, Entry::Join(addresses)) => self.join(addresses)?,
            (None, Entry::First | Entry::Member) => self.put_first()?,
        }
        let thread = keeper::start(shared).map_err(|source| NetworkError::Io {
            action: "start a thread",
            address: shared.api.clone(),
            source,
        })?;
        *self.keeper.lock() = Some(thread);
        Ok(())
    }

    /// Whether a node this one knows has gone on without it, as the survivor of a lost majority.
    fn check_not_left_behind(&self) -> Result<(), ClusterStartError> {
        let shared = &self.shared;
        let network = shared.network().map_err(|reason| NetworkError::Peer { reason })?;
        let map = shared.map.map();
        let gone_on = |address: &str| {
            let there = network.hello(address).ok()?;
            (map.nodes.contains_key(&there.store) && there.cluster != shared.local.cluster).then_some(there)
        };
        let mut addresses: Vec<&str> =
            map.others(shared.local.store).map(|(_, node)| node.address.as_str()).collect();
        if let Entry::Join(others) = &self.entry {
            addresses.extend(others.iter().map(String::as_str));
        }
        let found = thread::scope(|scope| {
            let asked: Vec<_> = addresses.iter().map(|address| scope.spawn(|| gone_on(address))).collect();
            asked.into_iter().find_map(|thread| thread.join().ok().flatten())
        });
        let Some(there) = found else { return Ok(()) };
        Err(ClusterStartError::Refused {
            reason: format!(
                "node {} was recovered without this one and is of cluster {} now; start with an empty directory to \
                 join that. own=`{}`",
                there.store, there.cluster, shared.local.cluster
            ),
        })
    }

    /// The first node puts itself into the map.
    fn put_first(&self) -> Result<(), ClusterStartError> {
        let start = Instant::now();
        while !keeper::is_first(&self.shared) {
            // After a restart the map may come with the log.
            let known = self.shared.map.map().nodes.contains_key(&self.shared.local.store);
            if known {
                return Ok(());
            }
            if start.elapsed() > FIRST_TIMEOUT {
                return Err(ClusterStartError::NotJoined);
            }
            thread::sleep(Duration::from_millis(10));
        }
        // The record last: with it the cluster is there.
        let factor = (self.voters != FACTOR).then_some(MapCommand::SetFactor { factor: self.voters });
        for command in factor.into_iter().chain([self.own_record()?]) {
            let changed = self.shared.change_map(&command, FIRST_TIMEOUT);
            changed.map_err(|reason| ClusterStartError::Refused { reason })?;
        }
        Ok(())
    }

    fn own_record(&self) -> Result<MapCommand, ClusterStartError> {
        let network = self.shared.network().map_err(|reason| NetworkError::Peer { reason })?;
        Ok(MapCommand::PutNode {
            store: self.shared.local.store,
            address: network.address.clone(),
            api: self.shared.api.clone(),
            replicas: keeper::own_replicas(&self.shared),
        })
    }

    fn join(&self, addresses: &[String]) -> Result<(), ClusterStartError> {
        let network = self.shared.network().map_err(|reason| NetworkError::Peer { reason })?;
        let joining = Joining {
            store: self.shared.local.store,
            address: network.address.clone(),
            api: self.shared.api.clone(),
            replicas: keeper::own_replicas(&self.shared).into_iter().collect(),
        };
        let others: Vec<&String> = addresses.iter().filter(|address| **address != network.address).collect();
        for (number, address) in (1..).zip(others.iter().cycle()) {
            match network.join(address, &joining, JOIN_TIMEOUT) {
                Ok(map) => {
                    let map = MapState::decode(&map).map_err(|what| ClusterStartError::Refused {
                        reason: format!("its map cannot be read: {what}"),
                    })?;
                    self.shared.fill_directory(&map);
                    return Ok(());
                }
                Err(NetworkError::Peer { reason }) if !self.shared.closing.load(Ordering::Acquire) => {
                    tracing::warn!(address, reason, "not in the cluster yet; it is asked again");
                    if usize::is_multiple_of(number, others.len()) {
                        thread::sleep(JOIN_PAUSE);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ClusterStartError::NotJoined)
    }

    /// This node's store.
    pub fn store(&self) -> StoreId {
        self.shared.local.store
    }

    /// The map as of the last change applied here.
    pub fn map(&self) -> Arc<MapState> {
        self.shared.map.map()
    }

    /// Where other nodes reach this one.
    pub fn address(&self) -> String {
        self.shared.network().map(|network| network.address.clone()).unwrap_or_default()
    }

    /// Proposes to a group wherever its leader is; answered once it is applied here, too. Blocks.
    ///
    /// # Errors
    /// Those of a group; `NotLeader` when no leader was found in time, and nothing was done.
    pub fn propose(&self, group: GroupId, data: Bytes, timeout: Duration) -> Result<Applied, ClusterError> {
        self.shared.propose(group, data, timeout)
    }

    /// Calls the program on another node. Blocks.
    ///
    /// # Errors
    /// A sentence.
    pub fn call(&self, call: Call) -> Result<Bytes, String> {
        let Call { to, topic, request, timeout } = call;
        self.shared.network()?.call(to, topic, request, timeout)
    }

    /// Calls the program on several nodes about one thing: `step` says who is asked next, when, and when it is over. Blocks.
    ///
    /// # Errors
    /// When the network has stopped.
    pub fn race<T>(&self, topic: u32, step: impl FnMut(RaceEvent) -> RaceStep<T>) -> Result<T, String> {
        self.shared.network()?.race(topic, step)
    }

    /// The other nodes that are not removed, ascending.
    pub fn others(&self) -> Vec<StoreId> {
        self.map().others(self.shared.local.store).map(|(store, _)| store).collect()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Gives up waiting requests, the threads and the port.
    pub fn stop(&self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(thread) = self.keeper.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the keeper thread had panicked");
        }
        if let Ok(network) = self.shared.network() {
            network.close();
        }
    }
}

fn handlers(shared: &Arc<Shared>, call: CallHandler) -> Handlers {
    let (for_join, for_call) = (Arc::downgrade(shared), Arc::downgrade(shared));
    let stopping = || "the node is stopping".to_owned();
    let join = move |joining: Joining| {
        let shared = for_join.upgrade().ok_or_else(stopping)?;
        let Joining { store, address, api, replicas } = joining;
        let replicas = replicas.into_iter().collect();
        // At once: where the map cannot be changed without this very node, it could never be reached to change it.
        shared.links.directory.moved(store, &address);
        let command = MapCommand::PutNode { store, address, api, replicas };
        shared.change_map(&command, JOIN_TIMEOUT)?;
        Ok(shared.map.map().encode())
    };
    let call = move |from: StoreId, topic: u32, request: Bytes| {
        if topic < Call::TOPICS {
            return call(from, topic, request);
        }
        let shared = for_call.upgrade().ok_or_else(stopping)?;
        status::answer(&shared, topic, &request)
    };
    Handlers { join: Box::new(join), call: Box::new(call) }
}
