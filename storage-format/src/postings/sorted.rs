//! `(value, row)` pairs in order of value.

use std::{cmp::Ordering, ops::Bound, ops::RangeBounds};

use crate::{
    columns::FixedValue,
    container::{Block, SegmentFile},
    error::FormatError,
    postings::PartType,
};

/// A value that ranges can be asked of: `f32` or `i32`.
pub trait SortedValue: FixedValue {
    /// The type of such a part.
    const PART: PartType;

    /// Total order: numeric, and for `f32` minus zero below zero.
    fn order(self, other: Self) -> Ordering;

    /// True for the one value that has no place in an order.
    fn is_nan(self) -> bool;
}

impl SortedValue for f32 {
    const PART: PartType = PartType::SortedF32;

    fn order(self, other: Self) -> Ordering {
        self.total_cmp(&other)
    }

    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

impl SortedValue for i32 {
    const PART: PartType = PartType::SortedI32;

    fn order(self, other: Self) -> Ordering {
        self.cmp(&other)
    }

    fn is_nan(self) -> bool {
        false
    }
}

/// A sorted part of a file of postings.
#[derive(Debug, Clone, Copy)]
pub struct Sorted<'a, V> {
    values: &'a [V],
    rows: &'a [u32],
}

impl<'a, V: SortedValue> Sorted<'a, V> {
    pub(super) fn view(file: &'a SegmentFile, values: &Block, rows: &Block) -> Result<Self, FormatError> {
        Ok(Self { values: file.elements(values)?, rows: file.elements(rows)? })
    }

    /// Checks order and range of all pairs.
    pub(super) fn check(&self, file: &SegmentFile, block: &Block, universe: u64) -> Result<(), FormatError> {
        if self.values.len() != self.rows.len() {
            return Err(file.malformed(block, "sorted values and their rows differ in number"));
        }
        if self.values.iter().any(|value| value.is_nan()) {
            return Err(file.malformed(block, "a sorted value is nan"));
        }
        let pairs = self.values.iter().zip(self.rows);
        if !pairs.is_sorted_by(|left, right| left.0.order(*right.0).then(left.1.cmp(right.1)).is_le()) {
            return Err(file.malformed(block, "sorted values are not in order"));
        }
        match self.rows.iter().find(|&&row| u64::from(row) >= universe) {
            Some(&row) => Err(file.out_of_range("row of a sorted value", u64::from(row), universe)),
            None => Ok(()),
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True when there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values, ascending.
    pub fn values(&self) -> &'a [V] {
        self.values
    }

    /// All rows, in order of their values.
    pub fn rows(&self) -> &'a [u32] {
        self.rows
    }

    /// Returns the rows whose value lies in `range`, in order of value; the length of the slice is the exact
    /// number of pairs, known before any is read. Zero and minus zero are equal here; a bound that is NaN, or
    /// bounds in the wrong order, give none.
    pub fn range(&self, range: impl RangeBounds<V>) -> &'a [u32] {
        let below = |value: V, limit: V| value < limit;
        let (start, end) = (range.start_bound(), range.end_bound());
        let is_nan =
            |bound: Bound<&V>| matches!(bound, Bound::Included(v) | Bound::Excluded(v) if v.is_nan());
        if is_nan(start) || is_nan(end) {
            return &[];
        }
        let start = match start {
            Bound::Unbounded => 0,
            Bound::Included(limit) => self.values.partition_point(|value| below(*value, *limit)),
            Bound::Excluded(limit) => self.values.partition_point(|value| !below(*limit, *value)),
        };
        let end = match end {
            Bound::Unbounded => self.values.len(),
            Bound::Included(limit) => self.values.partition_point(|value| !below(*limit, *value)),
            Bound::Excluded(limit) => self.values.partition_point(|value| below(*value, *limit)),
        };
        self.rows.get(start..end).unwrap_or_default()
    }
}
