//! Play counts.

use super::*;
use crate::types::Region;

fn region(code: &str) -> Region {
    code.parse().unwrap()
}

fn in_region(id: &str, code: &str) -> User {
    User { region: Some(region(code)), ..User::unknown(user(id)) }
}

#[test]
fn plays_count_by_day_and_the_region_of_then() {
    let shard = TestShard::new();
    shard.run(UserOp::UpsertUsers(vec![in_region("de", "DE"), in_region("fr", "FR")]));
    let mut short = play("de", 1, day(12));
    short.listened_ms = 29_999;
    shard.record(&[
        play("de", 1, day(10)),
        play("de", 2, day(11)),
        on_track("de", Action::Repeat, 2, day(11)),
        on_track("de", Action::Skip, 3, day(11)),
        play("fr", 2, day(11)),
        play("nowhere", 2, day(11)),
        short,
    ]);
    let counts = |region, from, to| {
        let counts = shard.shard.trend_counts(region, from, to).unwrap();
        counts.into_iter().map(|(track, count)| (track.ordinal.0, count)).collect::<Vec<_>>()
    };
    assert_eq!(counts(Some(region("DE")), 10, 12), [(1, 1), (2, 2)]);
    assert_eq!(counts(Some(region("DE")), 11, 12), [(2, 2)]);
    assert_eq!(counts(None, 0, 99), [(1, 1), (2, 4)]);
    shard.run(UserOp::UpsertUsers(vec![in_region("de", "FR")]));
    shard.record(&[play("de", 2, day(10)), play("de", 2, day(10))]);
    assert_eq!(counts(Some(region("DE")), 0, 99), [(1, 1), (2, 2)], "counted where they were then");
    assert_eq!(counts(Some(region("FR")), 0, 99), [(2, 2)]);
    assert_eq!(shard.shard.total_plays(track(2)).unwrap(), 5);
    shard.run(UserOp::DeleteUsers(vec![user("de")]));
    assert_eq!(counts(None, 0, 99), [(1, 1), (2, 5)], "counts name nobody and stay");
}

#[test]
fn days_older_than_35_before_the_newest_count_nothing_and_go() {
    let shard = TestShard::new();
    shard.record(&[play("u", 1, day(0)), play("u", 2, day(1))]);
    let rows = shard.shard.verify().unwrap();
    shard.record(&[play("u", 3, day(35)), play("u", 4, day(0))]);
    let counts = shard.shard.trend_counts(None, i32::MIN, i32::MAX).unwrap();
    assert_eq!(counts, [(track(2), 1), (track(3), 1)]);
    // Day 0's count went; a history day, a day count and two totals came.
    assert_eq!(shard.shard.verify().unwrap(), rows + 3);
    assert_eq!([1, 4].map(|n| shard.shard.total_plays(track(n)).unwrap()), [1, 1], "totals stay");
    shard.record(&[play("u", 2, Timestamp(DAY_MS + 1))]);
    assert_eq!(shard.shard.trend_counts(None, 1, 1).unwrap(), [(track(2), 2)], "late but in time");
    let shard = shard.reopen();
    assert_eq!(shard.shard.trend_counts(None, 0, 35).unwrap(), [(track(2), 2), (track(3), 1)]);
}

#[test]
fn many_expired_rows_go_bit_by_bit_and_are_invisible_meanwhile() {
    let shard = TestShard::new();
    let plays: Vec<PlayRow> = (0..3_000).map(|n| row(0, n, day(0), PlayAction::Play)).collect();
    shard.run(UserOp::RecordPlays(PlayBatch { users: vec![user("u")], plays, unknown: Vec::new() }));
    let rows = shard.shard.verify().unwrap();
    shard.record(&[play("u", 1, day(100))]);
    assert_eq!(shard.shard.trend_counts(None, 0, 100).unwrap(), [(track(1), 1)]);
    assert_eq!(shard.shard.verify().unwrap(), rows + 2 - 1_024);
    for _ in 0..3 {
        shard.run(UserOp::Nothing);
    }
    assert_eq!(shard.shard.verify().unwrap(), rows + 2 - 3_000);
}
