//! Which rows of a segment a search may return.

use roaring::RoaringBitmap;

use super::plan::Asking;

/// Rows up to which the allowed ones are counted rather than estimated.
const COUNTED_ROWS: usize = 4096;
/// Rows looked at for an estimate: the first few are enough where many of them are allowed.
const SAMPLED_ROWS: [usize; 2] = [128, 1024];
/// Allowed rows among the first few that are enough.
const ENOUGH: usize = 64;

/// The rows a search may return, as the intersection of what is set; everything when nothing is.
///
/// Rules speak ordinals of the shard and are looked up through the segment's column, for the rows a search comes
/// upon: nothing is translated for a request.
#[derive(Clone, Debug, Default)]
pub struct Allowed<'a> {
    ordinals: Option<&'a [u32]>,
    live: Option<&'a [u64]>,
    base: Option<&'a [u64]>,
    required: Vec<&'a RoaringBitmap>,
    excluded: Vec<&'a RoaringBitmap>,
}

impl<'a> Allowed<'a> {
    /// Allows every row; ordinals are offsets.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Sets the column `offset -> ordinal` that the other sets are looked up through. A row beyond its end is not allowed.
    #[must_use]
    pub fn with_ordinals(mut self, ordinals: &'a [u32]) -> Self {
        self.ordinals = Some(ordinals);
        self
    }

    /// Allows only rows whose bit is set, by *offset*: rows of the segment that were not replaced or deleted.
    #[must_use]
    pub fn with_live(mut self, live: &'a [u64]) -> Self {
        self.live = Some(live);
        self
    }

    /// Allows only rows whose ordinal has its bit set: the hard rules, usually cached. Bits beyond the end are 0.
    #[must_use]
    pub fn with_base(mut self, base: &'a [u64]) -> Self {
        self.base = Some(base);
        self
    }

    /// Allows only rows whose ordinal is in `set` as well.
    #[must_use]
    pub fn with_required(mut self, set: &'a RoaringBitmap) -> Self {
        self.required.push(set);
        self
    }

    /// Allows no row whose ordinal is in `set`; meant for sets that are small beside the segment (heard, blocked).
    #[must_use]
    pub fn with_excluded(mut self, set: &'a RoaringBitmap) -> Self {
        if !set.is_empty() {
            self.excluded.push(set);
        }
        self
    }

    /// Whether every row is allowed.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.live.is_none() && self.base.is_none() && self.required.is_empty() && self.excluded.is_empty()
    }

    /// How a scan finds the allowed rows.
    pub(super) fn asking(&self) -> Asking {
        if self.is_all() {
            Asking::Nothing
        } else if self.base.is_some() && self.ordinals.is_none() && self.live.is_none() {
            Asking::Words
        } else {
            Asking::Rows
        }
    }

    /// Whether a row may be returned.
    #[inline(always)]
    #[must_use]
    pub fn contains(&self, offset: u32) -> bool {
        if self.live.is_some_and(|bits| !bit(bits, offset)) {
            return false;
        }
        let ordinal = match self.ordinals {
            None => offset,
            Some(column) => match column.get(offset as usize) {
                Some(&ordinal) => ordinal,
                None => return false,
            },
        };
        self.base.is_none_or(|bits| bit(bits, ordinal))
            && self.required.iter().all(|set| set.contains(ordinal))
            && !self.excluded.iter().any(|set| set.contains(ordinal))
    }

    /// Estimates how many of rows `0..n` are allowed: exact for small segments and plain bitsets, else from an even sample.
    #[must_use]
    pub fn estimated_count(&self, n: usize) -> usize {
        if self.is_all() {
            return n;
        }
        if let (Some(bits), None, None, true, true) =
            (self.base, self.ordinals, self.live, self.required.is_empty(), self.excluded.is_empty())
        {
            return count_bits(bits, n);
        }
        if n <= COUNTED_ROWS {
            return (0..n as u32).filter(|&offset| self.contains(offset)).count();
        }
        // A step by the golden ratio visits the rows evenly without being in step with any period of theirs.
        let stride = 0.618_033_988_749_894_9 * n as f64;
        let asked = |i: &usize| self.contains(((*i as f64 * stride) % n as f64) as u32);
        let first = (0..SAMPLED_ROWS[0]).filter(asked).count();
        if first >= ENOUGH {
            return first * n / SAMPLED_ROWS[0];
        }
        let found = first + (SAMPLED_ROWS[0]..SAMPLED_ROWS[1]).filter(asked).count();
        // At least one: an empty sample does not prove an empty set.
        (found * n / SAMPLED_ROWS[1]).max(1)
    }

    /// Calls `visit` with every allowed row below `n`, in order.
    pub(super) fn for_each(&self, n: usize, mut visit: impl FnMut(u32)) {
        if let (Some(bits), None, None) = (self.base, self.ordinals, self.live) {
            let rest = Self { base: None, ..self.clone() };
            let plain = rest.is_all();
            for (word, &bits) in bits.iter().enumerate().take(n.div_ceil(64)) {
                let mut bits = bits;
                while bits != 0 {
                    let offset = 64 * word as u32 + bits.trailing_zeros();
                    bits &= bits - 1;
                    if (offset as usize) < n && (plain || rest.contains(offset)) {
                        visit(offset);
                    }
                }
            }
            return;
        }
        (0..n as u32).filter(|&offset| self.contains(offset)).for_each(visit);
    }
}

/// Reads one bit; those beyond the end are 0.
#[inline(always)]
fn bit(bits: &[u64], at: u32) -> bool {
    bits.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// Counts the set bits below `n`.
fn count_bits(bits: &[u64], n: usize) -> usize {
    let whole = (n / 64).min(bits.len());
    let tail = bits.get(whole).map_or(0, |word| (word & ((1u64 << (n % 64)) - 1)).count_ones());
    bits[..whole].iter().map(|word| word.count_ones() as usize).sum::<usize>() + tail as usize
}
