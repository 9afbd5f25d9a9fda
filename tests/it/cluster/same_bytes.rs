//! Every node answers a request with the same bytes.

use segue::types::User;

use super::servers::{Node, replicas_are_equal, settled, three};
use crate::same_bytes::requests;

/// The bytes of every reply of a node, and apart from them where its groups stood.
fn bytes(node: &Node, users: &[User]) -> (Vec<String>, Vec<Vec<(String, u64)>>) {
    let client = node.client();
    let ask = |request| {
        let mut list = client.recommend(request).unwrap();
        let applied = std::mem::take(&mut list.applied);
        (serde_json::to_string(&list).unwrap(), applied)
    };
    requests(users).into_iter().map(ask).unzip()
}

/// Goal: the whole reply, on all three nodes, before and after one of them is started anew.
///
/// Left out of the bytes: `applied`, the log index of each group. It says where the answer comes from: an election, which any
/// start may cause, moves it without changing anything. While nobody starts, it is compared as well.
#[test]
fn every_node_answers_with_the_same_bytes_whatever_is_asked() {
    let (mut nodes, world) = three();
    let users = &world.users[..8];
    settled(&nodes[0].client(), 3);
    let (expected, applied) = bytes(&nodes[0], users);
    assert_eq!(expected.len(), 8 * 9);
    for node in &nodes[1..] {
        let (found, at) = bytes(node, users);
        let same = expected.iter().zip(&found).position(|(a, b)| a != b);
        assert_eq!(same.map(|at| (&expected[at], &found[at])), None);
        assert_eq!(at, applied, "nothing was written in between");
    }
    nodes[1].kill();
    nodes[1].launch(&[]);
    nodes[1].running().until_ready();
    settled(&nodes[0].client(), 3);
    for node in &nodes {
        let (found, _) = bytes(node, users);
        assert!(found == expected, "after a start of one of them");
    }
    replicas_are_equal(&nodes[0], 3);
}
