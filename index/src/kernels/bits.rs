//! Loops over sets of rows kept as bits, which every instruction set compiles for itself from the same lines: counting and finding
//! bits are single instructions on some and a dozen on others.

use super::Kernels;

/// Bits whose places are looked up together.
const PIECE: usize = 256;

impl Kernels {
    /// Counts the bits that are set.
    #[inline]
    pub fn count_bits(&self, words: &[u64]) -> usize {
        (self.count_bits)(words)
    }

    /// Sets for each bit of `words` the bit of its place in `marks`; places beyond `marks` are none.
    ///
    /// * `places`: for each bit; bits beyond its end are passed over.
    #[inline]
    pub fn mark_places(&self, words: &[u64], places: &[u32], marks: &mut [u64]) {
        (self.mark_places)(words, places, marks);
    }
}

/// See [`super::Kernels::count_bits`].
#[inline(always)]
pub(super) fn count_bits(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// Writes the places of the bits of a word, counted from `first`, to `out` from `len` on, where there is room for 64, and returns
/// where they end.
///
/// `AT_ONCE` at a time, so that no branch depends on every single bit.
#[inline(always)]
fn write_bits<const AT_ONCE: usize>(mut word: u64, first: u32, out: &mut [u32], len: usize) -> usize {
    let end = len + word.count_ones() as usize;
    for some in out[len..len + 64].as_chunks_mut::<AT_ONCE>().0 {
        for place in some {
            *place = first.wrapping_add(word.trailing_zeros());
            word &= word.wrapping_sub(1);
        }
        if word == 0 {
            break;
        }
    }
    end
}

/// See [`super::Kernels::mark_places`].
#[inline(always)]
pub(super) fn mark_places(words: &[u64], places: &[u32], marks: &mut [u64]) {
    // How many bits a word has in the beginning says how many to write at once.
    let first = &words[..words.len().min(64)];
    if count_bits(first) < 2 * first.len() {
        mark_by::<2>(words, places, marks);
    } else {
        mark_by::<8>(words, places, marks);
    }
}

#[inline(always)]
fn mark_by<const AT_ONCE: usize>(words: &[u64], places: &[u32], marks: &mut [u64]) {
    let (mut bits, mut len) = ([0u32; PIECE + 64], 0);
    let mut mark = |bits: &[u32]| {
        for &bit in bits {
            let place = places.get(bit as usize).copied().unwrap_or(u32::MAX);
            if let Some(word) = marks.get_mut(place as usize / 64) {
                *word |= 1 << (place % 64);
            }
        }
    };
    for (at, &word) in words.iter().enumerate().take(places.len().div_ceil(64)) {
        len = write_bits::<AT_ONCE>(word, 64 * at as u32, &mut bits, len);
        if len >= PIECE {
            mark(&bits[..len]);
            len = 0;
        }
    }
    mark(&bits[..len]);
}
