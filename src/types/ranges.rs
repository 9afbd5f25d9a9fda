//! Which shard owns which slots, where that is data and not a formula.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::placement::{SLOTS, Slot, slots_of_shard};

/// Slots from `first` to the one before `end`; never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct SlotRange {
    /// The first.
    pub first: u16,
    /// One past the last, at most [`SLOTS`].
    pub end: u16,
}

impl SlotRange {
    /// How many there are.
    #[must_use]
    pub fn count(self) -> u16 {
        self.end - self.first
    }

    /// Whether a slot is one of them.
    #[must_use]
    pub fn contains(self, slot: Slot) -> bool {
        (self.first..self.end).contains(&slot.0)
    }
}

impl std::fmt::Display for SlotRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.first, self.end - 1)
    }
}

/// Contiguous ranges of all slots, one a shard, none empty. Shard 0 always owns slot 0.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct SlotRanges {
    /// First slots and shards, by slot; the first one is 0.
    starts: Vec<(u16, u16)>,
}

impl SlotRanges {
    /// Those of `shards` (1 to 4,096) shards of which none was ever split: [`slots_of_shard`].
    #[must_use]
    pub fn even(shards: u16) -> Self {
        let shards = shards.clamp(1, SLOTS);
        Self { starts: (0..shards).map(|shard| (slots_of_shard(shard.into(), shards).0, shard)).collect() }
    }

    /// The shard that owns a slot. Cost: a binary search.
    #[must_use]
    pub fn shard_of(&self, slot: Slot) -> usize {
        self.starts[self.place_of(slot)].1.into()
    }

    fn place_of(&self, slot: Slot) -> usize {
        self.starts.partition_point(|(first, _)| *first <= slot.0).saturating_sub(1)
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// Every shard and its slots, in the order of the slots.
    pub fn in_order(&self) -> impl Iterator<Item = (usize, SlotRange)> + '_ {
        self.starts.iter().enumerate().map(|(place, (first, shard))| {
            let end = self.starts.get(place + 1).map_or(SLOTS, |(next, _)| *next);
            (usize::from(*shard), SlotRange { first: *first, end })
        })
    }

    /// The slots of a shard, if it has any.
    #[must_use]
    pub fn range_of(&self, shard: usize) -> Option<SlotRange> {
        self.in_order().find(|(known, _)| *known == shard).map(|(_, range)| range)
    }

    /// Gives the slots of `shard` from `at` on to the new shard `child`.
    ///
    /// # Errors
    /// Why not; nothing is changed then.
    pub fn split(&mut self, shard: u16, at: u16, child: u16) -> Result<(), String> {
        let range = self.range_of(shard.into());
        let range = range.ok_or_else(|| format!("there is no such shard. shard=`{shard}`"))?;
        if range.count() < 2 {
            return Err(format!(
                "a range of one slot cannot be split. shard=`{shard}`, slot=`{}`",
                range.first
            ));
        }
        if at <= range.first || at >= range.end {
            let (first, last) = (range.first + 1, range.end - 1);
            return Err(format!(
                "each half needs a slot: split at {first} to {last}. shard=`{shard}`, at=`{at}`"
            ));
        }
        if self.range_of(child.into()).is_some() {
            return Err(format!("the new shard is there already. shard=`{child}`"));
        }
        let place = self.place_of(Slot(range.first));
        self.starts.insert(place + 1, (at, child));
        Ok(())
    }

    /// Whether these are ranges that only [`SlotRanges::even`] and [`SlotRanges::split`] make, of shards below `shards_max`.
    #[must_use]
    pub fn is_sound(&self, shards_max: u16) -> bool {
        let firsts = self.starts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let mut shards: Vec<u16> = self.starts.iter().map(|(_, shard)| *shard).collect();
        shards.sort_unstable();
        let once = shards.windows(2).all(|pair| pair[0] != pair[1]);
        let ends =
            self.starts.first() == Some(&(0, 0)) && self.starts.last().is_some_and(|last| last.0 < SLOTS);
        firsts && once && ends && shards.last().is_some_and(|last| *last < shards_max)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::types::{SplitMix64, shard_of_slot};

    #[test]
    fn ranges_that_were_never_split_are_those_of_the_formula() {
        for shards in (1..=64).chain([4_095, 4_096]) {
            let ranges = SlotRanges::even(shards);
            assert!(ranges.is_sound(4_096));
            assert_eq!(ranges.count(), usize::from(shards));
            for slot in (0..SLOTS).map(Slot) {
                assert_eq!(ranges.shard_of(slot), shard_of_slot(slot, shards), "{slot} of {shards}");
            }
            for shard in 0..usize::from(shards) {
                let (first, end) = slots_of_shard(shard, shards);
                assert_eq!(ranges.range_of(shard), Some(SlotRange { first, end }));
            }
        }
    }

    #[test]
    fn after_any_splits_every_slot_has_exactly_one_shard_and_only_the_split_range_changes() {
        for seed in 0..60 {
            let mut rng = SplitMix64::new(seed);
            let first = 1 + rng.below(8) as u16;
            let mut ranges = SlotRanges::even(first);
            for child in first..64 {
                let of = rng.below(ranges.count() as u64) as usize;
                let (parent, range) = ranges.in_order().nth(of).unwrap();
                let parent = parent as u16;
                let at = range.first + rng.below(u64::from(range.count()) + 1) as u16;
                let before = ranges.clone();
                let outcome = ranges.split(parent, at, child);
                let is_possible = range.first < at && at < range.end;
                assert_eq!(outcome.is_ok(), is_possible, "{range} at {at}");
                assert!(is_possible || ranges == before);
                assert!(ranges.is_sound(64));
                for slot in (0..SLOTS).map(Slot) {
                    let owners: Vec<usize> =
                        ranges.in_order().filter(|(_, range)| range.contains(slot)).map(|it| it.0).collect();
                    assert_eq!(owners, [ranges.shard_of(slot)]);
                    let moves = is_possible && range.contains(slot) && slot.0 >= at;
                    let expected = if moves { child.into() } else { before.shard_of(slot) };
                    assert_eq!(ranges.shard_of(slot), expected);
                }
                assert_eq!(ranges.shard_of(Slot(0)), 0);
            }
        }
    }

    #[test]
    fn what_cannot_be_split_is_said() {
        let mut one_slot = SlotRanges::even(4_096);
        assert!(one_slot.split(7, 7, 4_097).unwrap_err().contains("one slot"));
        let mut ranges = SlotRanges::even(2);
        assert!(ranges.split(2, 9, 3).unwrap_err().contains("no such shard"));
        assert!(ranges.split(1, 2_048, 2).unwrap_err().contains("2049 to 4095"));
        assert!(ranges.split(1, 2_049, 0).unwrap_err().contains("there already"));
        ranges.split(1, 2_049, 2).unwrap();
        assert_eq!(ranges.range_of(1).unwrap().count(), 1);
        assert_eq!(ranges.range_of(2).unwrap().to_string(), "2049 to 4095");
    }
}
