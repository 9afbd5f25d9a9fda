//! Which rows of a segment a search may return.

use roaring::RoaringBitmap;

use super::kernels::Kernels;
use super::plan::Asking;

/// Rows up to which the allowed ones are counted rather than estimated.
const COUNTED_ROWS: usize = 4096;
/// Words of the base that are looked at together where few rows are allowed.
const WORDS_AT_ONCE: usize = 4;
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
    places: Option<&'a [u32]>,
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

    /// Sets the column back, `ordinal -> offset`, beside [`Allowed::with_ordinals`]: then the words of the base lead to the few
    /// rows they allow, and not every row has to be asked. A place beyond the rows stands for an ordinal that has none.
    #[must_use]
    pub fn with_places(mut self, places: &'a [u32]) -> Self {
        self.places = Some(places);
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
        } else if self.base.is_some() && self.leads_to_offsets() {
            Asking::Words
        } else {
            Asking::Rows
        }
    }

    /// Whether the offset of an ordinal is known.
    fn leads_to_offsets(&self) -> bool {
        self.ordinals.is_none() || self.places.is_some()
    }

    /// The row of an ordinal, where [`Allowed::leads_to_offsets`]; none of the rows when it has none.
    #[inline(always)]
    fn place(&self, ordinal: u32) -> u32 {
        match self.places.filter(|_| self.ordinals.is_some()) {
            Some(places) => places.get(ordinal as usize).copied().unwrap_or(u32::MAX),
            None => ordinal,
        }
    }

    /// The row of an ordinal that the base allows, and whether it is one below `n` that everything else allows.
    #[inline(always)]
    fn row_of(&self, ordinal: u32, n: usize) -> (u32, bool) {
        let offset = self.place(ordinal);
        let allowed = (offset as usize) < n
            && self.live.is_none_or(|live| bit(live, offset))
            && self.sets_allow(ordinal);
        (offset, allowed)
    }

    /// Whether the sets, other than the base, allow an ordinal.
    #[inline(always)]
    fn sets_allow(&self, ordinal: u32) -> bool {
        self.required.iter().all(|set| set.contains(ordinal))
            && !self.excluded.iter().any(|set| set.contains(ordinal))
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
        self.base.is_none_or(|bits| bit(bits, ordinal)) && self.sets_allow(ordinal)
    }

    /// Adds `mark` to the rows that are not allowed; returns how many are.
    ///
    /// Where only a base decides, what it says decides no branch: each would wait for memory, and be guessed wrong.
    #[inline(always)]
    pub(super) fn mark_rejected(&self, rows: &mut [u32], mark: u32) -> usize {
        let mut kept = 0;
        let mut judge = |row: &mut u32, allows: bool| {
            kept += usize::from(allows);
            *row |= mark * u32::from(!allows);
        };
        match (self.base, self.ordinals) {
            (Some(base), Some(ordinals)) if self.is_base_only() => rows.iter_mut().for_each(|row| {
                let allows = ordinals.get(*row as usize).is_some_and(|&ordinal| bit(base, ordinal));
                judge(row, allows);
            }),
            _ => rows.iter_mut().for_each(|row| {
                let allows = self.contains(*row);
                judge(row, allows);
            }),
        }
        kept
    }

    /// Whether nothing but the base restricts rows.
    pub(super) fn is_base_only(&self) -> bool {
        self.live.is_none() && self.required.is_empty() && self.excluded.is_empty()
    }

    /// The words of the base and the column that leads from ordinals to rows, where both are set.
    pub(super) fn translated_base(&self) -> Option<(&'a [u64], &'a [u32])> {
        self.ordinals?;
        Some((self.base?, self.places?))
    }

    /// Sets the bits of the rows below `n` that the base allows, where [`Allowed::translated_base`]. Cost follows the bits of the base.
    ///
    /// * `marks`: empty words, as many as `n` rows need.
    pub(super) fn mark_base(&self, kernels: &Kernels, n: usize, marks: &mut [u64]) {
        let Some((base, places)) = self.translated_base() else { return };
        kernels.mark_places(base, places, marks);
        // Places beyond the rows may lie in the last word.
        if let Some(last) = marks.last_mut().filter(|_| !n.is_multiple_of(64)) {
            *last &= (1 << (n % 64)) - 1;
        }
    }

    /// Which of the 64 rows from `64 * word` on, below `n`, are allowed: a bit each.
    #[inline(always)]
    pub(super) fn word(&self, word: usize, n: usize) -> u64 {
        let rows = 64 * word..(64 * word + 64).min(n);
        let bits = match (self.ordinals, self.base) {
            (Some(column), base) => {
                let ordinals = column.get(rows.start..rows.end.min(column.len())).unwrap_or(&[]);
                let allows = |ordinal: u32| base.is_none_or(|bits| bit(bits, ordinal));
                ordinals
                    .iter()
                    .enumerate()
                    .fold(0, |bits, (at, &ordinal)| bits | u64::from(allows(ordinal)) << at)
            }
            (None, Some(base)) => base.get(word).copied().unwrap_or(0),
            (None, None) => u64::MAX,
        };
        self.sift_word(bits, word, n)
    }

    /// Of 64 rows that the base allows, those below `n` that live and that the sets allow.
    #[inline(always)]
    pub(super) fn sift_word(&self, mut bits: u64, word: usize, n: usize) -> u64 {
        if n < 64 * word + 64 {
            bits &= (1 << (n % 64)) - 1;
        }
        if let Some(live) = self.live {
            bits &= live.get(word).copied().unwrap_or(0);
        }
        if self.required.is_empty() && self.excluded.is_empty() {
            return bits;
        }
        let mut rest = bits;
        while rest != 0 {
            let row = 64 * word as u32 + rest.trailing_zeros();
            let ordinal = self.ordinals.map_or(Some(row), |column| column.get(row as usize).copied());
            if !ordinal.is_some_and(|ordinal| self.sets_allow(ordinal)) {
                bits &= !(rest & rest.wrapping_neg());
            }
            rest &= rest - 1;
        }
        bits
    }

    /// Estimates how many of rows `0..n` are allowed: exact for small segments and plain bitsets, else from an even sample.
    #[must_use]
    pub fn estimated_count(&self, n: usize) -> usize {
        if self.is_all() {
            return n;
        }
        // Every ordinal below `n` has a row.
        let complete = self.ordinals.is_none() || self.places.is_some_and(|places| places.len() == n);
        if let (Some(bits), None, true, true, true) =
            (self.base, self.live, complete, self.required.is_empty(), self.excluded.is_empty())
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

    /// Lists the allowed rows by the words of the base, where [`Allowed::asking`] says so, and returns whether these are all: it gives up
    /// beyond `few` when as many in the words that are left would be more than `most`, and where many rows of the base are not allowed otherwise.
    pub(super) fn list_few(&self, n: usize, (few, most): (usize, usize), out: &mut Vec<u32>) -> bool {
        out.clear();
        let end = self.places.filter(|_| self.ordinals.is_some()).map_or(n, <[u32]>::len);
        let words = self.base.unwrap_or(&[]);
        let words = &words[..words.len().min(end.div_ceil(64))];
        let mut turned_down = 0;
        for (at, some) in words.chunks(WORDS_AT_ONCE).enumerate() {
            // Where few rows are allowed most words are empty.
            if some.iter().fold(0, |any, word| any | word) == 0 {
                continue;
            }
            for (word, &bits) in (WORDS_AT_ONCE * at..).zip(some) {
                let mut bits = bits;
                while bits != 0 {
                    let ordinal = 64 * word as u32 + bits.trailing_zeros();
                    bits &= bits - 1;
                    let (offset, allowed) = self.row_of(ordinal, n);
                    if allowed {
                        out.push(offset);
                    } else {
                        turned_down += 1;
                    }
                }
            }
            let seen = WORDS_AT_ONCE * at + some.len();
            if out.len() > few && out.len() * words.len() > most * seen || turned_down > COUNTED_ROWS {
                return false;
            }
        }
        true
    }

    /// Calls `visit` with every allowed row below `n`, once, in the order of ordinals where they lead to rows, else of rows; many
    /// at a time.
    pub(super) fn for_each_stretch(&self, n: usize, mut visit: impl FnMut(&[u32])) {
        let mut stretch = Stretch::default();
        let Some(bits) = self.base.filter(|_| self.leads_to_offsets()) else {
            for offset in 0..n as u32 {
                stretch.put(offset, self.contains(offset), &mut visit);
            }
            return stretch.end(&mut visit);
        };
        let end = self.places.filter(|_| self.ordinals.is_some()).map_or(n, <[u32]>::len);
        for (word, &bits) in bits.iter().enumerate().take(end.div_ceil(64)) {
            let mut bits = bits;
            while bits != 0 {
                let ordinal = 64 * word as u32 + bits.trailing_zeros();
                bits &= bits - 1;
                let (offset, allowed) = self.row_of(ordinal, n);
                stretch.put(offset, allowed, &mut visit);
            }
        }
        stretch.end(&mut visit);
    }
}

/// Rows that are handed over together.
pub(super) const STRETCH: usize = 32;

/// Rows on their way to whoever looks at many at a time.
#[derive(Default)]
struct Stretch {
    rows: [u32; STRETCH],
    len: usize,
}

impl Stretch {
    /// Takes a row if it is allowed, without a branch that depends on it.
    #[inline(always)]
    fn put(&mut self, row: u32, allowed: bool, visit: &mut impl FnMut(&[u32])) {
        self.rows[self.len] = row;
        self.len += usize::from(allowed);
        if self.len == STRETCH {
            visit(&self.rows);
            self.len = 0;
        }
    }

    fn end(&self, visit: &mut impl FnMut(&[u32])) {
        if self.len > 0 {
            visit(&self.rows[..self.len]);
        }
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
    Kernels::get().count_bits(&bits[..whole]) + tail as usize
}

#[cfg(test)]
mod tests;
