//! Bulk loads of vectors that are cut short at each of their steps: the node that was asked, or one that fetches the files, ends there
//! by itself (`src/node/stop_points.rs`). Afterwards the load is gone on with, every row is there as it was sent last, on every
//! node, and no file is left that nobody needs.

use std::os::unix::process::ExitStatusExt as _;

use segue::api::Batch;
use segue::node::{LoadKind, LoadProgress, VectorRow};
use segue::types::TrackId;
use segue_storage_format::manifest;

use super::bulk::{FIRST, load, tracks};
use super::servers::{Node, replicas_are_equal, settled, three};
use crate::support::{STATIC, audio_vector, id, space};

const ROWS: u64 = 600;
/// Where the node that is asked ends.
const OF_THE_ASKED: [&str; 5] =
    ["load::staged", "load::numbered", "load::built", "load::spread", "load::live"];
/// Where another ends, that fetches what the first has built.
const OF_A_FETCHER: [&str; 3] = ["fetch::piece", "fetch::whole", "fetch::placed"];
/// SIGABRT.
const ABORTED: i32 = 6;

/// Vectors of one round: none is that of another.
fn vectors(round: u64) -> impl Fn(u64, u64) -> Batch {
    move |first, count| {
        let row =
            |number: u64| VectorRow { id: format!("b{number}"), vector: audio_vector(FIRST + number, round) };
        Batch::Vectors(space("audio"), STATIC, (first..first + count).map(row).collect())
    }
}

/// Brings a node back that is to end at a stop point.
fn arm(node: &mut Node, stop_point: &str) {
    let running = node.running.take().unwrap();
    running.terminate();
    assert!(running.wait().0.success());
    node.launch_until(stop_point);
    node.running().until_ready();
    settled(&node.client(), 3);
}

/// Waits until it has ended there, and brings it back.
fn mourn(node: &mut Node, stop_point: &str) {
    let (status, log) = node.running.take().unwrap().wait();
    assert_eq!(status.signal(), Some(ABORTED), "{stop_point}: {log}");
    node.launch(&[]);
    node.running().until_ready();
}

/// Every row on every node is the one of this round.
fn all_are_of(nodes: &[Node], round: u64, stop_point: &str) {
    for (number, node) in
        (0..ROWS).step_by(37).flat_map(|number| nodes.iter().map(move |node| (number, node)))
    {
        let name: TrackId = id(format!("b{number}"));
        let found = node.client().vector(&space("audio"), None, name.as_str()).unwrap();
        let wanted = audio_vector(FIRST + number, round);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let cosine = dot(&found, &wanted) / (dot(&found, &found) * dot(&wanted, &wanted)).sqrt();
        assert!(cosine > 0.999, "{stop_point}: {name} is of another round ({cosine})");
    }
}

/// A node that was stopped has no file of a segment that neither of its checkpoints names, and no staged rows.
fn nothing_is_left_over(node: &Node) {
    let garbage = manifest::unreferenced(&node.dir.path().join("tracks-0"), &[]).unwrap();
    assert!(garbage.files.is_empty() && garbage.folders.is_empty(), "{garbage:?}");
    assert_eq!(std::fs::read_dir(node.dir.path().join("staging")).map_or(0, Iterator::count), 0);
}

#[test]
fn a_load_that_is_cut_short_at_any_step_is_gone_on_with() {
    if !cfg!(debug_assertions) {
        eprintln!(
            "SKIPPED stop points: programs without debug assertions have none (docs/adr/0028-stop-points.md)"
        );
        return;
    }
    let (mut nodes, _) = three();
    let client = nodes[0].client();
    load(&client, ("new tracks", LoadKind::Tracks, ROWS), tracks, |_| {});
    let mut round = 1;
    for stop_point in OF_THE_ASKED {
        arm(&mut nodes[1], stop_point);
        let client = nodes[1].client();
        let (name, batch) = (format!("vectors {round}"), vectors(round));
        let cut = || -> segue::Result<()> {
            let mut loader = client.loader(&name, LoadProgress::default());
            loader.push(0, batch(0, ROWS / 2))?;
            loader.push(ROWS / 2, batch(ROWS / 2, ROWS / 2))?;
            loader.flush()?;
            client.finish_load(&name, LoadKind::Vectors, &|_| {}).map(drop)
        };
        let refused = cut().expect_err(stop_point);
        assert_eq!(refused.kind(), segue::ErrorKind::Unavailable, "{stop_point}: {refused}");
        mourn(&mut nodes[1], stop_point);
        load(&nodes[1].client(), (&name, LoadKind::Vectors, ROWS), batch, |_| {});
        settled(&nodes[1].client(), 3);
        all_are_of(&nodes, round, stop_point);
        round += 1;
    }
    for stop_point in OF_A_FETCHER {
        arm(&mut nodes[2], stop_point);
        // The two others are a majority: the load does not wait for the third.
        let name = format!("vectors {round}");
        load(&nodes[0].client(), (&name, LoadKind::Vectors, ROWS), vectors(round), |_| {});
        all_are_of(&nodes[..2], round, stop_point);
        mourn(&mut nodes[2], stop_point);
        settled(&nodes[2].client(), 3);
        all_are_of(&nodes, round, stop_point);
        round += 1;
    }
    replicas_are_equal(&nodes[0], 3);
    // What a crash leaves goes at the next start. (Or an hour later: src/maintenance/tests.rs.)
    for node in &mut nodes {
        node.kill();
        node.launch(&[]);
        node.running().until_ready();
        settled(&node.client(), 3);
    }
    for node in &mut nodes {
        let running = node.running.take().unwrap();
        running.terminate();
        assert!(running.wait().0.success());
    }
    nodes.iter().for_each(nothing_is_left_over);
}
