//! Making a query ready: loops that every instruction set compiles for itself from the same lines.

use super::{Kernels, TABLE_MAX};

impl Kernels {
    /// Applies the orthonormal fast Walsh-Hadamard transform. The length is a power of two, at least 64.
    #[inline]
    pub fn hadamard(&self, numbers: &mut [f32]) {
        assert!(numbers.len().is_power_of_two() && numbers.len() >= 64);
        (self.hadamard)(numbers);
    }

    /// Rounds finite numbers to signed bytes so that the largest in size becomes 127, and returns its size. Lengths are
    /// equal multiples of 64.
    #[inline]
    pub fn round_bytes(&self, numbers: &[f32], out: &mut [i8]) -> f32 {
        assert!(numbers.len() == out.len() && numbers.len().is_multiple_of(64));
        (self.round_bytes)(numbers, out)
    }

    /// Writes for each four of some finite numbers the sixteen sums with every choice of signs, from minus to plus the largest
    /// sum as 0 to [`TABLE_MAX`], and returns that largest sum. Bit `i` of an entry's place is set where number `i` is added.
    ///
    /// * `table`: four times as long as `numbers`, which is a multiple of 64.
    #[inline]
    pub fn sign_table(&self, numbers: &[f32], table: &mut [u8]) -> f32 {
        assert!(table.len() == 4 * numbers.len() && numbers.len().is_multiple_of(64));
        (self.sign_table)(numbers, table)
    }
}

/// Lanes a largest value is looked for in.
const LANES: usize = 16;

/// The largest of some numbers that are not negative; none is not a number.
#[inline(always)]
fn largest(numbers: impl Iterator<Item = [f32; LANES]>) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [0.0f32; LANES];
    for sixteen in numbers {
        for (lane, x) in lanes.iter_mut().zip(sixteen) {
            *lane = larger(*lane, x);
        }
    }
    lanes.into_iter().fold(0.0, larger)
}

/// Orthonormal fast Walsh-Hadamard transform of a power-of-two length of at least 64.
#[inline(always)]
pub(super) fn hadamard(x: &mut [f32]) {
    // The first two stages in one: pairs, then pairs of pairs.
    for quad in x.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *quad;
        let (e, f, g, h) = (a + b, a - b, c + d, c - d);
        *quad = [e + g, f + h, e - g, f - h];
    }
    let mut half = 4;
    while half < x.len() {
        for pair in x.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (x.len() as f32).sqrt();
    x.iter_mut().for_each(|v| *v *= scale);
}

/// See [`super::Kernels::round_bytes`].
#[inline(always)]
pub(super) fn round_bytes(numbers: &[f32], out: &mut [i8]) -> f32 {
    let largest = largest(numbers.as_chunks::<LANES>().0.iter().map(|chunk| chunk.map(f32::abs)));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    for (byte, x) in out.iter_mut().zip(numbers) {
        let x = x * inverse;
        // Rounds what is below 2^23; `round` is a call on processors of the base line.
        *byte = (x + 0.5f32.copysign(x)) as i32 as i8;
    }
    largest
}

/// The sign that each bit of a nibble stands for.
const SIGNS: [[f32; 16]; 4] = {
    let mut signs = [[-1.0; 16]; 4];
    let mut at = 0;
    while at < 64 {
        if (at % 16) >> (at / 16) & 1 == 1 {
            signs[at / 16][at % 16] = 1.0;
        }
        at += 1;
    }
    signs
};

/// See [`super::Kernels::sign_table`].
#[inline(always)]
pub(super) fn sign_table(numbers: &[f32], table: &mut [u8]) -> f32 {
    let absolute = |sixteen: &[f32; LANES]| {
        let mut sums = [0.0; LANES];
        for (sum, four) in sums.iter_mut().zip(sixteen.as_chunks::<4>().0) {
            *sum = ((four[0].abs() + four[1].abs()) + four[2].abs()) + four[3].abs();
        }
        sums
    };
    let largest = largest(numbers.as_chunks::<LANES>().0.iter().map(absolute));
    let inverse = if largest > 0.0 { f32::from(TABLE_MAX) / (2.0 * largest) } else { 0.0 };
    for (four, entries) in numbers.as_chunks::<4>().0.iter().zip(table.as_chunks_mut::<16>().0) {
        for (nibble, entry) in entries.iter_mut().enumerate() {
            let signed = |i: usize| SIGNS[i][nibble] * four[i];
            let sum = (signed(0) + signed(1)) + (signed(2) + signed(3));
            // Not negative, so this rounds.
            *entry = ((sum + largest) * inverse + 0.5) as i32 as u8;
        }
    }
    largest
}
