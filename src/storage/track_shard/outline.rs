//! What a shard's version is, without its rows: enough to know of what it holds which tracks, wherever the rows are.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use super::lineage::{Lineage, Parting};
use super::view::TrackView;
use crate::error::{Error, Result};
use crate::types::{GenerationId, SLOTS, ShardId, SpaceName, TRACK_SHARDS_MAX};

/// One version of a shard from outside.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Outline {
    /// Which shard.
    pub shard: u16,
    /// How many track shards the database was created with.
    pub shards: u16,
    /// What it knows of splits.
    pub lineage: Option<Lineage>,
    /// The last applied entry's index.
    pub applied_index: u64,
    /// Version of the catalogue rows.
    pub epoch: u64,
    /// One past the largest ordinal given so far.
    pub ordinals: u32,
    /// Tracks that exist and are not taken down.
    pub live: u64,
    /// Its vectors.
    pub sets: Vec<OutlineSet>,
}

/// What a version has of one space and generation.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OutlineSet {
    /// The space.
    pub space: SpaceName,
    /// The generation.
    pub generation: GenerationId,
    /// Components of its vectors.
    pub dim: u32,
    /// Tracks with a vector.
    pub live: u64,
}

impl Outline {
    /// Of a shard that was never split, or has still to begin, of which nothing else is known.
    #[must_use]
    pub fn unheard(shard: ShardId, shards: u16) -> Self {
        TrackView::empty(shard, shards).outline()
    }

    /// The slots that are being given away, if any are.
    #[must_use]
    pub fn parting(&self) -> Option<Parting> {
        self.lineage.as_ref()?.parting
    }

    /// What it has of a space and generation.
    #[must_use]
    pub fn set(&self, space: &SpaceName, generation: GenerationId) -> Option<&OutlineSet> {
        self.sets.iter().find(|set| set.generation == generation && set.space == *space)
    }

    /// A version with its name, slots and numbers, in which there are no rows and no vectors.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be one of a shard's.
    pub fn view(&self) -> Result<TrackView> {
        let of_lineage = |lineage: &Lineage| {
            let slots = lineage.slots;
            let ascending = lineage.births.is_sorted_by(|a, b| a.0 < b.0);
            slots.first <= slots.end && slots.end <= SLOTS && !lineage.births.is_empty() && ascending
        };
        // One that a split makes owns nothing before it begins with its parent's files.
        let of_none = || self.shard < self.shards || self.ordinals == 0;
        let is_one = (1..=TRACK_SHARDS_MAX).contains(&self.shards)
            && self.shard < TRACK_SHARDS_MAX
            && self.lineage.as_ref().map_or_else(of_none, of_lineage);
        if !is_one {
            return Err(Error::Corrupt(format!(
                "an outline is of no track shard. shard=`{}`, shards=`{}`",
                self.shard, self.shards
            )));
        }
        Ok(TrackView {
            lineage: self.lineage.clone().map(Arc::new),
            applied_index: self.applied_index,
            epoch: self.epoch,
            live: self.live,
            ..TrackView::empty(ShardId(self.shard), self.shards)
        })
    }
}

impl TrackView {
    /// What this version is, without its rows.
    #[must_use]
    pub fn outline(&self) -> Outline {
        let sets = self.sets.iter();
        Outline {
            shard: self.shard.0,
            shards: self.shards,
            lineage: self.lineage.as_deref().cloned(),
            applied_index: self.applied_index,
            epoch: self.epoch,
            ordinals: self.ordinals(),
            live: self.live,
            sets: sets
                .map(|((space, generation), set)| OutlineSet {
                    space: space.clone(),
                    generation: *generation,
                    dim: set.spec.dim,
                    live: set.live,
                })
                .collect(),
        }
    }

    /// Whether it knows of splits: then a name may be one that two shards could have given.
    #[must_use]
    pub fn has_lineage(&self) -> bool {
        self.lineage.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{SlotRange, TrackOrdinal, TrackRef};

    #[test]
    fn an_outline_names_tracks_as_its_shard_does_and_a_wrong_one_is_refused() {
        let mut lineage = Lineage::of(ShardId(1), SlotRange { first: 2_048, end: SLOTS });
        lineage.births.push((10, 2));
        let mut view = TrackView::empty(ShardId(2), 2);
        view.lineage = Some(Arc::new(lineage.clone()));
        let outline = view.outline();
        let from_outline = outline.view().expect("of a shard");
        assert_eq!(from_outline.slots(), view.slots());
        for ordinal in [0, 9, 10, 500] {
            assert_eq!(from_outline.reference(ordinal), view.reference(ordinal));
        }
        let name = TrackRef { shard: ShardId(2), ordinal: TrackOrdinal(10) };
        assert!(from_outline.names(name) && from_outline.has_lineage());
        let births = |births: &[(u32, u16)]| {
            let lineage = Lineage { births: births.to_vec(), ..lineage.clone() };
            Outline { lineage: Some(lineage), ..outline.clone() }
        };
        let slots = Lineage { slots: SlotRange { first: 9, end: SLOTS + 1 }, ..lineage.clone() };
        let new = TrackView::empty(ShardId(2), 2).outline();
        let (first, end) = new.view().expect("of a shard that has still to begin").slots();
        assert_eq!((first, end), (SLOTS, SLOTS), "it owns nothing");
        for wrong in [
            Outline { shards: 0, ..outline.clone() },
            Outline { shard: TRACK_SHARDS_MAX, ..outline.clone() },
            Outline { lineage: None, ordinals: 11, ..outline.clone() },
            Outline { lineage: Some(slots), ..outline.clone() },
            births(&[]),
            births(&[(3, 1), (3, 2)]),
        ] {
            assert!(wrong.view().is_err(), "{wrong:?}");
        }
    }
}
