//! Making sure that a walk can reach every node.

use super::geometry::Geometry;
use super::links::Links;
use super::prune::{Candidate, order};

/// No parent: not reached yet.
const NONE: u32 = u32::MAX;

/// Links every node that cannot be reached from `entry` from a near one that can.
///
/// A breadth-first tree says which links carry the connection; a full row gives up a link that does not.
pub fn connect(geometry: &Geometry, links: &mut Links, entry: u32) {
    let n = links.len() as u32;
    let mut parents = vec![NONE; n as usize];
    parents[entry as usize] = entry;
    reach(links, &mut parents, entry);
    for node in 0..n {
        if parents[node as usize] != NONE {
            continue;
        }
        let near = candidates(geometry, links, node);
        let attached = near.iter().map(|c| c.1).chain(0..n).find(|&from| attach(links, &parents, from, node));
        parents[node as usize] =
            attached.expect("a tree of n nodes uses n - 1 of at least n links, so a place is left");
        reach(links, &mut parents, node);
    }
}

/// Marks everything that can be reached from `from`.
fn reach(links: &Links, parents: &mut [u32], from: u32) {
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for &next in links.of(node) {
            if parents[next as usize] == NONE {
                parents[next as usize] = node;
                open.push(next);
            }
        }
    }
}

/// The links of `node` and their links, nearest first.
fn candidates(geometry: &Geometry, links: &Links, node: u32) -> Vec<Candidate> {
    let own = links.of(node);
    let all = own.iter().chain(own.iter().flat_map(|&u| links.of(u)));
    let mut near: Vec<Candidate> = all.map(|&u| (geometry.distance(node, u), u)).collect();
    order(node, &mut near);
    near
}

/// Links `from` to `node` if `from` was reached and has a free place or a link the tree does not need.
fn attach(links: &mut Links, parents: &[u32], from: u32, node: u32) -> bool {
    if from == node || parents[from as usize] == NONE {
        return false;
    }
    let row = links.of(from);
    if row.len() < links.degree() {
        links.push(from, node);
        return true;
    }
    let Some(spare) = row.iter().rposition(|&next| parents[next as usize] != from) else {
        return false;
    };
    links.replace(from, spare, node);
    true
}
