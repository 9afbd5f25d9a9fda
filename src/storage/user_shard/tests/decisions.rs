//! Hiding, blocking and following, whatever the order in which events arrive.

use super::*;
use crate::types::SplitMix64;

fn hide(action: Action, id: &str, at: Timestamp) -> ResolvedEvent {
    let ordinal = u32::from(id.as_bytes()[1]);
    ResolvedEvent { track_id: Some(track_id(id)), ..on_track("u", action, ordinal, at) }
}

/// What is hidden, blocked and followed, each as a sorted list.
fn decided(shard: &TestShard) -> [Vec<String>; 3] {
    let user = shard.view("u").user.clone();
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    [
        sorted(user.blocked_tracks.iter().map(ToString::to_string).collect()),
        sorted(user.blocked_artists.iter().map(ToString::to_string).collect()),
        sorted(user.followed_artists.iter().map(ToString::to_string).collect()),
    ]
}

#[test]
fn a_late_event_undoes_nothing_that_was_decided_after_it() {
    let shard = TestShard::new();
    shard.record(&[
        hide(Action::HideTrack, "t5", day(9)),
        on_artist("u", Action::BlockArtist, "a", day(9)),
        on_artist("u", Action::UnfollowArtist, "b", day(9)),
    ]);
    let late = [
        hide(Action::UnhideTrack, "t5", day(8)),
        on_artist("u", Action::UnblockArtist, "a", day(8)),
        on_artist("u", Action::FollowArtist, "b", day(8)),
    ];
    assert_eq!(shard.record(&late), [true; 3], "they are new, and kept in the history");
    let held = [vec!["t5".to_owned()], vec!["a".to_owned()], Vec::new()];
    assert_eq!(decided(&shard), held);
    assert_eq!(shard.view("u").hidden, [track(u32::from(b'5'))]);
    // The times are on disk, not in memory.
    let shard = shard.reopen();
    shard.record(&[on_artist("u", Action::UnblockArtist, "a", Timestamp(day(9).0 - 1))]);
    assert_eq!(decided(&shard), held);
    assert_eq!(shard.shard.check_rows(&|_| true, &|_| true).unwrap(), [""; 0]);
    shard.record(&[on_artist("u", Action::UnblockArtist, "a", day(10))]);
    assert_eq!(decided(&shard)[1], [""; 0]);
}

#[test]
fn of_one_time_the_later_in_the_log_holds() {
    let shard = TestShard::new();
    shard.record(&[
        on_artist("u", Action::BlockArtist, "a", day(1)),
        on_artist("u", Action::UnblockArtist, "a", day(1)),
    ]);
    assert_eq!(decided(&shard)[1], [""; 0]);
}

#[test]
fn a_clock_that_runs_ahead_does_not_hold_until_then() {
    let shard = TestShard::new();
    let at = |received, event| {
        UserOp::record(
            NewEvents { events: vec![event], ..NewEvents::default() },
            (UserCommand::VERSION, received),
        )
    };
    shard.run(at(day(5), on_artist("u", Action::BlockArtist, "a", day(9))));
    assert_eq!(decided(&shard)[1], ["a"]);
    shard.run(at(day(6), on_artist("u", Action::UnblockArtist, "a", day(6))));
    assert_eq!(decided(&shard)[1], [""; 0], "the block counts as of day 5, when it came in");
}

#[test]
fn a_listener_who_was_deleted_has_decided_nothing() {
    let shard = TestShard::new();
    shard.record(&[on_artist("u", Action::BlockArtist, "a", day(9))]);
    shard.run(UserOp::DeleteUsers(vec![user("u")]));
    shard.record(&[on_artist("u", Action::FollowArtist, "b", day(1))]);
    shard.record(&[on_artist("u", Action::UnblockArtist, "a", day(1))]);
    shard.record(&[on_artist("u", Action::BlockArtist, "a", day(2))]);
    assert_eq!(decided(&shard), [vec![], vec!["a".to_owned()], vec!["b".to_owned()]]);
}

/// Entries of versions 1 and 2 mean what they meant when they were written, on every replica.
#[test]
fn entries_of_before_count_by_their_order() {
    let shard = TestShard::new();
    shard.run(UserOp::Record(vec![on_artist("u", Action::BlockArtist, "a", day(9))]));
    shard.run(UserOp::Record(vec![on_artist("u", Action::UnblockArtist, "a", day(8))]));
    assert_eq!(decided(&shard)[1], [""; 0]);
}

#[test]
fn every_order_of_arrival_leads_to_the_same_record() {
    let seed = 20_261_201;
    println!("seed: {seed}");
    let mut random = SplitMix64::new(seed);
    for round in 0..60 {
        // Different times: events of one time count by their order.
        let mut events: Vec<ResolvedEvent> = (0..12)
            .map(|time| {
                let name = ["a", "b"][random.below(2) as usize];
                match random.below(6) {
                    0 => hide(Action::HideTrack, ["t1", "t2"][random.below(2) as usize], day(time)),
                    1 => hide(Action::UnhideTrack, ["t1", "t2"][random.below(2) as usize], day(time)),
                    2 => on_artist("u", Action::BlockArtist, name, day(time)),
                    3 => on_artist("u", Action::UnblockArtist, name, day(time)),
                    4 => on_artist("u", Action::FollowArtist, name, day(time)),
                    _ => on_artist("u", Action::UnfollowArtist, name, day(time)),
                }
            })
            .collect();
        let in_order = TestShard::new();
        in_order.record(&events);
        for at in (1..events.len()).rev() {
            events.swap(at, random.below(at as u64 + 1) as usize);
        }
        let shuffled = TestShard::new();
        let (first, rest) = events.split_at(random.below(12) as usize);
        [first, rest].into_iter().filter(|events| !events.is_empty()).for_each(|events| {
            shuffled.record(events);
        });
        assert_eq!(decided(&shuffled), decided(&in_order), "round {round}");
    }
}
