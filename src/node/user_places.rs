//! User shards come to this node and leave it while it runs.

use std::sync::Arc;

use segue_cluster::{Cluster, GroupHandle, GroupId};
use tracing::warn;

use super::engine::Inner;
use super::open_users::open_shard;
use super::peers::start_error;
use super::place::{Place, Placed, remove_files};
use super::split::group_id;
use crate::error::Result;
use crate::storage::meta::{ShardKind, SplitPhase};
use crate::storage::user_shard::UserShard;

impl Placed for UserShard {
    fn group(number: u16) -> GroupId {
        group_id(number)
    }

    fn bring(node: &Inner, cluster: &Arc<Cluster>, number: u16) -> Result<Place<Self>> {
        let guard = node.cluster.lock();
        let Some(store) = &*guard else { return Ok(Place::Absent) };
        let id = group_id(number);
        // What an earlier replica has left.
        remove_files(&node.dir, &ShardKind::Users.name(number))?;
        let opened = open_shard(&node.dir, &node.settings, node.users.shards.count(), number.into(), true)?;
        cluster.keep(id);
        let replica = cluster.add_group(store, id, Box::new(opened.machine));
        Ok(Place::coming(replica.map_err(|error| start_error(error.into()))?, opened.shard))
    }

    fn serve(&self, node: &Inner, number: u16, replica: &GroupHandle) {
        node.users.serve(number.into(), replica.clone(), self.clone());
    }

    fn serve_no_more(&self, node: &Inner, number: u16) {
        match (&node.far, self.figures()) {
            (Some(far), Ok(figures)) => far.remember(number.into(), figures, self.statistics()),
            (_, Err(error)) => warn!(%error, shard = number, "a user shard cannot be read"),
            (None, Ok(_)) => {}
        }
        node.users.serve_no_more(number.into());
    }

    fn remove(&self, node: &Inner, number: u16) -> Result<bool> {
        node.remove_group(group_id(number))?;
        remove_files(&node.dir, &ShardKind::Users.name(number))?;
        Ok(true)
    }
}

impl Inner {
    /// Takes every user shard one step towards what the map says.
    pub(super) fn tend_users(&self, cluster: &Arc<Cluster>) {
        let state = self.meta.shard.state();
        let mut numbers = state.user_shard_numbers();
        let founding = state.user_split().filter(|split| split.phase == SplitPhase::Founding);
        // Its founder makes it, and nobody else.
        numbers.retain(|number| founding.is_none_or(|split| split.child != *number));
        let mut places = self.places.lock();
        for (number, place) in (0..).zip(places.iter_mut()) {
            let now = std::mem::replace(place, Place::Absent);
            let is_there = numbers.contains(&number) || !matches!(now, Place::Absent);
            *place = if is_there { now.step(self, cluster, number) } else { now };
        }
    }
}
