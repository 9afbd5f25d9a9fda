//! Small sets of unit vectors in memory: what diversity, seeds and medoids compare.
//!
//! Sums are added in one fixed order, so that every processor gives the same result.

use std::sync::atomic::{AtomicU32, Ordering};

use segue_index::kernels::{Kernels, prefetch};

/// A vector where it lies, and what scales it to unit length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnitRow<'a> {
    vector: &'a [f32],
    scale: f32,
}

impl<'a> UnitRow<'a> {
    /// The vector as it is stored.
    #[must_use]
    pub fn vector(self) -> &'a [f32] {
        self.vector
    }

    /// Cosine of two rows.
    #[must_use]
    pub fn cosine(self, other: UnitRow<'_>) -> f32 {
        dot(self.vector, other.vector) * self.scale * other.scale
    }
}

/// Rows of one dimension that are compared by direction; a row may be absent (a track without a vector). No vector is
/// copied, or read before it is compared: a request holds hundreds and need not compare them all.
#[derive(Debug, Clone, Default)]
pub struct UnitRows<'a> {
    dim: usize,
    rows: Vec<Option<UnreadRow<'a>>>,
}

/// A vector, and what scales it once somebody has asked.
#[derive(Debug, Clone)]
struct UnreadRow<'a> {
    vector: &'a [f32],
    scale: Scale,
}

/// What scales a vector, worked out when first asked for. Several threads may work it out at once, to the same end.
#[derive(Debug)]
struct Scale(AtomicU32);

impl Scale {
    /// Bits of no scale: nobody has asked.
    const UNREAD: u32 = u32::MAX;
    /// Bits of zero: the vector cannot be compared.
    const UNUSABLE: u32 = 0;

    fn is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed) != Self::UNREAD
    }

    fn of(&self, vector: &[f32]) -> Option<f32> {
        let mut bits = self.0.load(Ordering::Relaxed);
        if bits == Self::UNREAD {
            bits = usable_scale(vector).map_or(Self::UNUSABLE, f32::to_bits);
            self.0.store(bits, Ordering::Relaxed);
        }
        (bits != Self::UNUSABLE).then(|| f32::from_bits(bits))
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self(AtomicU32::new(Self::UNREAD))
    }
}

impl Clone for Scale {
    fn clone(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }
}

impl<'a> UnitRows<'a> {
    /// No rows yet, of dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { dim, rows: Vec::new() }
    }

    /// No rows yet, with room for `rows`.
    #[must_use]
    pub fn with_capacity(dim: usize, rows: usize) -> Self {
        Self { dim, rows: Vec::with_capacity(rows) }
    }

    /// Adds a row. `None` and another dimension are kept as an absent row, so that rows stay beside the candidates they belong
    /// to.
    pub fn push(&mut self, vector: Option<&'a [f32]>) {
        let vector = vector.filter(|vector| vector.len() == self.dim);
        self.rows.push(vector.map(|vector| UnreadRow { vector, scale: Scale::default() }));
    }

    /// Whether a row is there, be it one that cannot be compared. Reads no vector.
    #[must_use]
    pub fn is_present(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(Option::is_some)
    }

    /// Asks memory for a row that has not been compared yet, and will be soon.
    pub fn expect(&self, row: usize) {
        if let Some(Some(unread)) = self.rows.get(row)
            && !unread.scale.is_read()
        {
            prefetch(unread.vector);
        }
    }

    /// The number of rows, absent ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row; `None` when absent or out of range, and of a vector that is zero, not finite, or so long or short that dot
    /// products leave the range of `f32`.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<UnitRow<'a>> {
        let UnreadRow { vector, scale } = self.rows.get(row)?.as_ref()?;
        scale.of(vector).map(|scale| UnitRow { vector, scale })
    }

    /// The rows in another order (or some of them): row `i` of the result is row `order[i]` of these. Places out of
    /// range become absent rows.
    #[must_use]
    pub fn select(&self, order: &[usize]) -> Self {
        Self { dim: self.dim, rows: order.iter().map(|&row| self.rows.get(row).cloned().flatten()).collect() }
    }

    /// Cosine of two rows; `None` when one is absent.
    #[must_use]
    pub fn cosine(&self, a: usize, b: usize) -> Option<f32> {
        Some(self.row(a)?.cosine(self.row(b)?))
    }
}

impl<'a> FromIterator<Option<&'a [f32]>> for UnitRows<'a> {
    /// Rows of the first present vector's dimension.
    fn from_iter<I: IntoIterator<Item = Option<&'a [f32]>>>(vectors: I) -> Self {
        let vectors: Vec<Option<&[f32]>> = vectors.into_iter().collect();
        let dim = vectors.iter().flatten().next().map_or(0, |vector| vector.len());
        let mut rows = Self::with_capacity(dim, vectors.len());
        vectors.into_iter().for_each(|vector| rows.push(vector));
        rows
    }
}

