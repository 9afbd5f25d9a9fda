//! Track shards come to this node and leave it while it runs, once they have their places in the map. Until then every node holds
//! them.

use std::sync::Arc;
use std::time::Duration;

use segue_cluster::{Cluster, GroupHandle, GroupId};

use super::engine::Inner;
use super::far_tracks::founded;
use super::group::Group;
use super::open_tracks::group_id;
use super::peers::start_error;
use super::place::{Place, Placed, remove_files};
use super::tracks::TrackPart;
use crate::error::Result;
use crate::storage::meta::ShardKind;

/// How long requests of other nodes that began before slots were given away are answered from the version of then.
const FORMER_KEPT: Duration = Duration::from_secs(30);

impl Placed for Arc<TrackPart> {
    fn group(number: u16) -> GroupId {
        group_id(number)
    }

    fn bring(node: &Inner, cluster: &Arc<Cluster>, number: u16) -> Result<Place<Self>> {
        let guard = node.cluster.lock();
        let Some(store) = &*guard else { return Ok(Place::Absent) };
        let id = group_id(number);
        // What an earlier replica has left.
        remove_files(&node.dir, &ShardKind::Tracks.name(number))?;
        let opened = node.open_track_part(number)?;
        cluster.keep(id);
        let part = opened.run(|name, machine| {
            let handle = cluster.add_group(store, id, machine);
            let handle = handle.map_err(|error| start_error(error.into()))?;
            Ok(Group::new(name, handle, Some(Arc::clone(cluster))))
        })?;
        let part = Arc::new(part);
        let replica = part.group.replica()?;
        Ok(Place::coming(GroupHandle::clone(&replica), part))
    }

    fn serve(&self, node: &Inner, _: u16, replica: &GroupHandle) {
        self.group.put(Some(replica.clone()));
        if let Err(error) = node.caches.heads.open_all(&self.shard.view()) {
            tracing::warn!(%error, group = self.group.name, "indexes are opened when they are asked");
        }
        node.tracks.add(Arc::clone(self));
    }

    fn serve_no_more(&self, node: &Inner, number: u16) {
        if let Some(far) = node.tracks.far()
            && let Err(error) = far.remember_own(number, &self.shard.view().outline())
        {
            tracing::warn!(%error, group = self.group.name, "nothing is remembered of a track shard");
        }
        node.tracks.serve_no_more(self);
    }

    fn remove(&self, node: &Inner, number: u16) -> Result<bool> {
        // Whoever seals or merges writes into its folder.
        let Some(_turn) = node.maintenance.try_lock() else { return Ok(false) };
        node.remove_group(group_id(number))?;
        if let Some(peers) = &node.peers {
            peers.serve_shard_no_more(number);
        }
        remove_files(&node.dir, &ShardKind::Tracks.name(number))?;
        Ok(true)
    }
}

impl Inner {
    /// Takes every track shard that has its places one step towards what the map says.
    pub(super) fn tend_tracks(&self, cluster: &Arc<Cluster>) {
        let (map, founded) = (cluster.map(), founded(&self.meta.shard.state()));
        let mut places = self.track_places.lock();
        for (number, place) in (0..).zip(places.iter_mut()) {
            let id = group_id(number);
            let is_there = founded.contains(&number) || !matches!(place, Place::Absent);
            if !is_there || !map.placements.contains_key(&id) {
                continue;
            }
            let mut now = std::mem::replace(place, Place::Absent);
            // A split has made it since the start, or it is the founder's.
            if matches!(now, Place::Absent)
                && let Some(part) = self.tracks.of_group(id)
                && let Ok(replica) = part.group.replica()
            {
                now = Place::Serving(GroupHandle::clone(&replica), part);
            }
            *place = now.step(self, cluster, number);
        }
    }

    /// Hears of track shards that are not here.
    pub(super) fn look_at_far_tracks(&self) -> Result<()> {
        if let Some(far) = self.tracks.far() {
            far.look_at(&self.tracks.elsewhere());
        }
        self.tracks.parts().iter().for_each(|part| part.shard.let_former_go(FORMER_KEPT));
        Ok(())
    }
}
