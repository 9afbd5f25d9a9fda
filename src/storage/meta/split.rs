//! How many shards of either kind there are, and the splits of one, as the meta group knows them.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::{
    command::{Field, MetaReply},
    state::{MetaState, invalid},
};
use crate::types::{SlotRanges, TRACK_SHARDS_MAX, USER_SHARDS_MAX};

/// The kinds of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardKind {
    /// Of the catalogue.
    Tracks,
    /// Of listeners.
    Users,
}

impl ShardKind {
    /// What stands before a shard's number in its name.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Tracks => "tracks",
            Self::Users => "users",
        }
    }

    /// What one is called.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Tracks => "track shard",
            Self::Users => "user shard",
        }
    }

    /// The name of one.
    #[must_use]
    pub fn name(self, shard: impl std::fmt::Display) -> String {
        format!("{}-{shard}", self.prefix())
    }

    /// The most a database may have.
    #[must_use]
    pub fn most(self) -> u16 {
        match self {
            Self::Tracks => TRACK_SHARDS_MAX,
            Self::Users => USER_SHARDS_MAX,
        }
    }
}

/// How far a split has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum SplitPhase {
    /// The new shard's group may not be there yet: its founder makes it.
    Founding,
    /// The group is there, and is never founded again. Rows are being copied, or handed over.
    Copying,
    /// The new shard owns its slots. What is left of before has still to be given up.
    Switched,
}

/// A split that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ShardSplit {
    /// The shard that is split.
    pub parent: u16,
    /// The new shard.
    pub child: u16,
    /// The first slot the new shard gets.
    pub at: u16,
    /// The store that founds the new shard's group; 0 = a database that is alone.
    pub founder: u64,
    /// How far it has come.
    pub phase: SplitPhase,
}

/// Ranges that follow from splits; a database that was never split has none.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct ShardSplits {
    pub ranges: SlotRanges,
    pub running: Option<ShardSplit>,
    /// The number of the next new shard: a number is never used twice.
    pub next: u16,
}

impl MetaState {
    pub(super) fn set_user_shards(&mut self, count: u16) -> MetaReply {
        if count == 0 || count > USER_SHARDS_MAX {
            return invalid(
                Field::UserShards,
                format!("must be 1 to {USER_SHARDS_MAX}. user_shards=`{count}`"),
            );
        }
        match *self.user_shards.get_or_insert(count) {
            known if known == count => MetaReply::Done,
            known => MetaReply::Conflict(format!(
                "the number of user shards is decided already. user_shards=`{known}`, asked=`{count}`"
            )),
        }
    }

    /// How many user shards the database was created with; `None` when nobody has decided, or a program did that knew of one
    /// only. How many it has by now: [`MetaState::user_ranges`].
    #[must_use]
    pub fn user_shards(&self) -> Option<u16> {
        self.user_shards
    }

    /// How many track shards the database was created with; `None` when nobody has decided, or it was one. How many it has by now:
    /// [`MetaState::ranges`].
    #[must_use]
    pub fn track_shards(&self) -> Option<u16> {
        self.track_shards
    }

    fn splits(&self, kind: ShardKind) -> Option<&ShardSplits> {
        match kind {
            ShardKind::Tracks => self.track_splits.as_ref(),
            ShardKind::Users => self.user_splits.as_ref(),
        }
    }

    fn splits_mut(&mut self, kind: ShardKind) -> &mut Option<ShardSplits> {
        match kind {
            ShardKind::Tracks => &mut self.track_splits,
            ShardKind::Users => &mut self.user_splits,
        }
    }

    /// Which shard of a kind owns which slots. A track shard's own log decides for its tracks; this follows.
    #[must_use]
    pub fn ranges(&self, kind: ShardKind) -> SlotRanges {
        let created_with = match kind {
            ShardKind::Tracks => self.track_shards,
            ShardKind::Users => self.user_shards,
        };
        match self.splits(kind) {
            Some(splits) => splits.ranges.clone(),
            None => SlotRanges::even(created_with.unwrap_or(1)),
        }
    }

    /// The split that runs of a shard of a kind.
    #[must_use]
    pub fn split(&self, kind: ShardKind) -> Option<ShardSplit> {
        self.splits(kind)?.running
    }

