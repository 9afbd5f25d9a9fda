//! A replica's part in snapshots: what it offers, what it is offered, and the order of an install.
//!
//! ```text
//! offer arrives      kept aside; the node fetches its files (`take_fetch`, `fetch_done`)
//! files are there    MsgSnapshot is stepped; Raft hands it back in a Ready
//! intent             place and membership go to the log: after a crash from here on, a machine that
//!                    stands at that place is believed over the log
//! install            on an apply thread, once the batch under way is back
//! reset              log and membership become the snapshot's, in one write; then Raft goes on
//! ```
//!
//! The machine is replaced before the log is dropped: the other way round a crash leaves neither
//! (qdrant#7577). Nothing is acknowledged to the leader before the reset is durable. From the Ready to the
//! reset the replica hears nothing and no time passes for its Raft: 0.7 stops at a message that is made while a
//! Ready is out.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft::eraftpb::{Message, MessageType, SnapshotMetadata};
use raft::{Ready, SnapshotStatus, StateRole};

use super::apply::{SnapshotOutcome, Work};
use super::core::{GroupCore, Outbox};
use super::counters::SnapshotEvent;
use crate::ids::{PeerId, StoreId};
use crate::log::group_log::place;
use crate::log::store::{GroupWrite, Install};
use crate::snapshot::manifest::Offer;
use crate::snapshot::packet::Packet;
use crate::snapshot::{SnapshotFiles, SnapshotManifest};

/// Ticks without a request after which a follower's snapshot is given up: 10 s at the usual tick.
pub(crate) const LEASE_TICKS: u64 = 100;
/// Ticks before a machine that could not make a snapshot is asked again.
const RETRY_TICKS: u64 = 20;

/// Snapshots of one replica, both ways.
pub(super) struct Snapshots {
    /// Id of the newest pinned snapshot; starts at random, so that no other life has given it.
    newest: u64,
    wanted: bool,
    retry_at: u64,
    /// Pinned files by id; the last one is on offer.
    pinned: BTreeMap<u64, Arc<dyn SnapshotFiles>>,
    /// Followers that were offered one.
    sending: BTreeMap<u64, Sending>,
    incoming: Option<Incoming>,
    /// Whose snapshot Raft has, not handed back yet.
    stepped: Option<Sender>,
    install: Option<Installing>,
    /// Outcomes to tell the senders.
    reports: Vec<(Sender, bool)>,
}

/// A follower with a lease on pinned files.
struct Sending {
    id: u64,
    index: u64,
    until: u64,
}

/// Who offered a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    peer: PeerId,
    store: StoreId,
    id: u64,
}

/// An offer whose files are being fetched.
struct Incoming {
    sender: Sender,
    message: Message,
    offer: Offer,
    /// The node was told to fetch.
    begun: bool,
}

struct Installing {
    what: Install,
    manifest: SnapshotManifest,
    sender: Option<Sender>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The intent is on its way to the log.
    Intent,
    /// Waits for the machine.
    Waiting,
    AtMachine,
    /// The machine is the snapshot's; the log must follow.
    Installed,
}

/// Files to fetch for a replica.
#[derive(Debug)]
pub(crate) struct FetchOrder {
    pub peer: PeerId,
    pub from: PeerId,
    pub from_store: StoreId,
    pub snapshot: u64,
    pub manifest: SnapshotManifest,
}

impl Snapshots {
    pub fn new(life: u64) -> Self {
        Self {
            // Far from the end of the numbers, so that they only grow.
            newest: life >> 1,
            wanted: false,
            retry_at: 0,
            pinned: BTreeMap::new(),
            sending: BTreeMap::new(),
            incoming: None,
            stepped: None,
            install: None,
            reports: Vec::new(),
        }
    }
}

impl GroupCore {
    /// Returns the bytes of the snapshot that is being fetched; `None` when none is.
    pub fn incoming_bytes(&self) -> Option<u64> {
        let incoming = self.snapshots.incoming.as_ref()?;
        Some(incoming.offer.manifest.files.iter().map(|file| file.bytes).sum())
    }
}

/// The leader's side.
impl GroupCore {
    /// Returns pinned files by the id they were offered under, and renews the lease of `follower`.
    pub fn pinned(&mut self, follower: PeerId, id: u64) -> Option<Arc<dyn SnapshotFiles>> {
        let until = self.ticks + LEASE_TICKS;
        let lease = self.snapshots.sending.get_mut(&follower.0).filter(|sending| sending.id == id)?;
        lease.until = until;
        self.snapshots.pinned.get(&id).cloned()
    }

