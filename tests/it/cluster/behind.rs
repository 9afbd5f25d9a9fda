//! A follower that stands still while the others cut their logs behind it: it comes back by a snapshot, and serves.

use super::servers::{leader, replicas_are_equal, settled, several, until};
use crate::running::Running;
use crate::support::{id, track};

/// Entries the logs may hold; four times as many for a follower that is still heard of.
const LOG_ENTRIES: u64 = 64;
/// Tracks a write.
const ROWS: u64 = 8;

/// A figure of one group on the page for monitors.
fn figure(running: &Running, name: &str, group: &str) -> u64 {
    let page = running.get("/metrics");
    let start = format!("{name}{{group=\"{group}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no `{start}` in {page}")).parse::<f64>().unwrap() as u64
}

#[test]
fn a_follower_that_falls_behind_the_log_comes_back_by_a_snapshot() {
    let settings = || vec![format!("storage.log_entries_max={LOG_ENTRIES}")];
    let (nodes, _) = several(&[settings(), settings(), settings()]);
    let leads = leader(&nodes, "tracks-0");
    let sleeper = nodes[(leads + 1) % 3].running();
    let had = figure(sleeper, "segue_group_applied_index", "tracks-0");
    sleeper.signal("-STOP");
    let client = nodes[leads].client();
    let mut written = 0;
    until("the logs are cut behind it", || {
        // Sealed after 1,000 rows, and only then cut.
        for _ in 0..50 {
            client.upsert_tracks((0..ROWS).map(|row| track(50_000 + written + row, 1)).collect()).unwrap();
            written += ROWS;
        }
        let running = nodes[leads].running();
        let commit = figure(running, "segue_group_commit_index", "tracks-0");
        let first = commit + 1 - figure(running, "segue_group_log_entries", "tracks-0").min(commit);
        (first > had + 1).then_some(())
    });
    sleeper.signal("-CONT");
    settled(&nodes[(leads + 1) % 3].client(), 3);
    let at_once = nodes[(leads + 1) % 3].client();
    for number in [0, written / 2, written - 1] {
        let name = track(50_000 + number, 1).track_id;
        assert_eq!(at_once.track(&name).unwrap().track_id, name);
    }
    // It votes: with the third one gone, too, writes go on.
    nodes[(leads + 2) % 3].running().signal("-STOP");
    until("it makes a majority", || client.upsert_tracks(vec![track(90_000, 1)]).ok());
    nodes[(leads + 2) % 3].running().signal("-CONT");
    settled(&client, 3);
    let last: segue::types::TrackId = id(track(90_000, 1).track_id.to_string());
    assert!(at_once.track(&last).is_ok());
    eprintln!("{written} tracks written meanwhile, in {} entries", written / ROWS);
    assert!(written / ROWS > 4 * LOG_ENTRIES - LOG_ENTRIES, "the log was cut too soon: {written}");
    replicas_are_equal(&nodes[leads], 3);
}
