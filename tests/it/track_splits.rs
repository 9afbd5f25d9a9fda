//! Splitting track shards changes nothing that is asked exactly: lists, searches, reasons and portraits are those of a database that
//! was never split, whatever is sealed, merged, read back, or written afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use segue::Segue;
use segue::node::{SplitRequest, SplitState};
use segue::types::{Action, DAY_MS, FeedbackEvent, Timestamp, Track, TrackId};

use crate::discovery::event;
use crate::running::run;
use crate::support::{AS_OF, World, id, seed, track};
use crate::track_shards::{ask, assert_same, fill, world};
use crate::track_writes::open;

/// What is split, and where.
type Splits = &'static [(&'static str, u16)];

/// Splits a shard at a slot and waits until it is done.
#[track_caller]
fn split(engine: &Segue, group: &str, at: u16) {
    let start = Instant::now();
    loop {
        let request = SplitRequest { group: group.to_owned(), at: Some(at), dry_run: false };
        let report = engine.split_shard(&request).unwrap();
        if report.state == SplitState::Done {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{report:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What happens to a database after it was split: tracks come, change, go and come back, and are heard.
fn go_on(engine: &Segue, world: &World) {
    let new: Vec<Track> = (0..60)
        .map(|number| Track { track_id: id(format!("new{number}")), ..track(number * 7, 3) })
        .collect();
    engine.upsert_tracks(new).unwrap();
    let moved = world.tracks.iter().skip(2).step_by(17).map(|track| {
        let number: u64 = track.track_id.as_str()[1..].parse().unwrap();
        Track { recording_id: id(format!("t{}", number / 3)), ..track.clone() }
    });
    engine.upsert_tracks(moved.collect()).unwrap();
    let gone: Vec<TrackId> = world.tracks.iter().skip(1).step_by(23).map(|t| t.track_id.clone()).collect();
    engine.delete_tracks(&gone).unwrap();
    engine.upsert_tracks(world.tracks.iter().skip(1).step_by(46).cloned().collect()).unwrap();
    let mut events: Vec<FeedbackEvent> = Vec::new();
    for (at, user) in (0_i64..).zip(&world.users) {
        let did = |action, track: String| FeedbackEvent {
            track_id: Some(id(track)),
            ..event(user.user_id.as_str(), action, Timestamp(AS_OF.0 - DAY_MS / 2 + at * 60_000))
        };
        events.push(did(Action::Play, format!("new{}", at % 60)));
        events.push(did(Action::HideTrack, format!("new{}", (at + 7) % 60)));
        events.push(did(Action::Play, format!("t{}", at * 12 + 1)));
    }
    engine.feedback(events).unwrap();
    engine.refresh_statistics().unwrap();
}

#[track_caller]
fn is_whole(dir: &Path) {
    let output = run(&["verify", dir.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn answers_do_not_depend_on_splits() {
    let world = world(seed(0x7AC5));
    let folder = tempfile::tempdir().unwrap();
    let whole = open(&folder.path().join("whole"), 1);
    fill(&whole, &world);
    let first = ask(&whole, &world);
    go_on(&whole, &world);
    let then = ask(&whole, &world);
    assert!(first.wrong == 0 && then.wrong == 0 && first != then);
    whole.shutdown().unwrap();
    drop(whole);
    // Trends are counted anew by whoever is opened again.
    let whole = open(&folder.path().join("whole"), 0);
    let last = ask(&whole, &world);
    whole.shutdown().unwrap();
    // Shards at the beginning, whether rows are in files before the split, and what is split where.
    let splits: [(u16, bool, Splits); 3] = [
        (1, false, &[("tracks-0", 2_048), ("tracks-1", 3_000), ("tracks-0", 700)]),
        (1, true, &[("tracks-0", 900), ("tracks-1", 1_500)]),
        (3, true, &[("tracks-2", 3_500), ("tracks-0", 600)]),
    ];
    for (shards, in_files, splits) in splits {
        let dir = folder.path().join(format!("{shards}{in_files}"));
        let engine = open(&dir, shards);
        fill(&engine, &world);
        if in_files {
            engine.checkpoint().unwrap();
        }
        for (group, at) in splits {
            split(&engine, group, *at);
            assert_same(&first, &ask(&engine, &world), &format!("{shards} shards, {group} split at {at}"));
        }
        engine.checkpoint().unwrap();
        assert_same(&first, &ask(&engine, &world), &format!("{shards} shards, split and merged"));
        engine.shutdown().unwrap();
        drop(engine);
        is_whole(&dir);
        let engine = open(&dir, 0);
        assert_same(&first, &ask(&engine, &world), &format!("{shards} shards, split and opened again"));
        go_on(&engine, &world);
        assert_same(&then, &ask(&engine, &world), &format!("{shards} shards, split and written to"));
        // Numbers of tracks that came after a split are the same in several shards.
        split(&engine, "tracks-0", 300);
        assert_same(&then, &ask(&engine, &world), &format!("{shards} shards, split once more"));
        engine.checkpoint().unwrap();
        engine.shutdown().unwrap();
        drop(engine);
        is_whole(&dir);
        let engine = open(&dir, shards);
        assert_same(&last, &ask(&engine, &world), &format!("{shards} shards, opened at last"));
    }
}