    /// The numbers of all shards of a kind, of one that is being made, too; ascending.
    #[must_use]
    pub fn shard_numbers(&self, kind: ShardKind) -> Vec<u16> {
        let mut numbers: Vec<u16> =
            self.ranges(kind).in_order().filter_map(|(shard, _)| u16::try_from(shard).ok()).collect();
        numbers.extend(self.split(kind).map(|split| split.child));
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Which user shard owns which slots.
    #[must_use]
    pub fn user_ranges(&self) -> SlotRanges {
        self.ranges(ShardKind::Users)
    }

    /// The split of a user shard that runs.
    #[must_use]
    pub fn user_split(&self) -> Option<ShardSplit> {
        self.split(ShardKind::Users)
    }

    /// The split of a track shard that runs.
    #[must_use]
    pub fn track_split(&self) -> Option<ShardSplit> {
        self.split(ShardKind::Tracks)
    }

    /// Whether a user shard was ever split, or is being split.
    #[must_use]
    pub fn was_split(&self) -> bool {
        self.user_splits.is_some()
    }

    /// [`MetaState::shard_numbers`] of user shards.
    #[must_use]
    pub fn user_shard_numbers(&self) -> Vec<u16> {
        self.shard_numbers(ShardKind::Users)
    }

    /// [`MetaState::shard_numbers`] of track shards.
    #[must_use]
    pub fn track_shard_numbers(&self) -> Vec<u16> {
        self.shard_numbers(ShardKind::Tracks)
    }

    pub(super) fn begin_split(
        &mut self,
        kind: ShardKind,
        (parent, at): (u16, u16),
        founder: u64,
        instead_of: Option<u16>,
    ) -> MetaReply {
        let fresh = || {
            let ranges = self.ranges(kind);
            let next = u16::try_from(ranges.count()).unwrap_or(u16::MAX);
            ShardSplits { ranges, running: None, next }
        };
        let mut splits = self.splits(kind).cloned().unwrap_or_else(fresh);
        match splits.running {
            Some(running) if (running.parent, running.at) != (parent, at) => {
                return MetaReply::Conflict(format!(
                    "another split runs: wait until it has ended. parent=`{}`, new=`{}`",
                    kind.name(running.parent),
                    kind.name(running.child)
                ));
            }
            // Nothing was founded that anybody knows of, and who should have is gone for good.
            Some(running) if running.phase == SplitPhase::Founding && instead_of == Some(running.child) => {}
            Some(_) => return MetaReply::Done,
            None => {}
        }
        let child = splits.next;
        if child >= kind.most() {
            return MetaReply::Conflict(format!(
                "a database has at most {} {}s. next=`{}`",
                kind.most(),
                kind.noun(),
                kind.name(child)
            ));
        }
        if let Err(reason) = splits.ranges.clone().split(parent, at, child) {
            return MetaReply::Conflict(reason);
        }
        splits.running = Some(ShardSplit { parent, child, at, founder, phase: SplitPhase::Founding });
        splits.next += 1;
        *self.splits_mut(kind) = Some(splits);
        MetaReply::Done
    }

    pub(super) fn advance_split(&mut self, kind: ShardKind, child: u16, to: SplitPhase) -> MetaReply {
        let splits = self.splits_mut(kind).as_mut();
        let Some((splits, split)) = splits.and_then(|splits| {
            let running = splits.running.filter(|running| running.child == child)?;
            Some((splits, running))
        }) else {
            return no_split(kind, child);
        };
        if split.phase >= to {
            return MetaReply::Done;
        }
        if (split.phase, to) == (SplitPhase::Founding, SplitPhase::Switched) {
            return MetaReply::Conflict(format!("nothing was copied yet. new=`{}`", kind.name(child)));
        }
        if to == SplitPhase::Switched
            && let Err(reason) = splits.ranges.split(split.parent, split.at, child)
        {
            return MetaReply::Conflict(reason);
        }
        splits.running = Some(ShardSplit { phase: to, ..split });
        MetaReply::Done
    }

    pub(super) fn end_split(&mut self, kind: ShardKind, child: u16) -> MetaReply {
        let Some(splits) = self.splits_mut(kind).as_mut() else { return no_split(kind, child) };
        match splits.running {
            Some(running) if running.child == child && running.phase == SplitPhase::Switched => {
                splits.running = None;
                MetaReply::Done
            }
            Some(running) if running.child == child => {
                MetaReply::Conflict(format!("the split has not come so far. new=`{}`", kind.name(child)))
            }
            // It has ended before.
            _ if splits.ranges.range_of(child.into()).is_some() => MetaReply::Done,
            _ => no_split(kind, child),
        }
    }
}

fn no_split(kind: ShardKind, child: u16) -> MetaReply {
    MetaReply::Conflict(format!("no split makes this shard. new=`{}`", kind.name(child)))
}

#[cfg(test)]
mod tests {
    use super::super::{MetaCommand, MetaReply, MetaState};
    use super::*;
    use crate::types::Slot;

    fn state(shards: u16) -> MetaState {
        let mut state = MetaState::default();
        assert_eq!(state.apply(MetaCommand::SetUserShards { count: shards }), MetaReply::Done);
        state
    }

    fn begin(parent: u16, at: u16, founder: u64) -> MetaCommand {
        MetaCommand::BeginSplit { parent, at, founder, instead_of: None }
    }

    fn is_refused(reply: &MetaReply, with: &str) -> bool {
        matches!(reply, MetaReply::Conflict(reason) if reason.contains(with))
    }

