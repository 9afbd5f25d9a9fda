//! Requests that find their leader, and calls to other nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::env::Room;
use crate::error::{ClusterError, ErrorKind};
use crate::group::{Applied, GroupHandle};
use crate::ids::{GroupId, StoreId};
use crate::map::{MAP_GROUP, MapCommand, MapReader, MapReply, MapState, NodeIntent};
use crate::metrics::Metrics;
use crate::net::calls::Sent;
use crate::net::frame::Local;
use crate::net::links::Links;
use crate::net::network::Network;
use crate::status::Role;

/// Pause before a group without a leader is asked again.
const NO_LEADER_PAUSE: Duration = Duration::from_millis(20);
/// How often somebody who waits for an entry to be applied here looks whether it still will be.
const APPLIED_LOOK: Duration = Duration::from_millis(100);

/// A call to the program on another node.
#[derive(Clone, Debug)]
pub struct Call {
    /// To whom.
    pub to: StoreId,
    /// About what; below [`Call::TOPICS`].
    pub topic: u32,
    /// The request, opaque here.
    pub request: Bytes,
    /// How long to wait.
    pub timeout: Duration,
}

impl Call {
    /// Topics from here on are the cluster's own.
    pub const TOPICS: u32 = 1 << 31;
}

/// What all parts of a node among others share.
pub(crate) struct Shared {
    pub local: Local,
    pub groups: Arc<Mutex<BTreeMap<GroupId, GroupHandle>>>,
    pub links: Arc<Links>,
    pub room: Room,
    pub map: MapReader,
    pub network: OnceLock<Network>,
    /// `HOST:PORT` of the public port.
    pub api: String,
    /// How long a voter may be silent before its vote goes to another node.
    pub replace_after: Option<Duration>,
    pub closing: AtomicBool,
    pub metrics: Arc<Metrics>,
    /// Held by whoever decides what is wanted of a node.
    pub intents: Mutex<()>,
    /// `HOST:PORT` of nodes this one was started with, to be asked where the map's addresses lead nowhere.
    pub named: Vec<String>,
    /// Epoch of the map the directory was filled from; 0 before there was one.
    pub directory_epoch: AtomicU64,
    /// Groups this node holds no more, or is about to.
    pub given_up: Mutex<BTreeSet<GroupId>>,
    /// Who led a group that is not here when it was proposed to last.
    pub leaders: Mutex<BTreeMap<GroupId, StoreId>>,
}

impl Shared {
    pub fn handle(&self, group: GroupId) -> Option<GroupHandle> {
        self.groups.lock().get(&group).cloned()
    }

    pub fn network(&self) -> Result<&Network, String> {
        self.network.get().ok_or_else(|| "the network has not started".to_owned())
    }

