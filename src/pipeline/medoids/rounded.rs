//! Rows rounded to a byte a component, compared by cosine: a quarter of the memory, and of the work.

use segue_index::kernels::{Kernels, as_raw};

/// Rows are as long as a multiple of so many bytes, as the kernels ask for.
const WIDTH_STEP: usize = 64;
/// Rows that one call compares another with.
const TOGETHER: usize = 4;

/// Some rows of one dimension.
#[derive(Default)]
pub(super) struct RoundedRows {
    width: usize,
    /// One behind the other, zeros behind the components of each.
    bytes: Vec<i8>,
    /// What brings each row to unit length, and the sum of its bytes.
    scales: Vec<(f32, i32)>,
    /// A row before it is rounded.
    padded: Vec<f32>,
}

impl RoundedRows {
    /// Rounds vectors, each finite and not zero, in the place of the rows of before.
    pub(super) fn fill<'a>(&mut self, vectors: impl Iterator<Item = &'a [f32]>) {
        let kernels = Kernels::get();
        self.bytes.clear();
        self.scales.clear();
        for vector in vectors {
            self.width = vector.len().next_multiple_of(WIDTH_STEP);
            self.padded.clear();
            self.padded.extend_from_slice(vector);
            self.padded.resize(self.width, 0.0);
            let first = self.bytes.len();
            self.bytes.resize(first + self.width, 0);
            let row = &mut self.bytes[first..];
            kernels.round_bytes(&self.padded, row);
            let sum = row.iter().map(|&byte| i32::from(byte)).sum();
            self.scales.push((1.0 / (kernels.dot_i8(row, row) as f32).sqrt(), sum));
        }
    }

    fn row(&self, at: usize) -> &[i8] {
        &self.bytes[at * self.width..][..self.width]
    }

    /// `(1 + cos)/2` of each two rows, `[rows, rows]`, in memory that is grown as far as needed.
    pub(super) fn similarities<'m>(&self, memory: &'m mut Vec<f32>) -> &'m [f32] {
        let (count, kernels) = (self.scales.len(), Kernels::get());
        if memory.len() < count * count {
            memory.resize(count * count, 0.0);
        }
        let all = &mut memory[..count * count];
        for (i, (scale, sum)) in self.scales.iter().enumerate() {
            all[i * count + i] = 1.0;
            for first in (0..i).step_by(TOGETHER) {
                // Behind the last one that one is compared again.
                let others: [usize; TOGETHER] = std::array::from_fn(|at| (first + at).min(i - 1));
                let dots = kernels.dot_i8_four(self.row(i), *sum, others.map(|j| as_raw(self.row(j))));
                for (j, dot) in others.into_iter().zip(dots) {
                    let cosine = (dot as f32 * scale * self.scales[j].0).clamp(-1.0, 1.0);
                    let similarity = (1.0 + cosine) / 2.0;
                    all[i * count + j] = similarity;
                    all[j * count + i] = similarity;
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::vectors::{UnitRows, random_vectors};
    use crate::types::SplitMix64;

    /// Vectors of several lengths, some with one component that is far larger than the others.
    #[test]
    fn rounded_rows_are_as_similar_as_the_rows_themselves() {
        const ROWS: usize = 41;
        let mut rng = SplitMix64::new(11);
        let (mut rounded, mut memory) = (RoundedRows::default(), Vec::new());
        for dim in [128_usize, 100, 64, 3] {
            let mut vectors = random_vectors(&mut rng, ROWS, dim);
            for vector in vectors.iter_mut().step_by(5) {
                vector[dim / 2] *= 8.0;
                vector.iter_mut().for_each(|x| *x *= 1e3);
            }
            rounded.fill(vectors.iter().map(Vec::as_slice));
            let similar = rounded.similarities(&mut memory);
            let rows: UnitRows = vectors.iter().map(|vector| Some(&vector[..])).collect();
            for (i, j) in (0..ROWS).flat_map(|i| (0..ROWS).map(move |j| (i, j))) {
                let cosine = rows.cosine(i, j).expect("usable rows");
                let error = (similar[i * ROWS + j] - (1.0 + cosine) / 2.0).abs();
                assert!(error < 0.005, "{dim} dimensions, rows {i} and {j}: off by {error}");
                assert_eq!(similar[i * ROWS + j].to_bits(), similar[j * ROWS + i].to_bits());
            }
        }
    }

    #[test]
    fn no_rows_have_no_similarities() {
        let mut rounded = RoundedRows::default();
        rounded.fill([&[1.0_f32, 0.0][..]].into_iter());
        rounded.fill(std::iter::empty());
        assert!(rounded.similarities(&mut vec![7.0; 9]).is_empty());
    }
}
