//! Track shards that were split: which slots are theirs, and whose numbers their tracks have.
//!
//! A new shard inherits its parent's numbering: an ordinal that was given before the split is the same in both, and stands for
//! one track, which is in the one of both that owns its slot. So the name of a track, [`TrackRef`], is the shard in which it was
//! given its ordinal and that ordinal, for ever, wherever the track is now: histories and bitmaps of before a split hold
//! behind it. Ordinals that are given later may be the same numbers in both shards; they are names in the shard that gave them.
//!
//! [`TrackView::reference`] is the one place where an ordinal becomes a name, [`holder`] where a name finds its shard.

use rkyv::{Archive, Deserialize, Serialize};

use super::row::TrackHot;
use super::view::TrackView;
use crate::types::{SLOTS, ShardId, Slot, SlotRange, TrackOrdinal, TrackRef, slots_of_shard};

/// What a shard knows of the splits it came from and took part in. A shard that was never split, and is none's child, has none.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Lineage {
    /// The slots whose tracks are here.
    pub slots: SlotRange,
    /// From which ordinal on which shard has given the numbers; ascending, the first from 0.
    pub births: Vec<(u32, u16)>,
    /// An ordinal below this may be that of a track in another shard: then there is no row of it here.
    pub shared_below: u32,
    /// The slots that are being given away, if any are.
    pub parting: Option<Parting>,
}

/// The upper slots of a shard on their way to a new one: they take no writes, and are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Parting {
    /// The new shard.
    pub child: u16,
    /// Its first slot.
    pub at: u16,
}

impl Lineage {
    /// That of a shard which is about to be split for the first time.
    pub(super) fn of(shard: ShardId, slots: SlotRange) -> Self {
        Self { slots, births: vec![(0, shard.0)], shared_below: 0, parting: None }
    }

    /// The shard that gave an ordinal.
    fn birth(&self, ordinal: u32) -> ShardId {
        let at = self.births.partition_point(|(first, _)| *first <= ordinal);
        ShardId(at.checked_sub(1).map_or(0, |at| self.births[at].1))
    }

    /// The lineage of the new shard to which the slots from `at` on go, while the parent has given ordinals up to `end`.
    pub(super) fn of_child(&self, parting: Parting, end: u32) -> Self {
        let mut births = self.births.clone();
        births.retain(|(first, _)| *first < end || *first == 0);
        births.push((end, parting.child));
        let slots = SlotRange { first: parting.at, end: self.slots.end };
        Self { slots, births, shared_below: end, parting: None }
    }
}

impl TrackView {
    /// The slots whose tracks are here: the first, and one past the last. A shard that is being made has none.
    #[must_use]
    pub fn slots(&self) -> (u16, u16) {
        match &self.lineage {
            Some(lineage) => (lineage.slots.first, lineage.slots.end),
            None => slots_of_shard(self.shard.0.into(), self.shards),
        }
    }

    /// Whether a slot's tracks are here.
    #[must_use]
    pub fn owns(&self, slot: Slot) -> bool {
        let (first, end) = self.slots();
        (first..end).contains(&slot.0)
    }

    /// The slots that are being given away, if any are.
    #[must_use]
    pub fn parting(&self) -> Option<Parting> {
        self.lineage.as_ref()?.parting
    }

    /// Whether it is one of so many, and the database was created with as many: then this is one of the shards there have always
    /// been, unless one of the others was split.
    #[must_use]
    pub fn was_never_split(&self, count: usize) -> bool {
        self.lineage.is_none() && usize::from(self.shards) == count
    }

    /// Whether it began with files of another shard by an entry behind this one.
    #[must_use]
    pub fn began_after(&self, index: u64) -> bool {
        self.inherited_at > index
    }

    /// Whether keys of recordings are kept: where other shards may have versions of them.
    #[must_use]
    pub(super) fn has_siblings(&self) -> bool {
        self.shards > 1 || self.lineage.is_some()
    }

