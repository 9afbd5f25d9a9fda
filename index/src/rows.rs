//! Full-precision vectors, `[n, dim]` f32 with a row stride, borrowed from memory or from a mapped file.

use super::error::IndexError;

/// A row's position among those of one index or scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentOffset(pub u32);

/// Rows of f32 with a stride.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a [f32],
    n: usize,
    dim: usize,
    stride: usize,
}

impl<'a> Rows<'a> {
    /// Takes `n` rows of `dim` numbers, `stride` numbers apart.
    ///
    /// # Errors
    /// [`IndexError::Parameter`] when the slice is too short, the stride smaller than `dim`, or `dim` is not in 1..=4096.
    pub fn new(data: &'a [f32], n: usize, dim: usize, stride: usize) -> Result<Self, IndexError> {
        let bad = |name, value: usize, message| {
            Err(IndexError::Parameter { name, value: value.to_string(), message })
        };
        if dim == 0 || dim > 4096 {
            return bad("dim", dim, "must be 1 to 4096");
        }
        if stride < dim {
            return bad("stride", stride, "must be at least the dimension");
        }
        let needed =
            if n == 0 { Some(0) } else { (n - 1).checked_mul(stride).and_then(|x| x.checked_add(dim)) };
        if needed.is_none_or(|needed| data.len() < needed) {
            return bad("n", n, "the vectors end before the last row");
        }
        Ok(Self { data, n, dim, stride })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One row.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &'a [f32] {
        let at = i * self.stride;
        &self.data[at..at + self.dim]
    }
}
