//! The track shards that own slots, wherever they are, at one moment.

use std::sync::Arc;

use super::far_tracks::FarTrack;
use super::group::Group;
use super::tracks::TrackPart;
use crate::storage::track_shard::{TrackView, home_place};
use crate::types::{ShardId, TrackId};

/// A track shard that owns slots.
#[derive(Clone)]
pub(super) enum Owner {
    Here(Arc<TrackPart>),
    Elsewhere(Arc<FarTrack>),
}

/// The shards that own slots, in the order of these; together they have every slot once.
pub(super) struct TrackOwners {
    owners: Vec<Owner>,
    /// The newest version of each that is here; of others what is known of their slots and numbers.
    views: Vec<Arc<TrackView>>,
}

impl Owner {
    /// Its group.
    pub(super) fn group(&self) -> &Group {
        match self {
            Self::Here(part) => &part.group,
            Self::Elsewhere(shard) => &shard.group,
        }
    }

    /// Its number.
    pub(super) fn shard(&self) -> ShardId {
        match self {
            Self::Here(part) => part.shard.shard,
            Self::Elsewhere(shard) => shard.shard,
        }
    }

    /// The replica of this node, if it serves.
    pub(super) fn here(&self) -> Option<&Arc<TrackPart>> {
        match self {
            Self::Here(part) => Some(part),
            Self::Elsewhere(_) => None,
        }
    }
}

impl TrackOwners {
    /// Owners with their versions, in the same order.
    pub(super) fn new(owners: Vec<Owner>, views: Vec<Arc<TrackView>>) -> Self {
        assert_eq!(owners.len(), views.len(), "a version each");
        Self { owners, views }
    }

    /// Each with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Owner)> {
        self.owners.iter().enumerate()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.owners.len()
    }

    /// The one at a place.
    pub(super) fn owner(&self, place: usize) -> &Owner {
        &self.owners[place]
    }

    /// The slots of the one at a place.
    pub(super) fn slots(&self, place: usize) -> (u16, u16) {
        self.views[place].slots()
    }

    /// Whether these are the same shards, and the same ones are here; of what version is another matter.
    pub(super) fn are_those_of(&self, other: &Self) -> bool {
        let key = |owner: &Owner| (owner.shard(), owner.here().is_some());
        self.owners.iter().map(key).eq(other.owners.iter().map(key))
    }

    /// The versions, when all shards are here.
    pub(super) fn all_here(&self) -> Option<&[Arc<TrackView>]> {
        self.owners.iter().all(|owner| owner.here().is_some()).then_some(&self.views)
    }

    /// The version of the shard at a place, if it is here.
    pub(super) fn view_here(&self, place: usize) -> Option<&Arc<TrackView>> {
        self.owners[place].here().map(|_| &self.views[place])
    }

    /// The replicas that are here.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Arc<TrackPart>> {
        self.owners.iter().filter_map(Owner::here)
    }

    /// The groups that are here.
    pub(super) fn groups_here(&self) -> impl Iterator<Item = &Group> {
        self.parts().map(|part| &part.group)
    }

    /// The names of all groups.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.owners.iter().map(|owner| &owner.group().name)
    }

    /// Which an id belongs to.
    pub(super) fn place_of(&self, id: &str) -> usize {
        home_place(&self.views, id)
    }

    /// Those whose slots are all of a range.
    pub(super) fn places_within(&self, (first, end): (u16, u16)) -> Vec<usize> {
        let is_within = |place: &usize| {
            let (own_first, own_end) = self.slots(*place);
            first <= own_first && own_end <= end
        };
        (0..self.count()).filter(is_within).collect()
    }

    /// Rows by the shard of their track, in the order they came in.
    pub(super) fn split<T>(&self, rows: Vec<T>, id_of: impl Fn(&T) -> &TrackId) -> Vec<Vec<T>> {
        if self.count() == 1 {
            return vec![rows];
        }
        let mut parts: Vec<Vec<T>> = self.owners.iter().map(|_| Vec::new()).collect();
        for row in rows {
            parts[self.place_of(id_of(&row).as_str())].push(row);
        }
        parts
    }
}
