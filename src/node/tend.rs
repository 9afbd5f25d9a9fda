//! User shards come to this node and leave it while it runs, as the cluster's map says.
//!
//! ```text
//! absent   the map places the shard here: an empty replica is made, and the map told of it
//! coming   its group's leader adds it, gives it a snapshot; once it has caught up it serves
//! serving  the map places the shard elsewhere, and the replica votes no more: it is taken out of service
//! leaving  the map is told; once the leader says that it is no member, log and files are removed
//! ```
//!
//! Every step looks at how things are, so that it may be interrupted anywhere and goes on after a restart.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use segue_cluster::{Cluster, GroupHandle, GroupId, Pending, ReadPoint, Role};
use tracing::{info, warn};

use super::engine::Inner;
use super::open::USERS;
use super::open_users::{open_shard, remove_shard};
use super::peers::start_error;
use crate::error::{Error, Result};
use crate::storage::meta::SplitPhase;
use crate::storage::user_shard::UserShard;

/// Pause between two looks.
const PERIOD: Duration = Duration::from_millis(200);
/// Pause between two looks at shards elsewhere.
const FAR_PERIOD: Duration = Duration::from_millis(500);
/// Pause between two looks at a split.
const SPLIT_PERIOD: Duration = Duration::from_millis(100);

/// What this node has to do with one user shard.
pub(super) enum Place {
    Absent,
    Coming {
        replica: GroupHandle,
        shard: UserShard,
        /// Asked for, and not reached yet.
        point: Option<Pending<ReadPoint>>,
        /// When it began.
        since: Instant,
    },
    Serving(GroupHandle, UserShard),
    Leaving(GroupHandle, UserShard),
}

impl Place {
    /// A replica that has just been made or opened, and has still to catch up.
    pub(super) fn coming(replica: GroupHandle, shard: UserShard) -> Self {
        Self::Coming { replica, shard, point: None, since: Instant::now() }
    }
}

/// The threads that look after shards here and elsewhere.
pub(super) struct Tenders {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Tenders {
    /// Starts them; they end by themselves when the node is gone.
    pub(super) fn start(node: &Weak<Inner>, in_cluster: bool) -> Result<Self> {
        let mut tenders = Self { stop: Vec::new(), threads: Vec::new() };
        tenders.spawn("segue-split", SPLIT_PERIOD, node, Inner::go_on_with_splits)?;
        if in_cluster {
            tenders.spawn("segue-shards", PERIOD, node, Inner::tend)?;
            tenders.spawn("segue-far", FAR_PERIOD, node, Inner::look_far)?;
            tenders.spawn("segue-entries", PERIOD, node, Inner::ask_for_entries)?;
        }
        Ok(tenders)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        period: Duration,
        node: &Weak<Inner>,
        work: fn(&Inner) -> Result<()>,
    ) -> Result<()> {
        let (stop, stopped) = bounded(1);
        let node = Weak::clone(node);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread
            .spawn(move || run(&node, period, &stopped, work))
            .map_err(|source| Error::Io { action: "starting a thread".into(), path: name.into(), source })?;
        self.stop.push(stop);
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until they have finished what they are at.
    pub(super) fn stop(self) {
        // A full channel means that it has been told already.
        for stop in &self.stop {
            let _ = stop.try_send(());
        }
        for thread in self.threads {
            if thread.join().is_err() {
                warn!("a thread that looks after user shards had panicked");
            }
        }
    }
}

fn run(node: &Weak<Inner>, period: Duration, stopped: &Receiver<()>, work: fn(&Inner) -> Result<()>) {
    loop {
        match stopped.recv_timeout(period) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            _ => return,
        }
        let Some(node) = node.upgrade() else { return };
        if node.closing.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = work(&node) {
            warn!(%error, "user shards could not be looked after; it is tried again");
        }
    }
}

impl Inner {
    /// Hears how much there is elsewhere.
    fn look_far(&self) -> Result<()> {
        if let Some(far) = &self.far {
            far.look_at(self.users.shards.elsewhere().take_while(|_| !self.closing.load(Ordering::Acquire)));
        }
        Ok(())
    }

    /// Takes every shard one step towards what the map says.
    fn tend(&self) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let cluster = peers.cluster()?;
        self.bring_track_shards()?;
        let state = self.meta.shard.state();
        let mut numbers = state.user_shard_numbers();
        let founding = state.user_split().filter(|split| split.phase == SplitPhase::Founding);
        // Its founder makes it, and nobody else.
        numbers.retain(|number| founding.is_none_or(|split| split.child != *number));
        let mut places = self.places.lock();
        for (number, place) in (0..).zip(places.iter_mut()) {
            let now = std::mem::replace(place, Place::Absent);
            let is_there = numbers.contains(&number) || !matches!(now, Place::Absent);
            *place = if is_there { self.step(cluster, number.into(), now) } else { now };
        }
        Ok(())
    }