    /// Proposes to a group wherever its leader is, and waits until the entry is applied here, too. Blocks.
    ///
    /// # Errors
    /// Those of a group; `NotLeader` when no leader was found in time (nothing was done then).
    pub fn propose(&self, group: GroupId, data: Bytes, timeout: Duration) -> Result<Applied, ClusterError> {
        let deadline = Instant::now() + timeout;
        let handle = self.handle(group).ok_or(ClusterError::Stopped { group })?;
        let applied = self.propose_until(&handle, data, deadline)?;
        while handle.applied() < applied.index {
            match handle.when_applied(applied.index).wait_timeout(APPLIED_LOOK) {
                Ok(()) => break,
                // Its leader has applied it, and nobody reads it here any more.
                Err(_) if self.given_up.lock().contains(&group) => break,
                Err(ClusterError::Timeout { .. })
                    if Instant::now() < deadline && !self.closing.load(Ordering::Acquire) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(applied)
    }

    fn propose_until(
        &self,
        handle: &GroupHandle,
        data: Bytes,
        deadline: Instant,
    ) -> Result<Applied, ClusterError> {
        let group = handle.id();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let status = handle.status();
            let outcome = if status.role == Role::Leader {
                handle.propose(data.clone())?.wait_timeout(left)
            } else if let Some(reason) = handle.down() {
                return Err(reason);
            } else if let (Some(store), Ok(network)) = (status.leader_store, self.network()) {
                match network.propose(store, group, data.clone(), left) {
                    Sent::Answered(outcome) => {
                        if matches!(outcome, Err(ClusterError::Timeout { .. })) {
                            handle.note_timeout();
                        }
                        outcome
                    }
                    Sent::NotLeader(_) => Err(ClusterError::NotLeader { group, hint: None }),
                    Sent::Undelivered(reason) => {
                        tracing::debug!(%group, %store, reason, "a leader cannot be reached");
                        Err(ClusterError::NotLeader { group, hint: status.leader })
                    }
                }
            } else {
                Err(ClusterError::NotLeader { group, hint: None })
            };
            match outcome {
                // Nothing was done, and somebody else may lead by now.
                Err(ClusterError::NotLeader { .. } | ClusterError::Dropped { .. })
                    if Instant::now() + NO_LEADER_PAUSE < deadline
                        && !self.closing.load(Ordering::Acquire) =>
                {
                    thread::sleep(NO_LEADER_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    /// Proposes to a group of which no replica serves here; answered once it is applied by its leader. Blocks.
    ///
    /// # Errors
    /// Those of a group; `NotLeader` when no leader was found in time (nothing was done then).
    pub fn propose_elsewhere(
        &self,
        group: GroupId,
        data: &Bytes,
        timeout: Duration,
    ) -> Result<Applied, ClusterError> {
        let deadline = Instant::now() + timeout;
        let not_found = || ClusterError::NotLeader { group, hint: None };
        loop {
            let known = self.leaders.lock().get(&group).copied();
            let mut to_ask: Vec<StoreId> = self.map.map().holders(group);
            to_ask.reverse();
            to_ask.extend(known);
            let mut asked = BTreeSet::new();
            while let Some(store) = to_ask.pop() {
                if !asked.insert(store) {
                    continue;
                }
                let left = deadline.saturating_duration_since(Instant::now());
                match self.propose_at(store, group, data.clone(), left) {
                    Sent::Answered(Ok(applied)) => {
                        self.leaders.lock().insert(group, store);
                        return Ok(applied);
                    }
                    Sent::Answered(Err(ClusterError::NotLeader { .. } | ClusterError::Dropped { .. })) => {}
                    Sent::Answered(outcome) => return outcome,
                    Sent::NotLeader(leader) => to_ask.extend(leader),
                    Sent::Undelivered(reason) => {
                        tracing::debug!(%group, %store, reason, "a holder cannot be reached");
                    }
                }
            }
            self.leaders.lock().remove(&group);
            if Instant::now() + NO_LEADER_PAUSE >= deadline || self.closing.load(Ordering::Acquire) {
                return Err(not_found());
            }
            thread::sleep(NO_LEADER_PAUSE);
        }
    }

    fn propose_at(&self, store: StoreId, group: GroupId, data: Bytes, timeout: Duration) -> Sent {
        if store == self.local.store {
            // A replica that does not serve yet, or no more, may lead all the same.
            return match self.handle(group) {
                Some(handle) => {
                    let answer = handle.propose(data);
                    Sent::Answered(answer.and_then(|answer| answer.wait_timeout(timeout)))
                }
                None => Sent::NotLeader(None),
            };
        }
        match self.network() {
            Ok(network) => network.propose(store, group, data, timeout),
            Err(reason) => Sent::Undelivered(reason),
        }
    }

    /// Changes the map. Blocks.
    ///
    /// # Errors
    /// A sentence: refused by the map, or by the group.
    pub fn change_map(&self, command: &MapCommand, timeout: Duration) -> Result<(), String> {
        let start = Instant::now();
        let deadline = start + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.propose(MAP_GROUP, command.encode().into(), left) {
                Ok(applied) => {
                    self.metrics.map_changes.record(start.elapsed());
                    return match MapReply::decode(&applied.reply) {
                        MapReply::Done => Ok(()),
                        MapReply::Refused(reason) => Err(reason),
                    };
                }
                // Commands of the map may be repeated.
                Err(error) if error.kind() == ErrorKind::Unknown && Instant::now() < deadline => {
                    if self.closing.load(Ordering::Acquire) {
                        return Err("the node is stopping".to_owned());
                    }
                    thread::sleep(NO_LEADER_PAUSE);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Takes the addresses out of the map, if it is newer than the one they are from.
    pub fn fill_directory(&self, map: &MapState) {
        if self.directory_epoch.fetch_max(map.epoch, Ordering::AcqRel) >= map.epoch {
            return;
        }
        let (mut addresses, mut removed) = (BTreeMap::new(), BTreeSet::new());
        for (store, node) in &map.nodes {
            if node.intent == NodeIntent::Removed {
                removed.insert(*store);
            } else if *store != self.local.store {
                addresses.insert(*store, node.address.clone());
            }
        }
        self.links.directory.replace(addresses, removed);
    }
}