    /// Takes a follower's word on how a snapshot ended.
    pub fn snapshot_ended(&mut self, follower: PeerId, id: u64, ok: bool) {
        if self.snapshots.sending.get(&follower.0).is_some_and(|sending| sending.id == id) {
            self.snapshots.sending.remove(&follower.0);
            self.shared.counters.snapshot(if ok { SnapshotEvent::Sent } else { SnapshotEvent::NotSent });
            let status = if ok { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            self.raw.report_snapshot(follower.0, status);
        }
    }

    /// Notes an offer that leaves.
    pub(super) fn note_sent(&mut self, message: &Message) {
        if message.get_msg_type() == MessageType::MsgSnapshot
            && let Ok(id) = Offer::id_of(&message.get_snapshot().data)
        {
            let index = message.get_snapshot().get_metadata().index;
            let until = self.ticks + LEASE_TICKS;
            self.snapshots.sending.insert(message.to, Sending { id, index, until });
        }
    }

    /// Ends leases, and unpins what nobody fetches.
    pub(super) fn tick_snapshots(&mut self) {
        let now = self.ticks;
        self.snapshots.wanted |= self.raw.store().take_snapshot_wanted();
        let ended: Vec<u64> = self
            .snapshots
            .sending
            .extract_if(.., |_, sending| now >= sending.until)
            .map(|(to, _)| to)
            .collect();
        for follower in ended {
            tracing::warn!(group = %self.shared.id, follower, "a follower stopped fetching its snapshot");
            self.shared.counters.snapshot(SnapshotEvent::NotSent);
            self.raw.report_snapshot(follower, SnapshotStatus::Failure);
        }
        let used: Vec<u64> = self.snapshots.sending.values().map(|sending| sending.id).collect();
        if !self.snapshots.wanted && used.is_empty() && now.is_multiple_of(LEASE_TICKS) {
            // The next one that is needed shall be a newer one.
            self.raw.mut_store().set_offered(None);
            self.snapshots.pinned.clear();
        }
        let newest = self.snapshots.pinned.keys().next_back().copied();
        self.snapshots.pinned.retain(|id, _| used.contains(id) || Some(*id) == newest);
    }

    /// Returns the oldest snapshot that a follower is fetching: the entries behind it must stay.
    pub(crate) fn oldest_sent(&self) -> Option<u64> {
        self.snapshots.sending.values().map(|sending| sending.index).min()
    }

    /// Returns what the machine must do about snapshots before it applies anything more.
    pub(super) fn next_snapshot_work(&mut self) -> Option<Work> {
        if let Some(install) = self.snapshots.install.as_mut().filter(|it| it.phase == Phase::Waiting) {
            install.phase = Phase::AtMachine;
            return Some(Work::Install(install.manifest.clone()));
        }
        self.snapshots.wanted |= self.raw.store().take_snapshot_wanted();
        let due = self.snapshots.wanted && !self.is_installing() && self.ticks >= self.snapshots.retry_at;
        if !due || self.raw.raft.state != StateRole::Leader {
            self.snapshots.wanted &= self.raw.raft.state == StateRole::Leader;
            return None;
        }
        self.snapshots.wanted = false;
        Some(Work::Snapshot)
    }

    /// Takes the outcome of that work.
    pub(super) fn snapshot_work_done(&mut self, outcome: SnapshotOutcome) {
        match outcome {
            SnapshotOutcome::None => {}
            SnapshotOutcome::Unavailable => {
                self.snapshots.retry_at = self.ticks + RETRY_TICKS;
            }
            SnapshotOutcome::Pinned(files) => {
                self.shared.counters.snapshot(SnapshotEvent::Made);
                self.snapshots.newest += 1;
                let id = self.snapshots.newest;
                self.raw.mut_store().set_offered(Some((id, files.manifest().clone())));
                self.snapshots.pinned.insert(id, files);
            }
            SnapshotOutcome::Installed => {
                if let Some(install) = &mut self.snapshots.install {
                    install.phase = Phase::Installed;
                    self.shared.counters.snapshot(SnapshotEvent::Received);
                }
            }
        }
    }
}

/// The follower's side.
impl GroupCore {
    /// Takes an offer. Raft hears of it when its files are there.
    pub(super) fn receive_snapshot(&mut self, message: Message, store: StoreId) {
        let metadata = message.get_snapshot().get_metadata();
        let offer = match Offer::decode(&message.get_snapshot().data) {
            Ok(offer) if is_consistent(&offer, metadata) => offer,
            Ok(_) => return tracing::warn!(group = %self.shared.id, "a snapshot contradicts itself"),
            Err(error) => return tracing::warn!(group = %self.shared.id, %error, "snapshot refused"),
        };
        let sender = Sender { peer: PeerId(message.from), store, id: offer.id };
        let busy = self.raw.snap().is_some()
            || self.snapshots.incoming.as_ref().is_some_and(|incoming| incoming.sender == sender);
        if message.term < self.raw.raft.term || busy {
            return;
        }
        if metadata.index <= self.raw.raft.raft_log.committed {
            // Raft answers with what it has.
            self.step(message);
            self.snapshots.reports.push((sender, true));
            return;
        }
        if let Some(replaced) = self.snapshots.incoming.take() {
            self.snapshots.reports.push((replaced.sender, false));
        }
        self.snapshots.incoming = Some(Incoming { sender, message, offer, begun: false });
    }

