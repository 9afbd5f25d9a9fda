//! Where the new shard of a split should be: where the old one is, wherever that goes meanwhile.
//!
//! That a split runs is in the meta group's log, where shards should be is in the map's. Neither can be asked while an entry of the
//! other is applied, so a move that was checked before the split began may come into the map behind it; and a dead node is
//! replaced in the middle of a split. So nothing relies on the old shard to stay where it is: whoever leads it goes on with the split, and
//! has the new shard come to it.

use segue_cluster::{GroupId, PlacementChange};

use super::engine::Inner;
use super::{open_tracks, split};
use crate::error::{Error, Result};
use crate::storage::meta::{ShardKind, ShardSplit};

/// The group of a shard of either kind.
pub(super) fn group_of(kind: ShardKind, number: u16) -> GroupId {
    match kind {
        ShardKind::Tracks => open_tracks::group_id(number),
        ShardKind::Users => split::group_id(number),
    }
}

impl Inner {
    /// Has the new shard where the old one is, if that has its places; nothing to do for a database that is alone.
    ///
    /// # Errors
    /// `Unavailable` when the meta group or the map has no leader, or somebody else changed the places meanwhile; it is tried again.
    pub(super) fn place_as_parent(&self, kind: ShardKind, split: &ShardSplit) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let cluster = peers.cluster()?;
        let (map, child) = (cluster.map(), group_of(kind, split.child));
        let now = map.placements.get(&child);
        let to = map.placements.get(&group_of(kind, split.parent));
        let Some(to) = to.filter(|to| now != Some(*to)) else { return Ok(()) };
        // This node may not have heard of the end of the split, behind which somebody moved the new shard away. The map was looked at
        // before: if that move is later than this answer, the map refuses the change.
        self.catch_up_meta()?;
        if self.meta.shard.state().split(kind).is_none_or(|known| known.child != split.child) {
            return Ok(());
        }
        let change = PlacementChange { group: child, from: now.cloned(), to: to.clone() };
        cluster.place(&change).map_err(Error::Unavailable)
    }
}
