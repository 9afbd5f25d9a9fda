//! Choosing a node's links: near ones, but no two in the same direction.
//!
//! The relative-neighbourhood rule of HNSW and Vamana (arXiv:1603.09320 Alg. 4; DiskANN Alg. 2): a candidate is dropped
//! when a link already chosen is nearer to it than the node is.

use super::geometry::Geometry;

/// A candidate link: squared distance from the node, and its number.
pub type Candidate = (f32, u32);

/// Sorts by distance, ties by number, and removes repeats and `node` itself.
pub fn order(node: u32, candidates: &mut Vec<Candidate>) {
    // Most come in order already, which a stable sort makes use of.
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    candidates.dedup_by_key(|c| c.1);
    candidates.retain(|c| c.1 != node);
}

/// Chooses up to `degree` links of `node` out of ordered `candidates` into `chosen`.
///
/// * `fill`: whether free places are then given to the nearest of the dropped candidates.
pub fn choose(
    geometry: &Geometry,
    node: u32,
    candidates: &[Candidate],
    degree: usize,
    fill: bool,
    chosen: &mut Vec<u32>,
) {
    chosen.clear();
    let mut left: Vec<u32> = Vec::new();
    for &(direct, candidate) in candidates {
        if chosen.len() == degree {
            return;
        }
        if geometry.shadowed(chosen, candidate, node, direct) {
            left.push(candidate);
        } else {
            chosen.push(candidate);
        }
    }
    if fill {
        let free = degree - chosen.len();
        chosen.extend(left.into_iter().take(free));
    }
}