    fn step(&self, cluster: &Cluster, number: usize, place: Place) -> Place {
        let id = GroupId(USERS + number as u64);
        let is_wanted = cluster.is_wanted_here(id);
        match place {
            Place::Absent if is_wanted => self.bring(cluster, id, number).unwrap_or_else(|error| {
                warn!(%error, shard = number, "a user shard cannot be taken in; it is tried again");
                Place::Absent
            }),
            Place::Absent => Place::Absent,
            Place::Coming { replica, shard, .. } if !is_wanted => {
                cluster.give_up(id);
                Place::Leaving(replica, shard)
            }
            Place::Coming { replica, shard, point, since } => {
                self.wait_for(number, (replica, shard), point, since)
            }
            Place::Serving(replica, shard) if is_wanted || !may_leave(&replica) => {
                Place::Serving(replica, shard)
            }
            Place::Serving(replica, shard) => {
                info!(shard = number, "a user shard serves here no more: it is placed on other nodes");
                match (&self.far, shard.figures()) {
                    (Some(far), Ok(figures)) => far.remember(number, figures, shard.statistics()),
                    (_, Err(error)) => warn!(%error, shard = number, "a user shard cannot be read"),
                    (None, Ok(_)) => {}
                }
                self.users.serve_no_more(number);
                cluster.give_up(id);
                Place::Leaving(replica, shard)
            }
            // It has been placed here again before it was gone.
            Place::Leaving(replica, shard) if is_wanted => {
                cluster.keep(id);
                Place::coming(replica, shard)
            }
            Place::Leaving(replica, shard) if !cluster.has_left(id, replica.status().peer) => {
                Place::Leaving(replica, shard)
            }
            Place::Leaving(replica, shard) => match self.remove(id, number) {
                Ok(()) => {
                    info!(shard = number, "the files of a user shard are removed: other nodes hold it");
                    Place::Absent
                }
                Err(error) => {
                    warn!(%error, shard = number, "a user shard's files are not removed; it is tried again");
                    Place::Leaving(replica, shard)
                }
            },
        }
    }

    /// Makes an empty replica, which waits to be added by the group's leader.
    fn bring(&self, cluster: &Cluster, id: GroupId, number: usize) -> Result<Place> {
        let guard = self.cluster.lock();
        let Some(node) = &*guard else { return Ok(Place::Absent) };
        // What an earlier replica has left.
        remove_shard(&self.dir, number)?;
        let opened = open_shard(&self.dir, &self.settings, self.users.shards.count(), number, true)?;
        cluster.keep(id);
        let replica = cluster
            .add_group(node, id, Box::new(opened.machine))
            .map_err(|error| start_error(error.into()))?;
        info!(shard = number, "a user shard is placed here");
        Ok(Place::coming(replica, opened.shard))
    }

    /// Lets a replica serve once it has everything that was acknowledged when it was asked.
    fn wait_for(
        &self,
        number: usize,
        (replica, shard): (GroupHandle, UserShard),
        point: Option<Pending<ReadPoint>>,
        since: Instant,
    ) -> Place {
        let asked = point.or_else(|| replica.read_index().ok());
        match asked.map(Pending::try_answer) {
            Some(Ok(Ok(_))) => {
                self.users.serve(number, replica.clone(), shard.clone());
                info!(shard = number, "a user shard serves here");
                Place::Serving(replica, shard)
            }
            Some(Err(point)) => Place::Coming { replica, shard, point: Some(point), since },
            // No leader has answered, or not in time: it is asked again.
            Some(Ok(Err(_))) | None => Place::Coming { replica, shard, point: None, since },
        }
    }

    fn remove(&self, id: GroupId, number: usize) -> Result<()> {
        if let Some(node) = &*self.cluster.lock()
            && node.group(id).is_some()
        {
            node.remove_group(id).map_err(|error| start_error(error.into()))?;
        }
        remove_shard(&self.dir, number)
    }
}

/// Whether a group can do without a replica's vote. That a replica which has still to hear of its vote stops serving does
/// no harm: it goes on as a member until the leader says that it is none.
fn may_leave(replica: &GroupHandle) -> bool {
    let status = replica.status();
    let votes = status.members.iter().any(|member| member.peer == status.peer && member.votes);
    !votes && !status.is_joint && status.role != Role::Leader
}
