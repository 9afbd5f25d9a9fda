//! Bulk loads while the leader of the group they go to is killed with -9: rows of tracks and plays in the middle, vectors just
//! before their segment is made. Every row is there afterwards, once, on every node.

use std::thread;
use std::time::Duration;

use segue::ErrorKind;
use segue::api::{Batch, Client};
use segue::node::{LoadKind, LoadProgress, VectorRow};
use segue::pipeline::request::RequestContext;
use segue::types::{DAY_MS, Play, PlayAction, Timestamp, Track, TrackId, UserId};

use super::servers::{Node, leader, replicas_are_equal, settled, three};
use crate::support::{AS_OF, STATIC, audio_vector, id, space, track};

/// The first of the new tracks.
pub(super) const FIRST: u64 = 30_000;
const TRACKS: u64 = 3_000;
const PLAYS: u64 = 12_000;
const STEP: u64 = 250;

pub(super) fn tracks(first: u64, count: u64) -> Batch {
    let new = |number: u64| Track { track_id: id(format!("b{number}")), ..track(FIRST + number, 0) };
    Batch::Tracks((first..first + count).map(new).collect())
}

fn plays(first: u64, count: u64) -> Batch {
    let play = |number: u64| Play {
        user_id: id(format!("bulk{}", number % 8)),
        track_id: id(format!("b{}", number % TRACKS)),
        played_at: Timestamp(AS_OF.0 - 40 * DAY_MS + 1_000 * number.cast_signed()),
        listened_ms: 60_000,
        action: PlayAction::Play,
    };
    Batch::Plays((first..first + count).map(play).collect())
}

fn vectors(first: u64, count: u64) -> Batch {
    let row = |number: u64| VectorRow { id: format!("b{number}"), vector: audio_vector(FIRST + number, 0) };
    Batch::Vectors(space("audio"), STATIC, (first..first + count).map(row).collect())
}

/// Pushes all rows and ends the load as a loader does that is told of no error it can do something about; kills a node when
/// it is told to.
pub(super) fn load(
    client: &Client,
    (name, kind, rows): (&str, LoadKind, u64),
    batch: impl Fn(u64, u64) -> Batch,
    mut kill_at: impl FnMut(LoadProgress),
) {
    let again = |error: segue::Error| {
        let may = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Exhausted);
        assert!(may, "{name}: {error}");
        thread::sleep(Duration::from_millis(100));
    };
    let mut done = LoadProgress::default();
    while done.rows_done < rows {
        let mut loader = client.loader(name, done);
        let pushed = (done.rows_done..rows).step_by(STEP as usize).try_for_each(|first| {
            let known = loader.push(first, batch(first, STEP.min(rows - first)))?;
            kill_at(known);
            Ok(())
        });
        if let Err(error) = pushed.and_then(|()| loader.flush().map(drop)) {
            again(error);
        }
        done = client.load_progress(name).unwrap();
    }
    kill_at(done);
    loop {
        match client.finish_load(name, kind, &|_| {}) {
            Ok((progress, _)) => {
                return assert_eq!(progress, LoadProgress { rows_done: rows, finished: true }, "{name}");
            }
            Err(error) => again(error),
        }
    }
}

/// Kills the group's leader once `share` of the rows are done, and brings it back afterwards.
fn load_while_the_leader_dies(
    nodes: &mut [Node],
    group: &str,
    what: (&str, LoadKind, u64),
    batch: impl Fn(u64, u64) -> Batch,
    share: f64,
) {
    let victim = leader(nodes, group);
    let client = nodes[(victim + 1) % nodes.len()].client();
    let due = (what.2 as f64 * share) as u64;
    let mut killed_at = None;
    load(&client, what, batch, |progress| {
        if killed_at.is_none() && progress.rows_done >= due {
            nodes[victim].kill();
            killed_at = Some(progress.rows_done);
        }
    });
    let killed_at = killed_at.expect("it was killed");
    eprintln!("{}: the leader of {group} was killed when {killed_at} of {} rows were done", what.0, what.2);
    assert!(share >= 1.0 || killed_at < what.2, "too late: {killed_at}");
    nodes[victim].launch(&[]);
    nodes[victim].running().until_ready();
    settled(&nodes[victim].client(), 3);
}

#[test]
fn loads_go_on_while_leaders_are_killed_in_the_middle() {
    let (mut nodes, _) = three();
    let of_tracks = ("bulk-tracks", LoadKind::Tracks, TRACKS);
    load_while_the_leader_dies(&mut nodes, "tracks-0", of_tracks, tracks, 0.4);
    let of_plays = ("bulk-plays", LoadKind::Plays, PLAYS);
    load_while_the_leader_dies(&mut nodes, "users-0", of_plays, plays, 0.4);
    // The staged rows are on the node that was asked; their segment is made once they are all there.
    let of_vectors = ("bulk-vectors", LoadKind::Vectors, TRACKS);
    load_while_the_leader_dies(&mut nodes, "tracks-0", of_vectors, vectors, 1.0);
    let mut lost = 0;
    for node in &nodes {
        let client = node.client();
        for number in (0..TRACKS).step_by(7) {
            let name: TrackId = id(format!("b{number}"));
            lost += u64::from(client.track(&name).is_err());
            lost += u64::from(client.vector(&space("audio"), None, name.as_str()).is_err());
        }
        let heard = |user: u64| {
            let user: UserId = id(format!("bulk{user}"));
            u64::from(client.portrait(&user, AS_OF, &RequestContext::default()).unwrap().plays_total)
        };
        assert_eq!((0..8).map(heard).sum::<u64>(), PLAYS, "each play counts once");
    }
    assert_eq!(lost, 0);
    replicas_are_equal(&nodes[0], 3);
}
