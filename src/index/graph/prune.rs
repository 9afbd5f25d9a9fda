//! Choosing a node's links: near ones, but no two in the same direction.
//!
//! The relative-neighbourhood rule of HNSW and Vamana (arXiv:1603.09320 Alg. 4; DiskANN Alg. 2): a candidate is dropped
//! when a link already chosen is nearer to it than the node is.

use super::geometry::Geometry;

/// A candidate link: squared distance from the node, and its number.
pub type Candidate = (f32, u32);

/// Sorts by distance, ties by number, and removes repeats and `node` itself.
pub fn order(node: u32, candidates: &mut Vec<Candidate>) {
    candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    candidates.dedup_by_key(|c| c.1);
    candidates.retain(|c| c.1 != node);
}

/// Chooses up to `degree` links out of ordered `candidates` into `chosen`.
///
/// * `rounds`: how much shorter the detour must be before a candidate is dropped, as a factor: 1 drops most. Each round
///   chooses among what the rounds before dropped; those links come later in the row.
/// * `fill`: whether free places are then given to the nearest of the dropped candidates.
pub fn choose(
    geometry: &Geometry,
    candidates: &[Candidate],
    degree: usize,
    rounds: &[f32],
    fill: bool,
    chosen: &mut Vec<u32>,
) {
    chosen.clear();
    let mut left: Vec<Candidate> = candidates.to_vec();
    for &factor in rounds {
        left.retain(|&(distance, node)| {
            if chosen.len() == degree
                || chosen
                    .iter()
                    .any(|&other| geometry.shadows(geometry.distance(other, node), distance, factor))
            {
                return true;
            }
            chosen.push(node);
            false
        });
    }
    if fill {
        let free = degree - chosen.len();
        chosen.extend(left.iter().map(|c| c.1).take(free));
    }
}