    /// Returns an offer whose files the node shall fetch now; each once.
    pub fn take_fetch(&mut self) -> Option<FetchOrder> {
        let incoming = self.snapshots.incoming.as_mut().filter(|incoming| !incoming.begun)?;
        incoming.begun = true;
        Some(FetchOrder {
            peer: self.peer,
            from: incoming.sender.peer,
            from_store: incoming.sender.store,
            snapshot: incoming.sender.id,
            manifest: incoming.offer.manifest.clone(),
        })
    }

    /// Goes on with an offer once its files are all there, or drops it.
    pub fn fetch_done(&mut self, snapshot: u64, ok: bool) {
        let Some(incoming) = self.snapshots.incoming.take_if(|it| it.sender.id == snapshot) else {
            return;
        };
        if !ok {
            self.shared.counters.snapshot(SnapshotEvent::NotReceived);
        }
        let ok = ok && self.raw.snap().is_none();
        if ok {
            self.step(incoming.message);
        }
        // Otherwise Raft had no use for it, or the files could not be had.
        if !ok || self.raw.snap().is_none() {
            self.snapshots.reports.push((incoming.sender, ok));
        } else {
            self.snapshots.stepped = Some(incoming.sender);
        }
    }

    /// Begins with the snapshot Raft handed back: returns the intent.
    pub(super) fn begin_install(&mut self, ready: Ready) -> GroupWrite {
        let offer = Offer::decode(&ready.snapshot().data).expect("it was decoded when it arrived");
        let what = Install { at: place(&offer.manifest), members: offer.members };
        let write = GroupWrite { install: Some(what.clone()), ..GroupWrite::new(self.shared.id) };
        let sender = self.snapshots.stepped.take();
        self.snapshots.install =
            Some(Installing { what, manifest: offer.manifest, sender, phase: Phase::Intent });
        self.ready = Some(ready);
        // All of it is in the snapshot.
        self.committed.clear();
        self.committed_bytes = 0;
        write
    }

    /// Returns what an install has to write now; `None` when there is no install.
    pub(super) fn install_write(&mut self) -> Option<GroupWrite> {
        let install = self.snapshots.install.as_ref()?;
        let empty = GroupWrite::new(self.shared.id);
        if install.phase != Phase::Installed {
            return Some(empty);
        }
        let ready = self.ready.as_mut().expect("an install keeps the Ready it came with");
        Some(GroupWrite {
            peer: Some(self.peer),
            members: Some(install.what.members.clone()),
            hard_state: Some(self.raw.raft.hard_state()),
            truncate: Some(install.what.at),
            entries: ready.take_entries(),
            reset: true,
            ..empty
        })
    }

    /// Goes on after a write of an install that was not the last one.
    pub(super) fn install_waits(&mut self, intent_is_durable: bool) {
        if let Some(install) = self.snapshots.install.as_mut().filter(|_| intent_is_durable) {
            install.phase = Phase::Waiting;
        }
    }

    /// Ends an install: machine and log are both the snapshot's, durably.
    pub(super) fn installed(&mut self, index: u64) {
        let install = self.snapshots.install.take().expect("a reset belongs to an install");
        self.take_members(install.what.members);
        self.members_unwritten = false;
        self.proposals.forget(self.shared.id, index);
        self.shared.set_applied(index);
        self.set_applied(index);
        self.snapshots.reports.extend(install.sender.map(|sender| (sender, true)));
    }

    /// Puts the outcomes that senders wait for into the outbox.
    pub(super) fn take_reports(&mut self, out: &mut Outbox) {
        for (sender, ok) in std::mem::take(&mut self.snapshots.reports) {
            let packet = Packet::Fetched { snapshot: sender.id, ok };
            out.push(self.outgoing(sender.peer, sender.store, packet));
        }
    }

    /// Returns whether a turn has something to do for an install or a sender.
    pub(super) fn install_may_go_on(&self) -> bool {
        let installed = |install: &Installing| install.phase == Phase::Installed;
        self.snapshots.install.as_ref().is_some_and(installed) || !self.snapshots.reports.is_empty()
    }

    pub(super) fn is_installing(&self) -> bool {
        self.snapshots.install.is_some()
    }
}

/// Checks that an offer and Raft's own part of it say the same.
fn is_consistent(offer: &Offer, metadata: &SnapshotMetadata) -> bool {
    let at = place(&offer.manifest);
    (at.index, at.term) == (metadata.index, metadata.term)
        && offer.members.conf_state == *metadata.get_conf_state()
}
