//! From vectors to an index: rotation, codes, graph, rows.

use rayon::prelude::*;

use super::effort::{Cases, Efforts};
use super::error::IndexError;
use super::graph::build::{self as graph, GraphParams};
use super::graph::geometry::{Comparison, Geometry};
use super::graph::links::Links;
use super::graph::{fill, repair};
use super::kernels::{BATCH, Kernels};
use super::layout::RowLayout;
use super::meta::{EntrySigns, Meta};
use super::params::{BuildParams, Profile};
use super::parts::{Block, IndexParts, IndexSlices};
use super::progress::Progress;
use super::quantize::{codes, neighbors, rotation::Rotation, signs};
use super::reach::Margins;
use super::rows::Rows;
use super::view::IndexView;
use crate::Metric;

/// Nodes a walk may start from: one for so many, within bounds.
const NODES_AN_ENTRY: usize = 128;
const ENTRIES: (usize, usize) = (64, 1024);
/// Incoming links every node gets where there is room: in Euclidean graphs, and in graphs for inner product.
const INCOMING: (usize, usize) = (8, 1);

/// Builds the index of `vectors`, on the rayon pool of the caller.
///
/// The result is a function of vectors, parameters and seed, whatever the number of threads. Memory beside the result:
/// one byte a coordinate and about 150 bytes a vector. Cost: about two searches a vector.
///
/// # Errors
/// [`IndexError::NotFinite`] names the first offending row; [`IndexError::Parameter`]; [`IndexError::Cancelled`].
pub fn build(
    vectors: &Rows<'_>,
    params: &BuildParams,
    progress: &Progress<'_>,
) -> Result<IndexParts, IndexError> {
    params.check()?;
    let n = vectors.len();
    if n >= 1 << 31 {
        return Err(IndexError::parameter("n", n, "an index holds fewer than 2^31 vectors"));
    }
    check_finite(vectors)?;
    let rotation = Rotation::new(vectors.dim(), params.seed);
    let layout = RowLayout::new(params.profile, params.degree, rotation.padded_dim());
    let kernels = Kernels::get();
    let rotated = |i: usize, out: &mut [f32]| {
        rotation.apply(kernels, vectors.row(i), out);
        if params.metric == Metric::Cosine {
            normalise(out);
        }
    };
    let comparison = if params.metric == Metric::Ip { Comparison::Product } else { Comparison::Euclidean };
    let geometry = Geometry::new(n, layout.padded_dim, comparison, rotated);
    let entries = choose_entries(n);
    let links = build_links(&geometry, &entries, params, progress)?;
    let typical_length = typical_length(&geometry);
    let factor_scale = if typical_length > 0.0 { typical_length * typical_length } else { 1.0 };
    let rows = encode_rows(&geometry, &links, &layout, params.metric, factor_scale);
    let entry_signs = encode_entries(&geometry, &entries, params.metric);
    let (code_bytes, factors) = encode_codes(geometry, params, rotated);
    let meta = Meta {
        metric: params.metric,
        profile: params.profile,
        n,
        dim: vectors.dim(),
        degree: params.degree,
        seed: params.seed,
        factor_scale,
        typical_length,
        entries,
        efforts: Efforts::GUESSED,
        margins: Margins::UNBOUNDED,
        entry_signs: Some(entry_signs),
    };
    let slices = IndexSlices { codes: &code_bytes, factors: &factors, rows: &rows };
    let view = IndexView::new(&meta, &rotation, layout, slices, *vectors);
    let cases = Cases::draw(vectors, params.metric, params.seed);
    let meta = Meta { margins: cases.margins(&view, vectors)?, ..meta.clone() };
    let view = IndexView::new(&meta, &rotation, layout, slices, *vectors);
    let meta = Meta { efforts: cases.efforts(&view, vectors)?, ..meta.clone() };
    Ok(IndexParts {
        meta: meta.encode(),
        codes: Block {
            tag: "codes",
            stride_bytes: layout.padded_dim * params.profile.code_bits() / 8,
            bytes: code_bytes,
        },
        factors: Block {
            tag: "factors",
            stride_bytes: if params.metric == Metric::L2 { 8 } else { 4 },
            bytes: factors,
        },
        rows: Block { tag: "rows", stride_bytes: layout.stride(), bytes: rows },
    })
}

/// Finds the first value that is not finite.
fn check_finite(vectors: &Rows<'_>) -> Result<(), IndexError> {
    let wrong = (0..vectors.len()).into_par_iter().find_map_first(|row| {
        vectors.row(row).iter().position(|x| !x.is_finite()).map(|dimension| (row, dimension))
    });
    wrong.map_or(Ok(()), |(row, dimension)| Err(IndexError::NotFinite { row, dimension }))
}

