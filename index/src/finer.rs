//! More places to start a walk from than an index names, in two steps: one for each few dozen rows, about.
//!
//! An index names up to a thousand entries, and their one-bit codes are all read by every search; where there are more rows
//! an entry stands for more of them, and a walk has farther to go. Here rows are divided into some hundred stretches that
//! follow each other. A search reads the codes of their means, and those of a few rows of the best stretches only. One row of each of these
//! is where it starts, so that the starts lie apart: the best rows wherever they are lie together where vectors lie
//! in clusters, and walks from there found less (`mf128`, .9593 instead of .9667 at one effort).
//!
//! Where rows follow each other in no order ([`crate::locality_order`]) a stretch is like any other, and the starts are as good as
//! the best of some hundred rows. Nothing of this is stored: it is made from the codes when a segment is opened.

use super::meta::Meta;
use super::parts::IndexSlices;
use super::quantize::signs;
use super::sieve::RowCodes;

/// Stretches, at least and at most.
const STRETCHES: (usize, usize) = (128, 256);
/// Rows that one start stands for, until there are as many starts as there may be.
const ROWS_A_START: usize = 48;
/// Starts of a stretch, at least and at most.
const STARTS: (usize, usize) = (8, 32);
/// Indexes of fewer rows have entries enough.
const ROWS_LEAST: usize = STRETCHES.0 * STARTS.0 * ROWS_A_START / 2;

/// Rows that walks may start from, in stretches.
#[derive(Clone, Debug)]
pub(super) struct FinerEntries {
    /// Starts of one stretch.
    size: usize,
    /// One-bit codes of the means of the stretches, relative to the centre of the entries; see [`signs`].
    means: Vec<u8>,
    /// Those of the starts, one stretch after the other.
    records: Vec<u8>,
    /// The starts.
    nodes: Vec<u32>,
}

impl FinerEntries {
    /// Makes the codes from the vectors' own; nothing where rows are few or the entries have no such codes. Cost: reads one code in
    /// [`ROWS_A_START`].
    ///
    /// * `slices`: as long as the meta says.
    pub(super) fn new(meta: &Meta, padded_dim: usize, slices: &IndexSlices<'_>) -> Option<Self> {
        let center = &meta.entry_signs.as_ref().filter(|_| meta.n >= ROWS_LEAST)?.center;
        let rows = RowCodes::new(meta, padded_dim, slices);
        let stretches = (meta.n / (STARTS.1 * ROWS_A_START)).clamp(STRETCHES.0, STRETCHES.1);
        let size = (meta.n / (stretches * ROWS_A_START)).clamp(STARTS.0, STARTS.1);
        let count = stretches * size;
        let nodes: Vec<u32> = (0..count).map(|at| ((2 * at + 1) * meta.n / (2 * count)) as u32).collect();
        let bytes = signs::record_bytes(padded_dim);
        let (mut means, mut records) = (vec![0; stretches * bytes], vec![0; count * bytes]);
        let (mut mean, mut vector) = (vec![0.0f32; padded_dim], vec![0.0f32; padded_dim]);
        let of_stretch = nodes.chunks_exact(size).zip(records.chunks_exact_mut(size * bytes));
        for ((nodes, records), record_of_mean) in of_stretch.zip(means.chunks_exact_mut(bytes)) {
            mean.fill(0.0);
            for (&node, record) in nodes.iter().zip(records.chunks_exact_mut(bytes)) {
                rows.decode(node as usize, &mut vector);
                mean.iter_mut().zip(&vector).for_each(|(mean, x)| *mean += x / size as f32);
                signs::encode(meta.metric, center, &vector, record);
            }
            signs::encode(meta.metric, center, &mean, record_of_mean);
        }
        Some(Self { size, means, records, nodes })
    }

    /// Bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.means.len() + self.records.len() + size_of_val(self.nodes.as_slice())
    }

    /// Number of stretches.
    pub(super) fn stretches(&self) -> usize {
        self.nodes.len() / self.size
    }

    /// Number of starts of a stretch.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The one-bit codes of the means of all stretches.
    pub(super) fn means(&self) -> &[u8] {
        &self.means
    }

    /// The starts of one stretch and their one-bit codes.
    #[inline(always)]
    pub(super) fn stretch(&self, at: usize) -> (&[u32], &[u8]) {
        let bytes = self.records.len() / self.stretches();
        (&self.nodes[at * self.size..(at + 1) * self.size], &self.records[at * bytes..(at + 1) * bytes])
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::kernels::{InstructionSet, Kernels};
    use crate::{
        Allowed, BuildParams, IndexHead, Metric, Profile, Progress, Rows, Scratch, SearchParams, SplitMix64,
        build,
    };

    /// Some rows of 64 numbers and an index of them.
    fn indexed(rows: usize, seed: u64) -> (Vec<f32>, crate::IndexParts) {
        let mut random = SplitMix64::new(seed);
        let data: Vec<f32> = (0..rows * 64).map(|_| random.normal() as f32).collect();
        let params = BuildParams { ef_construction: 32, ..BuildParams::new(Metric::Cosine, Profile::Fast) };
        let parts = build(&Rows::new(&data, rows, 64, 64).unwrap(), &params, &Progress::default()).unwrap();
        (data, parts)
    }

    #[test]
    fn starts_lie_in_order_and_walks_from_them_find_rows_by_themselves_on_every_instruction_set() {
        let (rows, seed) = (ROWS_LEAST + 77, 3);
        let (data, parts) = indexed(rows, seed);
        let finer = FinerEntries::new(&Meta::decode(&parts.meta).unwrap(), 64, &parts.slices()).unwrap();
        let head = IndexHead::open(&parts.meta).unwrap().with_sieve(&parts.slices()).unwrap();
        assert!(finer.bytes() < head.sieve_bytes() && finer.bytes() < 2 * rows);
        assert_eq!(finer.means().len(), finer.stretches() * signs::record_bytes(64));
        let all: Vec<u32> = (0..finer.stretches()).flat_map(|at| finer.stretch(at).0).copied().collect();
        let apart = rows / all.len() + 1;
        assert!(all.windows(2).all(|pair| (1..=apart as u32).contains(&(pair[1] - pair[0]))));
        assert!(all[0] as usize <= apart && rows - all[all.len() - 1] as usize <= apart);

        let view = head.view(parts.slices(), Rows::new(&data, rows, 64, 64).unwrap()).unwrap();
        let scalar: &'static Kernels = Box::leak(Box::new(Kernels::of(InstructionSet::Scalar).unwrap()));
        let (mut scratch, params) = (Scratch::new(), SearchParams::new(10));
        let mut search = |view: &crate::IndexView<'_>, row: usize| {
            view.search(&data[row * 64..][..64], &params, &Allowed::all(), &mut scratch).unwrap().hits
        };
        let queries = (0..rows).step_by(rows / 50);
        let found = queries.clone().filter(|&row| search(&view, row)[0].0.0 as usize == row).count();
        assert!(found >= 49, "{found} of {} seed {seed}", queries.clone().count());
        for row in queries {
            assert_eq!(search(&view, row), search(&view.with_kernels(scalar), row), "row {row} seed {seed}");
        }
    }

    #[test]
    fn a_small_index_has_entries_enough() {
        let (_, parts) = indexed(500, 4);
        assert!(FinerEntries::new(&Meta::decode(&parts.meta).unwrap(), 64, &parts.slices()).is_none());
    }
}
