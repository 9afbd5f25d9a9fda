//! Figures, not checks: `cargo test --release -p segue --lib user_shard::tests::figures -- --ignored --nocapture
//! --test-threads 1` prints them (docs/adr/0006 quotes a run).

use std::{ops::ControlFlow, time::Instant};

use super::*;
use crate::{
    storage::user_shard::{
        engine::{Engine, EngineOptions, WriteSet},
        keys,
    },
    types::SplitMix64,
};

const PLAYS: usize = 1_800_000;
const USERS: u32 = 1_882;
const DAYS: u64 = 730;
const BATCH: usize = 10_000;

fn plays() -> Vec<PlayRow> {
    let mut rng = SplitMix64::new(1);
    (0..PLAYS)
        .map(|_| {
            let at = Timestamp(i64::try_from(rng.below(DAYS * 86_400_000)).unwrap());
            let popularity = rng.uniform() * rng.uniform() * rng.uniform();
            let user = u32::try_from(rng.below(u64::from(USERS))).unwrap();
            row(user, (popularity * 42_443.0) as u32, at, PlayAction::Play)
        })
        .collect()
}

fn load(name: &str, plays: &[PlayRow]) -> TestShard {
    let users: Vec<UserId> = (0..USERS).map(|n| user(&format!("user_{n:06}"))).collect();
    let entries: Vec<Vec<u8>> = plays
        .chunks(BATCH)
        .map(|chunk| {
            let op = PlayBatch { users: users.clone(), plays: chunk.to_vec(), unknown: Vec::new() };
            UserCommand::from(UserOp::RecordPlays(op)).encode()
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let (shard, _) = UserShard::open(dir.path(), &UserShardOptions::default()).unwrap();
    let (start, processor) = (Instant::now(), processor_s());
    for (index, data) in entries.iter().enumerate() {
        shard.apply(&[LogEntry { index: index as u64 + 1, term: 1, data }]).unwrap();
    }
    let processor = processor_s() - processor;
    shard.persist().unwrap();
    println!(
        "{name}: {:.0} plays/s of processor time, {:.0} plays/s by the clock with the last flush; {:.1} MB in files, {:.1} MB of log",
        plays.len() as f64 / processor,
        plays.len() as f64 / start.elapsed().as_secs_f64(),
        shard.disk_bytes() as f64 / 1e6,
        entries.iter().map(Vec::len).sum::<usize>() as f64 / 1e6,
    );
    TestShard { shard, dir }
}

/// Processor time of this thread, in seconds: the machine may be shared, this is not.
fn processor_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    ns.map_or(f64::NAN, |ns| ns / 1e9)
}

fn median(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Opens again without any cache of ours (the system's page cache stays) and reads.
fn cold_views(test: TestShard, name: &str) -> TestShard {
    let TestShard { shard, dir } = test;
    drop(shard);
    let options =
        UserShardOptions { block_cache_bytes: 0, view_cache_bytes: 0, ..UserShardOptions::default() };
    let start = Instant::now();
    let (shard, _) = UserShard::open(dir.path(), &options).unwrap();
    println!("{name}: opened in {:.2?}", start.elapsed());
    let mut plays = 0;
    let times = (0..500)
        .map(|n| {
            let id = user(&format!("user_{:06}", n * 3));
            let start = Instant::now();
            plays += shard.view(&id).unwrap().unwrap().heard.tracks.len();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let (p50, p99) = median(times);
    println!("{name}: uncached view of {} heard tracks: p50 {p50:.3} ms, p99 {p99:.3} ms", plays / 500);
    let mut plays = 0;
    let times = (0..500)
        .map(|n| {
            let id = user(&format!("user_{:06}", n * 3));
            let oldest = shard.view(&id).unwrap().unwrap().plays.last().unwrap().at;
            let start = Instant::now();
            plays += shard.plays_until(&id, oldest, i32::MIN).unwrap().0.len();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let (p50, p99) = median(times);
    println!("{name}: {} older events: p50 {p50:.3} ms, p99 {p99:.3} ms", plays / 500);
    let start = Instant::now();
    let counts = shard.trend_counts(None, 0, i32::MAX).unwrap();
    let cold = start.elapsed();
    let start = Instant::now();
    shard.trend_counts(None, 0, i32::MAX).unwrap();
    println!(
        "{name}: trends of 35 days, {} tracks: {cold:.2?} cold, {:.2?} warm",
        counts.len(),
        start.elapsed()
    );
    TestShard { shard, dir }
}

#[test]
#[ignore = "prints figures; run with --release"]
fn bulk_load_and_cold_reads() {
    let mut plays = plays();
    cold_views(load("any order ", &plays), "any order ");
    plays.sort_by_key(|play| play.at);
    load("by time   ", &plays);
    plays.sort_by_key(|play| (play.user, play.at));
    cold_views(load("by user   ", &plays), "by user   ");
}

#[test]
#[ignore = "prints figures; run with --release"]
fn a_listener_with_50_000_heard_tracks() {
    let plays: Vec<PlayRow> = (0..50_000_u32)
        .map(|n| {
            row(
                0,
                n.wrapping_mul(2_654_435_761) % 10_000_000,
                Timestamp(i64::from(n) * 1_728_000),
                PlayAction::Play,
            )
        })
        .collect();
    let test = TestShard::new();
    for chunk in plays.chunks(BATCH) {
        let batch = PlayBatch { users: vec![user("heavy")], plays: chunk.to_vec(), unknown: Vec::new() };
        test.run(UserOp::RecordPlays(batch));
    }
    test.shard.persist().unwrap();
    let dir = test.dir;
    drop(test.shard);
    let options =
        UserShardOptions { block_cache_bytes: 0, view_cache_bytes: 0, ..UserShardOptions::default() };
    let (shard, _) = UserShard::open(dir.path(), &options).unwrap();
    let times = (0..50)
        .map(|_| {
            let start = Instant::now();
            assert!(shard.view(&user("heavy")).unwrap().unwrap().heard.tracks.len() > 49_000);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let (p50, p99) = median(times);
    println!("50,000 heard tracks over 1,000 days: uncached view p50 {p50:.2} ms, p99 {p99:.2} ms");
    let oldest = shard.view(&user("heavy")).unwrap().unwrap().plays.last().unwrap().at;
    let times = (0..50)
        .map(|_| {
            let start = Instant::now();
            let (plays, _) = shard.plays_until(&user("heavy"), oldest, i32::MIN).unwrap();
            assert!(plays.len() > 45_000);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let (p50, p99) = median(times);
    println!("the 45,500 of them that a view keeps no more: p50 {p50:.2} ms, p99 {p99:.2} ms");
}

/// The layout that was not taken: one row an event.
#[test]
#[ignore = "prints figures; run with --release"]
fn one_row_an_event_instead() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions { block_cache_bytes: 0, memtable_bytes: 32 << 20 };
    let engine = Engine::open(dir.path(), &options).unwrap();
    engine.recovered(0);
    let prefix = keys::user(&user("heavy"));
    let start = processor_s();
    for chunk in 0..180_u64 {
        let mut writes = WriteSet::default();
        for n in 0..10_000_u64 {
            let event = chunk * 10_000 + n;
            let owner = if event < 50_000 {
                prefix.clone()
            } else {
                keys::user(&user(&format!("u{}", event % 1_800)))
            };
            let at = Timestamp(i64::try_from(event).unwrap() * 1_728_000);
            let row = keys::timed(&owner, keys::HISTORY, at, event);
            // As every write must, this one looks first whether the event is new.
            assert!(engine.get(&row).unwrap().is_none());
            writes.put(row, super::super::value::seal(&[0; 12]));
        }
        engine.commit(writes, chunk + 1).unwrap();
    }
    let rate = 1.8e6 / (processor_s() - start);
    engine.persist(180).unwrap();
    let times = (0..50)
        .map(|_| {
            let start = Instant::now();
            let (mut rows, mut sum) = (0, 0_usize);
            let first = keys::of_user(&prefix, keys::HISTORY);
            engine
                .snapshot()
                .scan_prefix(&first, |_, value| {
                    rows += 1;
                    sum += super::super::value::open(value).unwrap().len();
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
            assert_eq!((rows, sum), (50_000, 600_000));
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let (p50, p99) = median(times);
    println!(
        "one row an event: {rate:.0} events/s of processor time without statistics; scan of 50,000: p50 {p50:.2} ms, p99 {p99:.2} ms; {:.1} MB in files",
        engine.disk_bytes() as f64 / 1e6
    );
}
