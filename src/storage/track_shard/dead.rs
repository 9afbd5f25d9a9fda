//! Rows of a vector segment that are dead, and the bits that searches ask.

use std::ops::Deref;
use std::sync::OnceLock;

use roaring::RoaringBitmap;

/// Rows that newer rows have replaced or that were deleted, by offset; read as the bitmap it holds.
///
/// Searches ask for a bit a row. Making these for each search costs a pass over all dead rows, which are half of a segment once a shard
/// was split (lists took 13 ms instead of 5, benches/RESULTS.md), so they are made once, and kept up to date from then on. Memory: an eighth of a
/// byte a row of each version that was searched while it had dead rows.
#[derive(Debug, Clone, Default)]
pub struct DeadRows {
    rows: RoaringBitmap,
    live: OnceLock<Vec<u64>>,
}

impl DeadRows {
    /// Adds a row; whether it is new.
    pub fn insert(&mut self, offset: u32) -> bool {
        let word = self.live.get_mut().and_then(|words| words.get_mut(offset as usize / 64));
        word.into_iter().for_each(|word| *word &= !(1 << (offset % 64)));
        self.rows.insert(offset)
    }

    /// A bit for each of the segment's rows that is not dead, always for the same number of rows; `None` when all are live.
    pub fn live(&self, rows: usize) -> Option<&[u64]> {
        if self.rows.is_empty() {
            return None;
        }
        Some(self.live.get_or_init(|| {
            let mut words = vec![u64::MAX; rows.div_ceil(64)];
            for offset in &self.rows {
                if let Some(word) = words.get_mut(offset as usize / 64) {
                    *word &= !(1 << (offset % 64));
                }
            }
            words
        }))
    }
}

impl Deref for DeadRows {
    type Target = RoaringBitmap;

    fn deref(&self) -> &RoaringBitmap {
        &self.rows
    }
}

impl From<RoaringBitmap> for DeadRows {
    fn from(rows: RoaringBitmap) -> Self {
        Self { rows, live: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_rows_whenever_they_are_asked_for() {
        assert_eq!(DeadRows::default().live(100), None);
        let mut dead = DeadRows::from(RoaringBitmap::from_iter([3, 64, 99]));
        let expected = |dead: &DeadRows| -> Vec<bool> { (0..100).map(|row| !dead.contains(row)).collect() };
        let bits = |dead: &DeadRows| -> Vec<bool> {
            let words = dead.live(100).expect("some are dead").to_vec();
            (0..100).map(|row| words[row / 64] >> (row % 64) & 1 == 1).collect()
        };
        assert_eq!(bits(&dead), expected(&dead));
        let before = dead.clone();
        assert!(dead.insert(17) && !dead.insert(64) && dead.insert(4_000));
        assert_eq!((dead.len(), before.len()), (5, 3));
        assert_eq!(bits(&dead), expected(&dead), "a row that came later");
        assert_eq!(bits(&before), expected(&before), "a version of before");
    }
}
