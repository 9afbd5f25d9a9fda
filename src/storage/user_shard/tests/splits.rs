//! A shard is split while it takes commands, crashes, and is driven by replicas that are behind: together both halves are what the
//! shard would have been, and every replica of each is the same.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;

use super::model::{log, seed};
use super::*;
use crate::types::{
    Deadline, GenerationId, SLOTS, Slot, SlotRange, SlotRanges, SpaceName, SplitMix64, slot_of,
};

/// Small, so that there are many steps.
const BATCH_BYTES: usize = 3_000;
const CHILD: u16 = 1;

/// Both halves, and what drives the split.
struct Pair {
    at: u16,
    parent: Logged,
    child: Logged,
    ranges: Arc<ArcSwap<SlotRanges>>,
    /// A batch that was made and not sent in time.
    late: Option<SplitOp>,
    begun_at: usize,
}

impl Pair {
    fn new(at: u16) -> Self {
        let ranges = Arc::new(ArcSwap::from_pointee(SlotRanges::even(1)));
        Self { at, parent: Logged::new(), child: Logged::new(), ranges, late: None, begun_at: 0 }
    }

    fn shards(&self) -> UserShards {
        let here = [(0, self.parent.shard().clone()), (1, self.child.shard().clone())];
        UserShards::ranged(here, Arc::clone(&self.ranges), None)
    }

    fn has_switched(&self) -> bool {
        self.ranges.load().count() == 2
    }

    fn begin(&mut self) {
        let (child, at) = (CHILD, self.at);
        self.begun_at = self.parent.log.len() + 1;
        for first in [1, 0] {
            assert_eq!(self.parent.run(SplitOp::BeginSplit { child, at }), UserReply::Done(first));
            assert_eq!(
                self.child.run(SplitOp::BeginImport { parent: 0, end: SLOTS }),
                UserReply::Done(first)
            );
        }
    }

    /// One step, by a replica of the parent that may be behind.
    fn step(&mut self, rng: &mut SplitMix64) {
        let child = CHILD;
        let behind = (rng.below(3) == 0).then(|| {
            let least = self.begun_at as u64;
            self.parent.replica((least + rng.below(self.parent.log.len() as u64 - least + 1)) as usize)
        });
        let from = behind.as_ref().unwrap_or(&self.parent).shard().clone();
        let known = self.child.shard().split_state();
        let SplitRole::Child(import) = &known.role else { return self.hand_over() };
        let Some(batch) = from.outgoing(child, &import.place, BATCH_BYTES).unwrap() else { return };
        let step = import.step;
        if batch.is_last && batch.rows.is_empty() {
            let newest_day = from.newest_day();
            self.child.run(SplitOp::EndImport { step, newest_day });
            return;
        }
        let is_noting =
            self.parent.shard().split_state().parting_with(child).unwrap().stage == PartingStage::Noting;
        if matches!(import.place, ImportPlace::Notes(_)) && !batch.is_full && is_noting {
            self.parent.run(SplitOp::FreezeSplit { child });
            return;
        }
        let import = SplitOp::Import { step, rows: batch.rows, place: batch.place };
        if rng.below(4) == 0 {
            // Its sender hangs, and sends it when others have gone on.
            self.late.get_or_insert(import);
            return;
        }
        assert_eq!(self.child.run(import), UserReply::Done(1));
        if let Some(late) = self.late.take() {
            assert_eq!(self.child.run(late), UserReply::Done(0), "a batch of somebody who was overtaken");
        }
    }

    fn hand_over(&mut self) {
        let child = self.child.shard();
        let vectors = child.generations().unwrap().into_iter();
        let vectors: Vec<_> = vectors.map(|(space, id, _, rows)| (space, id.0, rows)).collect();
        let users = child.user_count();
        let (parent, child) = (&mut self.parent, CHILD);
        for first in [1, 0] {
            let op = SplitOp::HandOver { child, users, vectors: vectors.clone() };
            assert_eq!(parent.run(op), UserReply::Done(first));
        }
        let mut ranges = SlotRanges::clone(&self.ranges.load());
        ranges.split(0, self.at, child).unwrap();
        self.ranges.store(Arc::new(ranges));
    }

