//! A thread that steps the groups this node leads towards what the map says, and keeps this node's addresses in the map.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::silence::Silence;
use crate::env;
use crate::group::GroupHandle;
use crate::group::core::GroupCore;
use crate::ids::StoreId;
use crate::map::{MAP_GROUP, MapCommand, MapState};
use crate::members::MemberChange;
use crate::net::calls::Joining;
use crate::net::network::Network;
use crate::placement::replace::{Step, View};
use crate::placement::{assign, reconcile};
use crate::status::{GroupStatus, MemberStatus, Role};

/// Pause between two looks.
const PERIOD: Duration = Duration::from_millis(100);
/// Steps of one group in one look: a joint membership shall not last.
const STEPS_MAX: u32 = 8;
/// Pause after leaderships were given away for want of room on the disk.
const HANDED_OVER_PAUSE: Duration = Duration::from_secs(5);
/// How long one change of members may take before the next look.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a change of the map may take.
const MAP_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts the thread; it ends when the node is gone.
///
/// # Errors
/// The operating system's.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let weak = Arc::downgrade(shared);
    env::spawn("segue-keeper", move || run(&weak))
}

fn run(weak: &Weak<Shared>) {
    let mut silence = Silence::default();
    let mut handed_over = None;
    loop {
        let Some(shared) = weak.upgrade() else {
            return;
        };
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        let map = shared.map.map();
        shared.fill_directory(&map);
        keep_own_record(&shared, &map);
        let groups: Vec<GroupHandle> = shared.groups.lock().values().cloned().collect();
        let gives_away = gives_leaderships_away(&shared, &mut handed_over);
        for handle in groups {
            let status = handle.status();
            let longest = shared.replace_after.unwrap_or(Duration::MAX);
            let silent = silence.of(&status, Instant::now(), longest);
            if handle.id() == MAP_GROUP && status.role == Role::Leader {
                place_elsewhere(&shared, &map, &status, &silent);
            }
            if gives_away {
                hand_over(&handle, &status);
            }
            let mut steps = if status.role == Role::Leader { STEPS_MAX } else { 0 };
            while steps > 0 && step(&handle, &map, &silent) {
                steps -= 1;
            }
        }
        drop(shared);
        thread::sleep(PERIOD);
    }
}

/// Whether this node's disk is too full to lead: it refuses what is proposed, while others may have room. Not again soon, for
/// they may have none.
fn gives_leaderships_away(shared: &Shared, handed_over: &mut Option<Instant>) -> bool {
    let lately = handed_over.is_some_and(|at: Instant| at.elapsed() < HANDED_OVER_PAUSE);
    let gives = !lately && shared.room.is_short();
    if gives {
        *handed_over = Some(Instant::now());
    }
    gives
}

/// Hands the leadership of a group to the voter that has most of its log.
fn hand_over(handle: &GroupHandle, status: &GroupStatus) {
    let may_lead =
        |member: &&MemberStatus| member.votes && member.is_heard == Some(true) && member.peer != status.peer;
    let next = status.members.iter().filter(may_lead).max_by_key(|member| member.matched);
    let Some(peer) = next.filter(|_| status.role == Role::Leader).map(|member| member.peer) else { return };
    tracing::warn!(group = %handle.id(), %peer, "the disk is nearly full, another node shall lead");
    let outcome = handle.with(move |core: &mut GroupCore| core.transfer_leader(peer));
    if let Some(Err(error)) = outcome {
        tracing::debug!(group = %handle.id(), %error, "leadership was not handed over");
    }
}

/// Gives a group that has its places another node for one that is dead or removed. Only the map's leader does: it hears all
/// nodes. Silence of half of them is rather its own bad hearing.
fn place_elsewhere(shared: &Shared, map: &MapState, status: &GroupStatus, silent: &[u64]) {
    if map.placements.is_empty() {
        return;
    }
    let is_silent = |member: &&MemberStatus| silent.contains(&member.peer.0);
    let dead: BTreeSet<StoreId> =
        status.members.iter().filter(is_silent).filter_map(|member| member.store).collect();
    let dead = if 2 * dead.len() < status.members.len() { dead } else { BTreeSet::new() };
    let Some(command) = assign::repair(map, &dead) else { return };
    tracing::info!(?command, "a group gets another node");
    if let Err(reason) = shared.change_map(&command, MAP_TIMEOUT) {
        tracing::debug!(reason, "a group did not get another node; it is tried again");
    }
}