    /// The name of the track with an ordinal of this shard.
    #[must_use]
    pub fn reference(&self, ordinal: u32) -> TrackRef {
        let shard = self.lineage.as_ref().map_or(self.shard, |lineage| lineage.birth(ordinal));
        TrackRef { shard, ordinal: TrackOrdinal(ordinal) }
    }

    /// Whether a name is one that an ordinal of this shard may have; whether the track is here, [`holder`] knows.
    #[must_use]
    pub fn names(&self, track: TrackRef) -> bool {
        match &self.lineage {
            None => track.shard == self.shard,
            Some(lineage) => lineage.birth(track.ordinal.0) == track.shard,
        }
    }

    /// Whether an ordinal has a row here, if only one that says that the track was taken down.
    #[must_use]
    pub fn has_row(&self, ordinal: u32) -> bool {
        self.hot_place(ordinal).is_some_and(|hot| hot.segment != TrackHot::ABSENT.segment)
    }
}

/// The place among `all` of the shard that a track is in.
///
/// Cost: a comparison a shard; where shards were split, a look at memory for each that may have the track. A track that is in none
/// (this version of its shard does not know it yet) is in the first that would name it so.
#[must_use]
pub fn holder<V: AsRef<TrackView>>(all: &[V], track: TrackRef) -> Option<usize> {
    let mut named = None;
    for (place, view) in all.iter().map(AsRef::as_ref).enumerate() {
        if view.names(track) {
            if view.lineage.is_none() || view.has_row(track.ordinal.0) {
                return Some(place);
            }
            named.get_or_insert(place);
        }
    }
    named
}

/// The places of the shards that own slots, in the order of these: each slot is owned once. `None` when some have no owner: a new
/// shard has still to get what its parent has given away.
///
/// `all`: in the order of their numbers and taken in that order, so that a parent is never newer than its child. Of a parent that
/// has not yet given its upper slots away, and a child that has them already, the parent owns them.
#[must_use]
pub fn owners<V: AsRef<TrackView>>(all: &[V]) -> Option<Vec<usize>> {
    let mut ranges: Vec<(u16, u16, usize)> = Vec::with_capacity(all.len());
    for (place, view) in all.iter().map(AsRef::as_ref).enumerate() {
        let (first, end) = view.slots();
        if first < end && ranges.iter().all(|known| known.1 <= first || end <= known.0) {
            ranges.push((first, end, place));
        }
    }
    ranges.sort_unstable();
    let count: u32 = ranges.iter().map(|(first, end, _)| u32::from(end - first)).sum();
    (count == u32::from(SLOTS)).then(|| ranges.into_iter().map(|(.., place)| place).collect())
}

