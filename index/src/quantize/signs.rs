//! One-bit codes of the nodes a walk may start from, relative to their centre: two dozen bytes a node that say roughly how
//! it scores, so that only the most promising are looked at by their own codes.
//!
//! They are what [`super::neighbors`] keeps of a node's neighbours, relative to the mean of the nodes (RaBitQ,
//! arXiv:2405.12497): `score(v) = score(centre) + constant + slope·<q, signs>`, unbiased. The query is rounded to numbers of
//! four bits, kept as four planes of bits: a product is a count of bits.
//!
//! ```text
//! slope f32 | constant f32 | padded_dim bits: coordinate i is bit i % 64 of word i / 64       little-endian
//! ```

use super::neighbors;
use crate::Metric;
use crate::kernels::{Kernels, SIGN_HEAD_BYTES, SignScale};

/// Largest number a coordinate of the query is rounded to.
const LARGEST: f32 = 7.0;

/// Bytes of one record.
pub fn record_bytes(padded_dim: usize) -> usize {
    SIGN_HEAD_BYTES + padded_dim / 8
}

/// Writes the record of a rotated vector into `record`, `[record_bytes]`.
pub fn encode(metric: Metric, center: &[f32], rotated: &[f32], record: &mut [u8]) {
    let (slope, constant) = neighbors::factors(metric, center, rotated);
    record[..4].copy_from_slice(&slope.to_le_bytes());
    record[4..8].copy_from_slice(&constant.to_le_bytes());
    let pairs = center.chunks_exact(64).zip(rotated.chunks_exact(64));
    for (word, (center, vector)) in record[SIGN_HEAD_BYTES..].as_chunks_mut::<8>().0.iter_mut().zip(pairs) {
        let bits = center.iter().zip(vector).enumerate();
        *word = bits.fold(0u64, |bits, (at, (c, x))| bits | u64::from(x >= c) << at).to_le_bytes();
    }
}

/// A query ready for estimates from records.
#[derive(Clone, Debug, Default)]
pub struct SignQuery {
    /// Four planes of `padded_dim` bits.
    planes: Vec<u64>,
    scale: SignScale,
}

impl SignQuery {
    /// Takes over a rotated query, `[padded_dim]`.
    pub fn set(&mut self, rotated: &[f32]) {
        let largest = rotated.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let (step, inverse) = if largest > 0.0 { (largest / LARGEST, LARGEST / largest) } else { (0.0, 0.0) };
        let words = rotated.len() / 64;
        self.planes.clear();
        self.planes.resize(4 * words, 0);
        let mut sum = 0;
        for (at, numbers) in rotated.chunks_exact(64).enumerate() {
            let mut planes = [0u64; 4];
            for (bit, x) in numbers.iter().enumerate() {
                let x = x * inverse;
                let rounded = (x + 0.5f32.copysign(x)) as i32;
                sum += rounded;
                for (plane, bits) in planes.iter_mut().enumerate() {
                    *bits |= (rounded as u64 >> plane & 1) << bit;
                }
            }
            (0..4).for_each(|plane| self.planes[words * plane + at] = planes[plane]);
        }
        // Signs are plus or minus one: twice what is set less everything.
        self.scale = SignScale { step: 2.0 * step, offset: -step * sum as f32, base: 0.0 };
    }

    /// Takes over the centre of the entries, `[padded_dim]`, for the query set before.
    pub fn set_center(&mut self, kernels: &Kernels, metric: Metric, rotated: &[f32], center: &[f32]) {
        let product = kernels.dot_f32(rotated, center);
        self.scale.base =
            if metric == Metric::L2 { 2.0 * product - kernels.dot_f32(center, center) } else { product };
    }

    /// Estimates the scores of as many nodes as there are records.
    pub fn estimate(&self, kernels: &Kernels, records: &[u8], out: &mut [f32]) {
        kernels.sign_scores(&self.planes, records, &self.scale, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;

    #[test]
    fn estimates_are_unbiased_and_as_wide_as_the_paper_says() {
        let (seed, dim) = (11, 256);
        let mut random = SplitMix64::new(seed);
        let mut draw = |size: f64, about: &[f32]| -> Vec<f32> {
            about.iter().map(|c| c + (size * random.normal()) as f32).collect()
        };
        let kernels = Kernels::get();
        let center = draw(1.0, &vec![0.0; dim]);
        for metric in [Metric::Cosine, Metric::Ip, Metric::L2] {
            let (mut bias, mut square, mut expected, count) = (0.0, 0.0, 0.0, 2000);
            for _ in 0..count {
                let (query, vector) = (draw(0.7, &center), draw(0.5, &center));
                let mut record = vec![0; record_bytes(dim)];
                encode(metric, &center, &vector, &mut record);
                let mut form = SignQuery::default();
                form.set(&query);
                form.set_center(kernels, metric, &query, &center);
                let mut estimate = [0.0];
                form.estimate(kernels, &record, &mut estimate);
                let product = kernels.dot_f32(&query, &vector);
                let score = match metric {
                    Metric::L2 => 2.0 * product - kernels.dot_f32(&vector, &vector),
                    _ => product,
                };
                let error = f64::from(estimate[0] - score);
                bias += error / f64::from(count);
                square += error * error / f64::from(count);
                // Of a product of `query - center` and `vector - center` the angle to the signs loses sqrt(1 - 2/pi), over
                // sqrt(2/pi); for L2 the product counts twice.
                let twice = if metric == Metric::L2 { 2.0 } else { 1.0 };
                let spread = twice * 0.756 * 0.7 * 0.5 * (dim as f64).sqrt();
                expected += spread * spread / f64::from(count);
            }
            let (deviation, expected) = (square.sqrt(), f64::sqrt(expected));
            assert!(
                bias.abs() < 4.0 * expected / f64::from(count).sqrt(),
                "{metric} bias {bias} seed {seed}"
            );
            assert!(
                (0.85..1.3).contains(&(deviation / expected)),
                "{metric} {deviation} {expected} seed {seed}"
            );
        }
    }
}
