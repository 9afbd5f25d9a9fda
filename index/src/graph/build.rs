//! Building the graph: nodes are inserted in batches, each searched for in the graph of the batches before.
//!
//! A batch is searched in parallel on the graph as it stood before the batch, then its links are set, then all links back are
//! grouped by target and each target's row is pruned once (as in ParlayANN, arXiv:2305.04359). No step depends on
//! which thread ran first, so the graph is a function of the vectors and the seed. Batches start small,
//! double, and never exceed a fiftieth of the nodes.

use rayon::prelude::*;

use super::beam::{Beam, pack};
use super::geometry::Geometry;
use super::links::Links;
use super::prune::{Candidate, choose, order};
use super::visited::Visited;
use crate::SplitMix64;
use crate::error::IndexError;
use crate::kernels::prefetch;
use crate::progress::Progress;

/// The second pass searches with a beam so many times narrower: it finds its way in a whole graph.
const SECOND: usize = 2;

/// Shape of the graph.
#[derive(Clone, Debug)]
pub struct GraphParams {
    /// Links a node keeps.
    pub degree: usize,
    /// Beam width of the searches.
    pub ef: usize,
    /// Insertion order.
    pub seed: u64,
}

/// What one thread needs for its searches.
#[derive(Default)]
struct Worker {
    visited: Visited,
    beam: Beam,
    fresh: Vec<u32>,
    entries: Vec<u64>,
    candidates: Vec<Candidate>,
    chosen: Vec<u32>,
}

/// Builds the links of all nodes. `entry` is where searches start and is inserted first. Every node is searched for once more in
/// the finished graph, since the first to come knew few others.
pub fn build(
    geometry: &Geometry,
    entry: u32,
    params: &GraphParams,
    progress: &Progress<'_>,
) -> Result<Links, IndexError> {
    let n = geometry.len();
    let mut links = Links::new(n, params.degree);
    let mut sequence = permutation(n, &mut SplitMix64::new(params.seed));
    if let Some(at) = sequence.iter().position(|&v| v == entry) {
        sequence.swap(0, at);
    }
    let mut done = 1.min(n);
    let largest = (n / 50).max(32);
    while done < n {
        let size = done.min(largest).min(n - done);
        insert_batch(geometry, &mut links, entry, &sequence[done..done + size], params);
        done += size;
        progress.report(done, 2 * n)?;
    }
    let second = GraphParams { ef: params.ef.div_ceil(SECOND), ..params.clone() };
    for (i, batch) in sequence.chunks(largest).enumerate() {
        insert_batch(geometry, &mut links, entry, batch, &second);
        progress.report(n + (i * largest + batch.len()), 2 * n)?;
    }
    Ok(links)
}

/// Sets the links of a batch, and the links back.
///
/// The batch is taken in the order of rows, which changes nothing but where rows that are near each other lie near each
/// other ([`crate::locality_order`]): then one search finds in the cache what the one before it has read.
fn insert_batch(geometry: &Geometry, links: &mut Links, entry: u32, batch: &[u32], params: &GraphParams) {
    let mut batch = batch.to_vec();
    batch.sort_unstable();
    let frozen = &*links;
    let forward: Vec<Vec<u32>> = batch
        .par_iter()
        .with_max_len(16)
        .map_init(Worker::default, |worker, &node| {
            search(geometry, frozen, entry, node, params.ef, worker);
            worker.candidates.extend(frozen.of(node).iter().map(|&o| (geometry.distance(node, o), o)));
            order(node, &mut worker.candidates);
            choose(geometry, node, &worker.candidates, params.degree, false, &mut worker.chosen);
            worker.chosen.clone()
        })
        .collect();
    let mut back: Vec<(u32, u32)> = Vec::new();
    for (&node, chosen) in batch.iter().zip(&forward) {
        links.set(node, chosen);
        back.extend(chosen.iter().map(|&target| (target, node)));
    }
    back.par_sort_unstable();
    let groups: Vec<&[(u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
    let frozen = &*links;
    let rows: Vec<(u32, Vec<u32>)> = groups
        .par_iter()
        .with_max_len(64)
        .map_init(Worker::default, |worker, group| {
            let target = group[0].0;
            let own = frozen.of(target);
            let extra = || group.iter().map(|pair| pair.1).filter(|o| !own.contains(o));
            if own.len() + extra().count() <= params.degree {
                return (target, own.iter().copied().chain(extra()).collect());
            }
            worker.candidates.clear();
            worker
                .candidates
                .extend(own.iter().copied().chain(extra()).map(|o| (geometry.distance(target, o), o)));
            order(target, &mut worker.candidates);
            choose(geometry, target, &worker.candidates, params.degree, false, &mut worker.chosen);
            (target, worker.chosen.clone())
        })
        .collect();
    for (target, row) in rows {
        links.set(target, &row);
    }
}

/// Walks towards `node` and leaves every node whose links were followed, and the final beam, in `worker.candidates`.
fn search(geometry: &Geometry, links: &Links, entry: u32, node: u32, ef: usize, worker: &mut Worker) {
    let Worker { visited, beam, fresh, entries, candidates, .. } = worker;
    visited.reset(geometry.len());
    beam.reset(ef);
    candidates.clear();
    visited.insert(entry);
    beam.insert(-geometry.distance(node, entry), entry);
    fresh.clear();
    // As in searches (see `walk`): what was asked for is looked at one hop later.
    loop {
        let popped = beam.pop();
        entries.clear();
        geometry.distances(node, fresh, |distance, next| {
            if -distance > beam.threshold() {
                entries.push(pack(-distance, next));
            }
        });
        beam.insert_all(entries);
        fresh.clear();
        if let Some(next) = beam.peek() {
            prefetch(links.of(next));
        }
        let Some((score, at)) = popped else {
            if beam.peek().is_none() {
                break;
            }
            continue;
        };
        candidates.push((-score, at));
        visited.insert_all(links.of(at), fresh);
        fresh.iter().for_each(|&next| prefetch(geometry.bytes(next)));
    }
    // Those still in the beam come from there.
    candidates.retain(|&(distance, _)| -distance < beam.threshold());
    candidates.extend(beam.iter().map(|(score, v)| (-score, v)));
}

/// Returns the numbers `0..n` in random order.
pub fn permutation(n: usize, random: &mut SplitMix64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    order
}