/// Takes one step of one group; whether it was one, so that the next may follow at once.
fn step(handle: &GroupHandle, map: &MapState, silent: &[u64]) -> bool {
    let group = handle.id();
    let Some(view) = handle.with(|core| core.view()) else {
        return false;
    };
    let view = View { silent: silent.to_vec(), ..view };
    match reconcile::next(group, map, &view) {
        Step::Done | Step::Wait => false,
        Step::TransferLeader(peer) => {
            tracing::info!(%group, %peer, "handing leadership over");
            let outcome = handle.with(move |core: &mut GroupCore| core.transfer_leader(peer));
            if let Some(Err(error)) = outcome {
                tracing::debug!(%group, %error, "leadership was not handed over");
            }
            false
        }
        Step::Propose(change) => propose(handle, change),
    }
}

fn propose(handle: &GroupHandle, change: MemberChange) -> bool {
    let group = handle.id();
    let asked = handle.ask(move |core, ticket| core.change_members(change, ticket));
    match asked.and_then(|answer| answer.wait_timeout(CHANGE_TIMEOUT)) {
        Ok(_) => {
            tracing::info!(%group, ?change, "members changed");
            true
        }
        // The next look sees what became of it.
        Err(error) => {
            tracing::debug!(%group, ?change, %error, "members were not changed");
            false
        }
    }
}

/// Tells the cluster when this node is reached elsewhere than the map says, runs groups the map does not know of, or has given
/// up groups that the map still knows.
fn keep_own_record(shared: &Shared, map: &MapState) {
    let (Some(own), Ok(network)) = (map.nodes.get(&shared.local.store), shared.network()) else {
        return;
    };
    let mut replicas = own.replicas.clone();
    replicas.extend(own_replicas(shared));
    let given_up = shared.given_up.lock().clone();
    replicas.retain(|group, _| !given_up.contains(group));
    if own.address == network.address && own.api == shared.api && own.replicas == replicas {
        return;
    }
    // Leaders send to the old address: this node may not know who leads, but any other node does.
    let joining = Joining {
        store: shared.local.store,
        address: network.address.clone(),
        api: shared.api.clone(),
        replicas: replicas.iter().map(|(group, peer)| (*group, *peer)).collect(),
    };
    let known = map.others(shared.local.store).map(|(_, other)| other.address.as_str());
    let named = shared.named.iter().filter(|address| **address != network.address);
    for address in known.chain(named.map(|address| find_named(shared, network, address))) {
        match network.join(address, &joining, MAP_TIMEOUT) {
            Ok(theirs) => return take_addresses(shared, &theirs),
            Err(error) => tracing::debug!(%error, "a node was not told this node's address and groups"),
        }
    }
    let Joining { store, address, api, .. } = joining;
    let command = MapCommand::PutNode { store, address, api, replicas };
    if let Err(reason) = shared.change_map(&command, MAP_TIMEOUT) {
        tracing::warn!(reason, "the cluster was not told this node's address and groups; it is tried again");
    }
}

/// Takes where others are out of a map that may be newer than the own one, which comes with the log: and that from a leader who waits for
/// answers, perhaps at an address that only the newer map has.
fn take_addresses(shared: &Shared, map: &[u8]) {
    match MapState::decode(map) {
        Ok(map) => shared.fill_directory(&map),
        Err(what) => tracing::warn!(%what, "a node's map cannot be read"),
    }
}

/// Takes note of who is at an address that this node was started with: where all have moved, no map says it.
fn find_named<'a>(shared: &Shared, network: &Network, address: &'a str) -> &'a str {
    if let Ok(there) = network.hello(address)
        && there.cluster == shared.local.cluster
    {
        shared.links.directory.moved(there.store, address);
    }
    address
}

/// The replicas of this node that it has not given up, by group.
pub(super) fn own_replicas(shared: &Shared) -> BTreeMap<crate::GroupId, crate::PeerId> {
    let given_up = shared.given_up.lock().clone();
    let groups = shared.groups.lock();
    let kept = groups.iter().filter(|(group, _)| !given_up.contains(*group));
    kept.map(|(group, handle)| (*group, handle.status_peer())).collect()
}

/// Whether this node leads the map's group and is the only one in it: the first node of a cluster.
pub(super) fn is_first(shared: &Shared) -> bool {
    let status = shared.handle(MAP_GROUP).map(|handle| handle.status());
    status.is_some_and(|status| status.role == Role::Leader && status.members.len() == 1)
}