    /// Gives the old rows up, once.
    fn release(&mut self) {
        if !self.parent.shard().split_state().is_frozen() {
            return;
        }
        for first in [1, 0] {
            assert_eq!(self.parent.run(SplitOp::ReleaseSplit { child: CHILD }), UserReply::Done(first));
        }
    }

    fn finish(&mut self, rng: &mut SplitMix64) {
        for _ in 0..10_000 {
            if self.has_switched() {
                return;
            }
            self.step(rng);
        }
        panic!("the split does not end");
    }

    /// What a client does, and the answer: the shards that have the rows are found as a node finds them.
    fn write(&mut self, command: &UserCommand, rng: &mut SplitMix64) -> UserReply {
        let is_frozen = self.parent.shard().split_state().is_frozen();
        if !self.has_switched() {
            let reply = self.parent.run(command.clone());
            match (&reply, &command.op) {
                (UserReply::Moved { shard }, _) => assert_eq!(*shard, CHILD),
                // Events of frozen listeners go on waiting, and are found in the child.
                (UserReply::Done(count), UserOp::ResolveTracks(_)) if is_frozen => {
                    self.finish(rng);
                    let UserReply::Done(more) = self.child.run(command.clone()) else { panic!() };
                    return UserReply::Done(count + more);
                }
                _ => return reply,
            }
            self.finish(rng);
        }
        if command.load.is_some() || matches!(command.op, UserOp::DropGeneration { .. }) {
            // What is about all listeners waits until the parent has given its rows up.
            self.release();
        }
        let ranges = self.ranges.load_full();
        let place_of = |user: &UserId| ranges.shard_of(slot_of(user.as_str()));
        let mut parts = command.divided(&place_of, &[0, 1]);
        if let UserOp::ResolveTracks(_) = command.op {
            parts = vec![(0, command.clone()), (1, command.clone())];
        }
        let mut replies = BTreeMap::new();
        for (place, part) in parts {
            let to = if place == 0 { &mut self.parent } else { &mut self.child };
            replies.insert(place, to.run(part));
        }
        command.joined(&place_of, replies).unwrap()
    }
}

fn user_cf() -> SpaceName {
    SpaceName::new("user_cf").unwrap()
}