/// Whether versions are of shards that own every slot once, in the order of slots: of some that were taken while a shard was split
/// one may have given slots away that no other of them has.
#[must_use]
pub fn are_whole<V: AsRef<TrackView>>(all: &[V]) -> bool {
    owners(all).is_some_and(|places| places.into_iter().eq(0..all.len()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A shard of a database that was created with one, with rows of these ordinals.
    fn view(shard: u16, lineage: Option<Lineage>, rows: &[u32]) -> Arc<TrackView> {
        let mut view = TrackView::empty(ShardId(shard), 1);
        view.lineage = lineage.map(Arc::new);
        for &ordinal in rows {
            let hot = TrackHot { segment: 1, live: true, ..TrackHot::ABSENT };
            view.hot.set(ordinal as usize, hot, &TrackHot::ABSENT);
        }
        Arc::new(view)
    }

    fn track(shard: u16, ordinal: u32) -> TrackRef {
        TrackRef { shard: ShardId(shard), ordinal: TrackOrdinal(ordinal) }
    }

    #[test]
    fn a_name_stays_over_splits_and_numbers_given_later_are_told_apart() {
        let first = Lineage::of(ShardId(0), SlotRange { first: 0, end: SLOTS });
        let child = first.of_child(Parting { child: 1, at: 2_048 }, 10);
        let grandchild = child.of_child(Parting { child: 2, at: 3_072 }, 14);
        assert_eq!(child.births, [(0, 0), (10, 1)]);
        assert_eq!(grandchild.births, [(0, 0), (10, 1), (14, 2)]);
        let parent = Lineage { slots: SlotRange { first: 0, end: 2_048 }, shared_below: 10, ..first.clone() };
        let kept =
            Lineage { slots: SlotRange { first: 2_048, end: 3_072 }, shared_below: 14, ..child.clone() };
        // 3 stays, 4 goes to the child, 5 to its child; 11 is given by each of both first, 12 by the child and goes on.
        let all = [
            view(0, Some(parent), &[3, 11, 15]),
            view(1, Some(kept), &[4, 11, 15]),
            view(2, Some(grandchild), &[5, 12, 15]),
        ];
        let expected = [
            (track(0, 3), 0),
            (track(0, 4), 1),
            (track(0, 5), 2),
            (track(0, 11), 0),
            (track(1, 11), 1),
            (track(1, 12), 2),
            (track(0, 15), 0),
            (track(1, 15), 1),
            (track(2, 15), 2),
        ];
        for (name, place) in expected {
            assert_eq!(holder(&all, name), Some(place), "{name:?}");
            assert_eq!(all[place].reference(name.ordinal.0), name);
        }
        assert_eq!(holder(&all, track(1, 3)), None, "the child gave no such number");
        assert_eq!(holder(&all, track(0, 99)), Some(0), "a track that is not here yet");
        assert_eq!(owners(&all), Some(vec![0, 1, 2]));
        // A second child that is given nothing in between.
        let again = child.of_child(Parting { child: 3, at: 3_500 }, 10);
        assert_eq!(again.births, [(0, 0), (10, 3)]);
        let early = first.of_child(Parting { child: 1, at: 9 }, 0);
        assert_eq!(early.birth(0), ShardId(1), "nothing was given before");
    }

    #[test]
    fn every_slot_has_one_owner_whichever_half_is_newer() {
        let whole = Lineage::of(ShardId(0), SlotRange { first: 0, end: SLOTS });
        let parting = Parting { child: 1, at: 2_048 };
        let frozen = Lineage { parting: Some(parting), ..whole.clone() };
        let released = Lineage { slots: SlotRange { first: 0, end: 2_048 }, ..whole.clone() };
        let child = whole.of_child(parting, 0);
        let of = |parent: &Lineage, child: Option<&Lineage>| {
            owners(&[view(0, Some(parent.clone()), &[]), view(1, child.cloned(), &[])])
        };
        assert_eq!(owners(&[view(0, None, &[])]), Some(vec![0]));
        assert_eq!(of(&frozen, None), Some(vec![0]));
        assert_eq!(of(&frozen, Some(&child)), Some(vec![0]), "the parent has not given anything away");
        assert_eq!(of(&released, Some(&child)), Some(vec![0, 1]));
        assert_eq!(of(&released, None), None, "the child has still to come");
        // Of one that was split below: places stand in the order of slots, not of numbers.
        let lower = Lineage { slots: SlotRange { first: 0, end: 1_024 }, ..whole.clone() };
        let second = whole.of_child(Parting { child: 2, at: 1_024 }, 0);
        let second = Lineage { slots: SlotRange { first: 1_024, end: 2_048 }, ..second };
        let all = [view(0, Some(lower), &[]), view(1, Some(child), &[]), view(2, Some(second), &[])];
        assert_eq!(owners(&all).unwrap(), [0, 2, 1]);
        // What a request may begin with: in order, without a hole, and nothing twice.
        let [lower, child, second] = &all;
        assert!(are_whole(&[lower, second, child]) && !are_whole(&all));
        assert!(!are_whole(&[lower, child]) && !are_whole(&[second, child]));
        let (frozen, child) = (view(0, Some(frozen), &[]), child.clone());
        assert!(are_whole(&[&frozen]) && !are_whole(&[&frozen, &child]));
    }
}