/// Dot product over the shorter length, added in the one order that the index adds in on every processor.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let len = a.len().min(b.len());
    Kernels::get().dot_f32(&a[..len], &b[..len])
}

/// One over the length of a vector that can be compared in `f32`: squares of lengths from 1e-15 to 1e15 are in its range, and
/// those of others, or of what is not finite, are not.
fn usable_scale(vector: &[f32]) -> Option<f32> {
    let scale = 1.0 / f64::from(dot(vector, vector)).sqrt();
    (1e-15..=1e15).contains(&scale).then_some(scale as f32)
}

/// One over the Euclidean length, in f64; `None` for a zero vector or one that is not finite.
fn inverse_norm(vector: &[f32]) -> Option<f64> {
    let square = |x: f32| f64::from(x) * f64::from(x);
    // Eight sums side by side, so that an addition need not wait for the one before.
    let (chunks, rest) = vector.as_chunks::<8>();
    let mut lanes = [0.0_f64; 8];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane += square(x));
    }
    let squares: f64 = lanes.iter().sum::<f64>() + rest.iter().map(|&x| square(x)).sum::<f64>();
    let scale = 1.0 / squares.sqrt();
    (squares > 0.0 && scale.is_finite() && scale > 0.0).then_some(scale)
}

/// The weighted sum of vectors after each is scaled to unit length, scaled to unit length again.
///
/// Weights may be negative. `None` when nothing is left: no usable vector, or a sum of zero. The first usable
/// vector decides the dimension; vectors of another one are left out.
#[must_use]
pub fn unit_sum<'a>(vectors: impl IntoIterator<Item = (&'a [f32], f64)>) -> Option<Vec<f32>> {
    let mut sum: Vec<f64> = Vec::new();
    for (vector, weight) in vectors {
        let Some(scale) = inverse_norm(vector).filter(|_| weight.is_finite()) else { continue };
        if sum.is_empty() {
            sum.resize(vector.len(), 0.0);
        }
        if sum.len() == vector.len() {
            for (total, &component) in sum.iter_mut().zip(vector) {
                *total += weight * scale * f64::from(component);
            }
        }
    }
    let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    // Below this length the sum is what rounding left of vectors that cancel out.
    (norm > 1e-6).then(|| sum.iter().map(|x| (x / norm) as f32).collect())
}

/// Vectors of normal components, for the tests of the stages.
#[cfg(test)]
pub(crate) fn random_vectors(rng: &mut crate::types::SplitMix64, count: usize, dim: usize) -> Vec<Vec<f32>> {
    (0..count).map(|_| (0..dim).map(|_| rng.normal() as f32).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_is_exact_on_integers_of_every_length() {
        for len in 0..=70_u16 {
            let a: Vec<f32> = (0..len).map(f32::from).collect();
            let expected: f32 = (0..len).map(|i| f32::from(i) * f32::from(i)).sum();
            assert_eq!(dot(&a, &a), expected, "length {len}");
        }
    }

    #[test]
    fn unusable_vectors_become_absent_rows() {
        let mut rows = UnitRows::new(2);
        for vector in [Some(&[3.0, 4.0][..]), None, Some(&[0.0, 0.0]), Some(&[f32::NAN, 1.0]), Some(&[1.0])] {
            rows.push(vector);
        }
        rows.push(Some(&[1.0, 0.0]));
        assert!((rows.cosine(0, 5).unwrap_or(0.0) - 0.6).abs() < 1e-6);
        assert!((1..5).all(|row| rows.row(row).is_none()));
        assert_eq!((rows.len(), rows.cosine(0, 1)), (6, None));
        let mut extreme = UnitRows::new(2);
        [[1e20, -1e20], [1e-20, 1e-20], [1e14, 1e14]].iter().for_each(|vector| extreme.push(Some(vector)));
        assert_eq!([0, 1, 2].map(|row| extreme.row(row).is_some()), [false, false, true]);
        let selected = rows.select(&[2, 0, 9]);
        assert_eq!((selected.len(), selected.row(0), selected.row(2)), (3, None, None));
        assert_eq!(selected.row(1), rows.row(0));
    }

    #[test]
    fn sums_that_cancel_out_are_nothing() {
        assert_eq!(
            unit_sum([(&[2.0, 0.0][..], 1.0), (&[0.0, 5.0], 1.0)]).map(|q| q[0]),
            Some(0.5_f32.sqrt())
        );
        assert_eq!(unit_sum([(&[1.0, 0.1][..], 1.0), (&[2.0, 0.2], -1.0)]), None);
        assert_eq!(unit_sum([]), None);
    }
}
