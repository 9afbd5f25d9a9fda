//! What this node has to do with one shard that may come to it and leave it while it runs.
//!
//! ```text
//! absent   the map places the shard here: an empty replica is made, and the map told of it
//! coming   its group's leader adds it, gives it a snapshot; once it has caught up it serves
//! serving  the map places the shard elsewhere, and the replica votes no more: it is taken out of service
//! leaving  the map is told; once the leader says that it is no member, log and files are removed
//! ```
//!
//! Every step looks at how things are, so that it may be interrupted anywhere and goes on after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use segue_cluster::{Cluster, GroupHandle, GroupId, Pending, ReadPoint, Role};
use tracing::{info, warn};

use super::engine::Inner;
use super::peers::start_error;
use super::report::group_name;
use crate::error::{Error, Result};

/// What this node has to do with one shard.
pub(super) enum Place<S> {
    Absent,
    Coming {
        replica: GroupHandle,
        shard: S,
        /// Asked for, and not reached yet.
        point: Option<Pending<ReadPoint>>,
        /// When it began.
        since: Instant,
    },
    Serving(GroupHandle, S),
    Leaving(GroupHandle, S),
}

/// A kind of shard that comes and goes.
pub(super) trait Placed: Sized {
    /// The group of a shard.
    fn group(number: u16) -> GroupId;

    /// Makes an empty replica, which waits to be added by the group's leader; [`Place::Absent`] when the node is stopping.
    ///
    /// # Errors
    /// Those of making it; it is tried again.
    fn bring(node: &Inner, cluster: &Arc<Cluster>, number: u16) -> Result<Place<Self>>;

    /// From now on the replica serves.
    fn serve(&self, node: &Inner, number: u16, replica: &GroupHandle);

    /// From now on it does not; what was known of it is kept for when nobody answers.
    fn serve_no_more(&self, node: &Inner, number: u16);

    /// Removes log and files; whether that was possible now.
    ///
    /// # Errors
    /// The operating system's; it is tried again.
    fn remove(&self, node: &Inner, number: u16) -> Result<bool>;
}

impl<S: Placed> Place<S> {
    /// A replica that has just been made or opened, and has still to catch up.
    pub(super) fn coming(replica: GroupHandle, shard: S) -> Self {
        Self::Coming { replica, shard, point: None, since: Instant::now() }
    }

    /// Takes one step towards what the map says.
    pub(super) fn step(self, node: &Inner, cluster: &Arc<Cluster>, number: u16) -> Self {
        let id = S::group(number);
        let (name, is_wanted) = (group_name(id), cluster.is_wanted_here(id));
        match self {
            Self::Absent if is_wanted => S::bring(node, cluster, number).unwrap_or_else(|error| {
                warn!(%error, shard = name, "a shard cannot be taken in; it is tried again");
                Self::Absent
            }),
            Self::Absent => Self::Absent,
            Self::Coming { replica, shard, .. } if !is_wanted => {
                cluster.give_up(id);
                Self::Leaving(replica, shard)
            }
            Self::Coming { replica, shard, point, since } => {
                wait_for(node, number, (replica, shard), point, since)
            }
            Self::Serving(replica, shard) if is_wanted || !may_leave(&replica) => {
                Self::Serving(replica, shard)
            }
            Self::Serving(replica, shard) => {
                info!(shard = name, "a shard serves here no more: it is placed on other nodes");
                shard.serve_no_more(node, number);
                cluster.give_up(id);
                Self::Leaving(replica, shard)
            }
            // It has been placed here again before it was gone.
            Self::Leaving(replica, shard) if is_wanted => {
                cluster.keep(id);
                Self::coming(replica, shard)
            }
            Self::Leaving(replica, shard) if !cluster.has_left(id, replica.status().peer) => {
                Self::Leaving(replica, shard)
            }
            Self::Leaving(replica, shard) => match shard.remove(node, number) {
                Ok(true) => {
                    info!(shard = name, "the files of a shard are removed: other nodes hold it");
                    Self::Absent
                }
                Ok(false) => Self::Leaving(replica, shard),
                Err(error) => {
                    warn!(%error, shard = name, "a shard's files are not removed; it is tried again");
                    Self::Leaving(replica, shard)
                }
            },
        }
    }
}

/// Lets a replica serve once it has everything that was acknowledged when it was asked.
fn wait_for<S: Placed>(
    node: &Inner,
    number: u16,
    (replica, shard): (GroupHandle, S),
    point: Option<Pending<ReadPoint>>,
    since: Instant,
) -> Place<S> {
    let asked = point.or_else(|| replica.read_index().ok());
    match asked.map(Pending::try_answer) {
        Some(Ok(Ok(_))) => {
            shard.serve(node, number, &replica);
            info!(shard = group_name(S::group(number)), "a shard serves here");
            Place::Serving(replica, shard)
        }
        Some(Err(point)) => Place::Coming { replica, shard, point: Some(point), since },
        // No leader has answered, or not in time: it is asked again.
        Some(Ok(Err(_))) | None => Place::Coming { replica, shard, point: None, since },
    }
}

/// Whether a group can do without a replica's vote. That a replica which has still to hear of its vote stops serving does
/// no harm: it goes on as a member until the leader says that it is none.
fn may_leave(replica: &GroupHandle) -> bool {
    let status = replica.status();
    !has_vote(replica) && !status.is_joint && status.role != Role::Leader
}

/// Whether a replica of a group that has its places is still on its way here: it was not given a vote yet, as it is once it has
/// caught up. Others are asked meanwhile.
pub(super) fn is_coming(cluster: &Cluster, replica: &GroupHandle) -> bool {
    cluster.map().placements.contains_key(&replica.id()) && !has_vote(replica)
}

fn has_vote(replica: &GroupHandle) -> bool {
    let status = replica.status();
    status.members.iter().any(|member| member.peer == status.peer && member.votes)
}

/// Whether a replica is to serve: the map places it here, or does not know yet that this node has given it up.
pub(super) fn is_kept(cluster: &Cluster, group: GroupId) -> bool {
    let map = cluster.map();
    let own = map.nodes.get(&cluster.store());
    cluster.is_wanted_here(group) || own.is_none_or(|node| node.replicas.contains_key(&group))
}

impl Inner {
    /// Ends a group here, and destroys its log.
    pub(super) fn remove_group(&self, id: GroupId) -> Result<()> {
        if let Some(node) = &*self.cluster.lock()
            && node.group(id).is_some()
        {
            node.remove_group(id).map_err(|error| start_error(error.into()))?;
        }
        Ok(())
    }
}

/// Removes what a shard has left here that is on other nodes and has no log here: the node was stopped before its files were gone.
///
/// # Errors
/// The operating system's.
pub(super) fn sweep(cluster: &Cluster, dir: &Path, group: GroupId) -> Result<()> {
    if cluster.is_elsewhere(group) { remove_files(dir, &group_name(group)) } else { Ok(()) }
}

/// Removes the files of a shard whose log is gone.
///
/// # Errors
/// The operating system's.
pub(super) fn remove_files(dir: &Path, name: &str) -> Result<()> {
    for folder in [dir.join(name), dir.join("snapshots").join(name)] {
        match std::fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove the files of a shard", folder, source));
            }
            _ => {}
        }
    }
    Ok(())
}