/// Everything that is read of listeners, wherever they are.
fn answers(shards: &UserShards) -> Vec<String> {
    let mut found = vec![format!("{} users", shards.user_count())];
    let (mut cursor, generation) = (None, GenerationId(1));
    loop {
        let (page, next) = shards.list_users(cursor.as_ref(), 3).unwrap();
        found.push(format!("{page:?}"));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let slots = [0, 1_000, 2_048, 4_095].map(|slot| shards.list_users_between(Slot(slot), SLOTS, 5).unwrap());
    found.push(format!("{slots:?}"));
    for (first, end) in [(0, 1_365), (1_365, 2_731), (2_731, SLOTS)] {
        let (mut between, mut next) = shards.list_users_between(Slot(first), end, 2).unwrap();
        while let Some(cursor) = next {
            let (more, after) = shards.list_users_before(Some(&cursor), end, 2).unwrap();
            between.extend(more);
            next = after;
        }
        let is_between = |user: &User| (first..end).contains(&slot_of(user.user_id.as_str()).0);
        assert!(between.iter().all(is_between), "{first} to {end}");
        found.push(format!("{between:?}"));
    }
    for number in 0..13 {
        let user = user(&format!("u{number}"));
        let vector = shards.vector(&user_cf(), generation, &user).unwrap();
        found.push(format!("{:?}", shards.served_lists(&user, Timestamp(i64::MAX), 9).unwrap()));
        found.push(format!("{:?} {vector:?}", shards.view(&user).unwrap()));
        if let Some(vector) = vector {
            let near = shards.similar_users(&user_cf(), generation, &vector, 4, Some(&user), Deadline::NEVER);
            found.push(format!("{:?}", near.unwrap()));
        }
    }
    let mut seen = Vec::new();
    let visit = |view: UserView| -> Result<_> {
        seen.push(view.user.user_id);
        Ok(std::ops::ControlFlow::Continue(()))
    };
    shards.for_each_view(1_000, visit).unwrap();
    let missing = Missing::default();
    found.push(format!("{seen:?} {:?}", shards.generations().unwrap()));
    found.push(format!("{}", shards.vector_count(&user_cf(), generation).unwrap()));
    found.push(format!("{:?}", shards.sample(&user_cf(), generation, 5, &missing).unwrap()));
    found.push(format!("{:?}", shards.trend_counts(None, 0, 99, &missing).unwrap()));
    found
}

#[test]
fn both_halves_are_what_the_whole_would_have_been_whoever_crashes_or_lags() {
    let seed = seed();
    let mut switched_under_load = 0;
    for round in 0..4 {
        let mut rng = SplitMix64::new(seed ^ (round + 77));
        let (log, replies) = log(seed ^ round, 160);
        let at = 600 + rng.below(2_800) as u16;
        let (mut pair, mut whole) = (Pair::new(at), Logged::new());
        let (begin, release) = (40 + rng.below(30) as usize, 125 + rng.below(20) as usize);
        for (number, (data, expected)) in log.iter().zip(&replies).enumerate() {
            let what = format!("round {round}, entry {number}, at {at}");
            let command = UserCommand::decode(1, data).unwrap();
            if number == begin {
                pair.begin();
            }
            let had_switched = pair.has_switched();
            assert_eq!(whole.run(command.clone()), *expected);
            assert_eq!(pair.write(&command, &mut rng), *expected, "{what}");
            if number >= begin && !pair.has_switched() {
                pair.step(&mut rng);
            }
            switched_under_load += u32::from(!had_switched && pair.has_switched());
            if rng.below(9) == 0 {
                pair.parent.crash();
            }
            if rng.below(9) == 0 {
                pair.child.crash();
            }
            if number % 13 == 0 || number == release {
                let expected = answers(&UserShards::new(vec![whole.shard().clone()]));
                assert_eq!(answers(&pair.shards()), expected, "{what}");
            }
            if number == release {
                pair.finish(&mut rng);
                pair.release();
            }
        }
        // Old rows go with entries, and nobody sees when.
        for _ in 0..4 {
            let expected = answers(&UserShards::new(vec![whole.shard().clone()]));
            assert_eq!(answers(&pair.shards()), expected, "round {round}");
            pair.parent.run(UserOp::Nothing);
        }
        assert!(!pair.parent.shard().has_garbage());
        for half in [&pair.parent, &pair.child] {
            let other = half.replica(half.log.len());
            assert_eq!(other.shard().digest().unwrap().parts, half.shard().digest().unwrap().parts);
            let range = if std::ptr::eq(half, &pair.parent) { (0, at) } else { (at, SLOTS) };
            let range = SlotRange { first: range.0, end: range.1 };
            let problems = half.shard().check_rows(&|_| true, &|slot| range.contains(slot)).unwrap();
            assert_eq!(problems, Vec::<String>::new(), "round {round}");
        }
    }
    assert!(switched_under_load >= 2, "{switched_under_load}");
}

/// A listener of each half.
fn one_of_each(at: u16) -> [UserId; 2] {
    let of = |is_upper: bool| {
        let mut names = (0..).map(|number| user(&format!("n{number}")));
        names.find(|user| (slot_of(user.as_str()).0 >= at) == is_upper).unwrap()
    };
    [of(false), of(true)]
}

#[test]
fn frozen_slots_take_no_writes_and_what_is_about_all_comes_to_both_shards() {
    let mut rng = SplitMix64::new(5);
    let mut pair = Pair::new(2_048);
    let [lower, upper] = one_of_each(2_048);
    let upsert = |user: &UserId| UserOp::UpsertUsers(vec![User::unknown(user.clone())]);
    let load = |first_row, rows_done, op| UserCommand {
        load: Some(LoadStep { load_id: "l".to_owned(), first_row, rows_done, finished: false }),
        op,
    };
    pair.parent.run(load(
        0,
        2,
        UserOp::UpsertUsers(vec![User::unknown(lower.clone()), User::unknown(upper.clone())]),
    ));
    assert_eq!(
        pair.child.run(SplitOp::HandOver { child: 9, users: 0, vectors: vec![] }),
        pair.parent.run(SplitOp::HandOver { child: 9, users: 0, vectors: vec![] })
    );
    pair.begin();
    let moved = UserReply::Moved { shard: 1 };
    assert_eq!(pair.child.run(upsert(&upper)), UserReply::Moved { shard: 0 }, "it has not got its rows");
    assert_eq!(pair.parent.run(upsert(&upper)), UserReply::Done(0));
    assert!(matches!(
        pair.parent.run(SplitOp::HandOver { child: 1, users: 0, vectors: vec![] }),
        UserReply::Refused(_)
    ));
    assert!(matches!(pair.parent.run(SplitOp::ReleaseSplit { child: 1 }), UserReply::Refused(_)));
    assert!(matches!(pair.parent.run(SplitOp::BeginSplit { child: 2, at: 100 }), UserReply::Refused(_)));
    pair.parent.run(SplitOp::FreezeSplit { child: 1 });
    let drop = UserOp::DropGeneration { space: user_cf(), generation: GenerationId(3) };
    for command in [
        upsert(&upper).into(),
        UserOp::DeleteUsers(vec![lower.clone(), upper.clone()]).into(),
        load(2, 3, upsert(&lower)),
        load(2, 3, UserOp::Nothing),
        drop.clone().into(),
    ] {
        assert_eq!(pair.parent.run(command), moved);
    }
    assert_eq!(pair.parent.run(upsert(&lower)), UserReply::Done(0));
    assert_eq!(
        pair.write(&load(2, 4, UserOp::DeleteUsers(vec![lower.clone(), upper.clone()])), &mut rng),
        UserReply::Done(2)
    );
    for half in [&pair.parent, &pair.child] {
        assert_eq!(half.shard().load_state("l").unwrap(), LoadState { rows_done: 4, finished: false });
    }
    pair.write(&drop.into(), &mut rng);
    let vectors = UserOp::UpsertVectors {
        space: user_cf(),
        generation: GenerationId(3),
        rows: vec![(upper, vec![1.0])],
    };
    assert!(matches!(pair.child.run(vectors), UserReply::Refused(_)), "dropped there, too");
    pair.release();
    // Whoever has not heard of it is told for ever.
    assert_eq!(pair.parent.run(upsert(&one_of_each(2_048)[1])), moved);
    assert_eq!(
        pair.child.run(SplitOp::BeginImport { parent: 0, end: SLOTS }),
        UserReply::Done(0),
        "it is whole"
    );
    assert!(matches!(pair.parent.run(SplitOp::BeginImport { parent: 0, end: SLOTS }), UserReply::Refused(_)));
}

#[test]
fn a_shard_is_split_again_while_rows_of_the_first_split_are_still_there() {
    let mut rng = SplitMix64::new(6);
    let mut pair = Pair::new(3_000);
    let all: Vec<User> = (0..3_000).map(|number| User::unknown(user(&format!("n{number}")))).collect();
    let count = |range: std::ops::Range<u16>| {
        all.iter().filter(|user| range.contains(&slot_of(user.user_id.as_str()).0)).count() as u64
    };
    pair.parent.run(UserOp::UpsertUsers(all.clone()));
    pair.begin();
    pair.finish(&mut rng);
    pair.release();
    assert_eq!(
        (pair.parent.shard().user_count(), pair.child.shard().user_count()),
        (count(0..3_000), count(3_000..4_096))
    );
    let mut second = Pair { at: 1_000, child: Logged::new(), ..Pair::new(1_000) };
    second.parent = pair.parent;
    let (child, at) = (2, 1_000);
    second.parent.run(SplitOp::BeginSplit { child, at });
    second.child.run(SplitOp::BeginImport { parent: 0, end: 3_000 });
    second.parent.run(SplitOp::FreezeSplit { child });
    while let SplitRole::Child(import) = second.child.shard().split_state().role.clone() {
        let batch = second.parent.shard().outgoing(child, &import.place, 20_000).unwrap().unwrap();
        let step = import.step;
        if batch.is_last && batch.rows.is_empty() {
            second.child.run(SplitOp::EndImport { step, newest_day: None });
        } else {
            second.child.run(SplitOp::Import { step, rows: batch.rows, place: batch.place });
        }
        second.parent.crash();
    }
    let users = second.child.shard().user_count();
    assert_eq!(users, count(1_000..3_000));
    second.parent.run(SplitOp::HandOver { child, users, vectors: vec![] });
    second.parent.run(SplitOp::ReleaseSplit { child });
    for _ in 0..8 {
        second.parent.crash();
        second.parent.run(UserOp::Nothing);
    }
    let problems = second.parent.shard().check_rows(&|_| true, &|slot| slot.0 < 1_000).unwrap();
    assert_eq!((problems, second.parent.shard().user_count()), (vec![], count(0..1_000)));
}
