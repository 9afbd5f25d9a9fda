//! Whether searches through the graphs find what exact ones find, asked of every node: before a fault, and after it.

use segue::api::Client;
use segue::node::NodeReport;
use segue::pipeline::request::SearchRequest;
use segue::types::{SplitMix64, TrackId};

use super::servers::Node;
use crate::support::{DIM, random_vector, space};

/// Queries, the same each time.
const QUERIES: usize = 20;
const SEED: u64 = 0x0010_caa1;
/// Of a hundred of the nearest, so many must be found; before the first fault it is all of them.
const PERCENT_MIN: usize = 98;

fn ten_nearest(client: &Client, vector: &[f32], exact: bool) -> Vec<TrackId> {
    let vector = Some(vector.to_vec());
    let asked = SearchRequest { vector, k: 10, exact, ..SearchRequest::new(space("audio")) };
    client.search(asked).unwrap().tracks.into_iter().map(|track| track.track_id).collect()
}

/// How many of the nearest the graphs of a node find, and how many there are.
fn recall(client: &Client) -> (usize, usize) {
    let mut random = SplitMix64::new(SEED);
    let (mut found, mut wanted) = (0, 0);
    for _ in 0..QUERIES {
        let vector = random_vector(&mut random, DIM);
        let exact = ten_nearest(client, &vector, true);
        found += ten_nearest(client, &vector, false).iter().filter(|track| exact.contains(track)).count();
        wanted += exact.len();
    }
    (found, wanted)
}

/// Recall@10 is what it should be on every node that answers.
#[track_caller]
pub(super) fn recall_is_whole(asked: &Node) {
    let report = asked.client().cluster_status().unwrap();
    let mut nodes = 0;
    for node in report.nodes.iter().filter(|node: &&NodeReport| node.problem.is_empty()) {
        let (found, wanted) = recall(&Client::connect(&format!("http://{}", node.api)).unwrap());
        assert_eq!(wanted, QUERIES * 10, "node {}", node.node);
        assert!(found * 100 >= wanted * PERCENT_MIN, "recall@10 of node {}: {found} of {wanted}", node.node);
        nodes += 1;
    }
    assert!(nodes > 0, "{report:?}");
}