    #[test]
    fn a_split_changes_ranges_only_when_it_is_switched_and_each_step_may_be_said_again() {
        let mut state = state(2);
        let advance = |phase| MetaCommand::AdvanceSplit { child: 2, phase };
        let end = MetaCommand::EndSplit { child: 2 };
        assert!(!state.was_split() && is_refused(&state.apply(end.clone()), "no split"));
        for _ in 0..2 {
            assert_eq!(state.apply(begin(0, 1_024, 7)), MetaReply::Done);
        }
        let split = ShardSplit { parent: 0, child: 2, at: 1_024, founder: 7, phase: SplitPhase::Founding };
        assert_eq!(state.user_split(), Some(split));
        assert_eq!(state.user_shard_numbers(), [0, 1, 2]);
        assert!(is_refused(&state.apply(begin(1, 3_000, 7)), "another split runs"));
        assert!(is_refused(&state.apply(advance(SplitPhase::Switched)), "nothing was copied"));
        assert!(is_refused(&state.apply(end.clone()), "not come so far"));
        assert_eq!(state.apply(advance(SplitPhase::Copying)), MetaReply::Done);
        // Once the group is there nobody founds it again.
        assert_eq!(state.apply(begin(0, 1_024, 9)), MetaReply::Done);
        assert_eq!(state.user_split(), Some(ShardSplit { phase: SplitPhase::Copying, ..split }));
        assert_eq!(state.user_ranges(), SlotRanges::even(2));
        for _ in 0..2 {
            assert_eq!(state.apply(advance(SplitPhase::Switched)), MetaReply::Done);
        }
        let ranges = state.user_ranges();
        assert_eq!([0, 1_023, 1_024, 2_047, 2_048].map(|slot| ranges.shard_of(Slot(slot))), [0, 0, 2, 2, 1]);
        for _ in 0..2 {
            assert_eq!(state.apply(end.clone()), MetaReply::Done);
        }
        assert_eq!((state.user_split(), state.user_shards()), (None, Some(2)));
        assert_eq!(state.apply(begin(2, 1_025, 0)), MetaReply::Done);
        assert_eq!(state.user_split().map(|split| split.child), Some(3));
    }

    #[test]
    fn a_founder_that_is_gone_is_followed_by_another_with_another_number() {
        let mut state = state(1);
        state.apply(begin(0, 2_048, 7));
        assert_eq!(state.apply(begin(0, 2_048, 9)), MetaReply::Done);
        assert_eq!(state.user_split().map(|split| (split.child, split.founder)), Some((1, 7)));
        let anew = MetaCommand::BeginSplit { parent: 0, at: 2_048, founder: 9, instead_of: Some(1) };
        for _ in 0..2 {
            assert_eq!(state.apply(anew.clone()), MetaReply::Done);
        }
        assert_eq!(state.user_split().map(|split| (split.child, split.founder)), Some((2, 9)));
        let old = MetaCommand::AdvanceSplit { child: 1, phase: SplitPhase::Copying };
        assert!(is_refused(&state.apply(old), "no split"));
    }

    #[test]
    fn what_cannot_be_split_changes_nothing() {
        let mut state = state(64);
        let before = state.clone();
        assert!(is_refused(&state.apply(begin(0, 32, 0)), "at most 64"));
        assert_eq!(state, before);
        let mut state = self::state(3);
        let before = state.clone();
        for (parent, at, why) in [(3, 9, "no such shard"), (0, 0, "each half"), (0, 1_366, "each half")] {
            assert!(is_refused(&state.apply(begin(parent, at, 0)), why));
            assert_eq!(state, before);
        }
    }

    #[test]
    fn splits_of_both_kinds_run_beside_each_other() {
        let mut state = MetaState::default();
        assert_eq!(state.apply(MetaCommand::SetTrackShards { count: 2 }), MetaReply::Done);
        assert_eq!(state.apply(MetaCommand::SetUserShards { count: 1 }), MetaReply::Done);
        assert_eq!(state.apply(begin(0, 2_048, 7)), MetaReply::Done);
        let of_tracks = MetaCommand::BeginTrackSplit { parent: 1, at: 3_000, founder: 9, instead_of: None };
        assert_eq!(state.apply(of_tracks), MetaReply::Done);
        let split = state.track_split().map(|split| (split.parent, split.child, split.at, split.founder));
        assert_eq!(split, Some((1, 2, 3_000, 9)));
        assert_eq!(state.user_split().map(|split| (split.parent, split.child)), Some((0, 1)));
        for phase in [SplitPhase::Copying, SplitPhase::Switched] {
            assert_eq!(state.apply(MetaCommand::AdvanceTrackSplit { child: 2, phase }), MetaReply::Done);
        }
        assert_eq!(state.apply(MetaCommand::EndTrackSplit { child: 2 }), MetaReply::Done);
        assert_eq!((state.track_split(), state.track_shard_numbers()), (None, vec![0, 1, 2]));
        assert_eq!(state.ranges(ShardKind::Tracks).shard_of(Slot(3_000)), 2);
        assert_eq!(state.user_ranges().count(), 1, "the other split has not switched");
    }
}
