//! Filling the free places of every row, since a row costs the same whether it is full or not.
//!
//! Two things help a walk most: links *to* nodes that few others link to (outliers, which pruning tends to
//! cut off), and further near neighbours. Both come out of what the graph already knows, without another search: the
//! links back, and the links of links.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::links::Links;
use super::prune::{Candidate, choose, order};

/// Near rows that a node with few incoming links asks for a place.
const WISHES: usize = 48;

/// Nodes that link to each node, as one array with offsets.
struct Incoming {
    starts: Vec<u32>,
    sources: Vec<u32>,
}

impl Incoming {
    fn new(links: &Links) -> Self {
        let n = links.len();
        let mut starts = vec![0u32; n + 1];
        for node in 0..n as u32 {
            links.of(node).iter().for_each(|&t| starts[t as usize + 1] += 1);
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut sources = vec![0u32; starts[n] as usize];
        for node in 0..n as u32 {
            for &t in links.of(node) {
                sources[next[t as usize] as usize] = node;
                next[t as usize] += 1;
            }
        }
        Self { starts, sources }
    }

    fn of(&self, node: u32) -> &[u32] {
        &self.sources[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }
}

/// Gives nodes with fewer than `wanted` incoming links more of them, in free places of near rows.
pub fn add_incoming(geometry: &Geometry, links: &mut Links, wanted: usize) {
    let incoming = Incoming::new(links);
    let mut counts: Vec<u32> = (0..links.len() as u32).map(|v| incoming.of(v).len() as u32).collect();
    let poor: Vec<u32> =
        (0..links.len() as u32).filter(|&v| (counts[v as usize] as usize) < wanted).collect();
    let frozen = &*links;
    // A pool is used again: what each node keeps of its two thousand candidates is short.
    let wishes: Vec<Vec<u32>> = poor
        .par_iter()
        .with_max_len(256)
        .map_init(Vec::new, |near: &mut Vec<Candidate>, &v| {
            near.clear();
            for &u in frozen.of(v).iter().chain(incoming.of(v).iter().take(32)) {
                near.push((0.0, u));
                near.extend(frozen.of(u).iter().map(|&w| (0.0, w)));
                near.extend(incoming.of(u).iter().take(32).map(|&w| (0.0, w)));
            }
            near.sort_unstable_by_key(|c| c.1);
            near.dedup_by_key(|c| c.1);
            near.retain(|c| c.1 != v);
            near.iter_mut().for_each(|c| c.0 = geometry.distance(v, c.1));
            order(v, near);
            near.iter().take(WISHES).map(|c| c.1).collect()
        })
        .collect();
    for (&v, near) in poor.iter().zip(&wishes) {
        for &u in near {
            if counts[v as usize] as usize >= wanted {
                break;
            }
            let row = links.of(u);
            if row.len() < links.degree() && !row.contains(&v) {
                links.push(u, v);
                counts[v as usize] += 1;
            }
        }
    }
}

/// Fills what is still free with near nodes, in directions that are taken least.
pub fn fill(geometry: &Geometry, links: &mut Links) {
    let degree = links.degree();
    let incoming = Incoming::new(links);
    let frozen = &*links;
    let rows: Vec<Option<Vec<u32>>> = (0..frozen.len() as u32)
        .into_par_iter()
        .with_max_len(256)
        .map_init(
            || (Vec::new(), Vec::new()),
            |(pool, chosen): &mut (Vec<Candidate>, Vec<u32>), v| {
                let own = frozen.of(v);
                if own.len() == degree {
                    return None;
                }
                pool.clear();
                for &u in own.iter().chain(incoming.of(v).iter().take(64)) {
                    pool.push((0.0, u));
                    pool.extend(frozen.of(u).iter().map(|&w| (0.0, w)));
                }
                pool.sort_unstable_by_key(|c| c.1);
                pool.dedup_by_key(|c| c.1);
                pool.retain(|c| c.1 != v && !own.contains(&c.1));
                pool.iter_mut().for_each(|c| c.0 = geometry.distance(v, c.1));
                order(v, pool);
                pool.truncate(4 * degree);
                let mut row = own.to_vec();
                choose(geometry, v, pool, degree - own.len(), true, chosen);
                row.extend_from_slice(chosen);
                Some(row)
            },
        )
        .collect();
    for (v, row) in rows.into_iter().enumerate() {
        if let Some(row) = row {
            links.set(v as u32, &row);
        }
    }
}