/// Makes a vector unit length, unless it is zero.
fn normalise(vector: &mut [f32]) {
    let length = Kernels::get().dot_f32(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

/// Chooses the nodes that walks start from: as many rows apart, which leaves no region out where rows are in an order of
/// their own ([`crate::locality_order`]).
fn choose_entries(n: usize) -> Vec<u32> {
    let count = (n / NODES_AN_ENTRY).clamp(ENTRIES.0, ENTRIES.1).min(n);
    (0..count).map(|i| ((2 * i + 1) * n / (2 * count)) as u32).collect()
}

/// Builds, fills and connects the graph.
fn build_links(
    geometry: &Geometry,
    entries: &[u32],
    params: &BuildParams,
    progress: &Progress<'_>,
) -> Result<Links, IndexError> {
    let Some(&entry) = entries.first() else {
        return Ok(Links::new(0, params.degree));
    };
    let product = params.metric == Metric::Ip;
    let graph_params = GraphParams { degree: params.degree, ef: params.ef_construction, seed: params.seed };
    let mut links = graph::build(geometry, entry, &graph_params, progress)?;
    fill::add_incoming(geometry, &mut links, if product { INCOMING.1 } else { INCOMING.0 });
    fill::fill(geometry, &mut links);
    repair::connect(geometry, &mut links, entry);
    Ok(links)
}

/// Root mean square length of the rounded vectors.
fn typical_length(geometry: &Geometry) -> f32 {
    let n = geometry.len();
    let sum: f64 = (0..n as u32).map(|node| f64::from(geometry.square(node))).sum();
    (sum / n.max(1) as f64).sqrt() as f32
}

/// Writes the graph rows: links, and in the fast profile the neighbours' codes.
fn encode_rows(
    geometry: &Geometry,
    links: &Links,
    layout: &RowLayout,
    metric: Metric,
    factor_scale: f32,
) -> Vec<u8> {
    let mut out = vec![0u8; links.len() * layout.stride()];
    out.par_chunks_mut(layout.stride()).enumerate().for_each_init(
        || (vec![0.0f32; layout.padded_dim], vec![0.0f32; layout.padded_dim]),
        |(own, other), (node, row)| {
            let node = node as u32;
            // A free place links to the node itself, which every walk has seen.
            let targets = links.of(node).iter().copied().chain(std::iter::repeat(node)).take(layout.degree);
            geometry.decode(node, own);
            for (slot, target) in targets.enumerate() {
                row[4 * slot..4 * slot + 4].copy_from_slice(&target.to_le_bytes());
                if layout.with_signs {
                    geometry.decode(target, other);
                    let block = slot / BATCH;
                    neighbors::write_signs(&mut row[layout.signs(block)], slot % BATCH, own, other);
                    let factors = neighbors::factors(metric, own, other);
                    neighbors::write_factors(
                        &mut row[layout.factors(block)],
                        slot % BATCH,
                        factors,
                        factor_scale,
                    );
                }
            }
        },
    );
    out
}

/// Makes the one-bit codes of the entries, relative to their mean.
fn encode_entries(geometry: &Geometry, entries: &[u32], metric: Metric) -> EntrySigns {
    let dim = geometry.padded_dim();
    let (mut center, mut vector) = (vec![0.0f32; dim], vec![0.0f32; dim]);
    for &entry in entries {
        geometry.decode(entry, &mut vector);
        center.iter_mut().zip(&vector).for_each(|(mean, x)| *mean += x / entries.len() as f32);
    }
    let stride = signs::record_bytes(dim);
    let mut records = vec![0u8; entries.len() * stride];
    for (&entry, record) in entries.iter().zip(records.chunks_exact_mut(stride)) {
        geometry.decode(entry, &mut vector);
        signs::encode(metric, &center, &vector, record);
    }
    EntrySigns { center, records }
}

/// Writes the vectors' own codes and their factors.
fn encode_codes(
    geometry: Geometry,
    params: &BuildParams,
    rotated: impl Fn(usize, &mut [f32]) + Sync,
) -> (Vec<u8>, Vec<u8>) {
    let (n, padded_dim) = (geometry.len(), geometry.padded_dim());
    let squares: Vec<f32> = (0..n as u32).map(|node| geometry.square(node)).collect();
    let (codes, factors) = match params.profile {
        Profile::Fast => geometry.into_codes(),
        Profile::Compact => {
            drop(geometry);
            let mut bytes = vec![0u8; n * padded_dim / 2];
            let encode = |buffer: &mut Vec<f32>, (i, code): (usize, &mut [u8])| {
                rotated(i, buffer);
                codes::encode_nibbles(buffer, code)
            };
            let chunks = bytes.par_chunks_mut(padded_dim / 2).enumerate();
            let factors = chunks.map_init(|| vec![0.0f32; padded_dim], encode).collect();
            (bytes, factors)
        }
    };
    let mut factor_bytes = Vec::with_capacity(8 * n);
    for (factor, square) in factors.iter().zip(&squares) {
        if params.metric == Metric::L2 {
            factor_bytes.extend((2.0 * factor).to_le_bytes());
            factor_bytes.extend((-square).to_le_bytes());
        } else {
            factor_bytes.extend(factor.to_le_bytes());
        }
    }
    (codes, factor_bytes)
}
