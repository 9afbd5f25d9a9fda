//! The loops that touch vectors and codes, one version per instruction set.
//!
//! Every kernel exists as a portable [`scalar`] function and, on x86-64, as AVX2 and AVX-512 functions.
//! The version is chosen once per process. Invariants:
//!
//! * A kernel gives *the same bits* on every instruction set. Integer kernels are exact; float kernels
//!   use one fixed order of separate multiplications and additions (32 lanes, then a fixed tree).
//!   Scores, and so the order of results, do not depend on the machine.
//! * The functions here check the lengths of their slices; the versions behind them rely on it.
//!
//! Absent on purpose: metrics, thresholds that depend on a query, and anything about graphs.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bits;
mod block;
mod each;
mod prefetch;
mod prepare;
mod signs;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

pub use block::{BlockScale, TABLE_MAX};
pub use prefetch::{as_raw, prefetch};
pub use signs::{SIGN_HEAD_BYTES, SignScale};

/// Neighbours estimated together by [`Kernels::scan_block`]; the degree of a graph is a multiple of it.
pub const BATCH: usize = 32;

/// The instruction set a process runs its kernels on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// Portable Rust, vectorised as far as the compiler manages for the build target.
    Scalar,
    /// x86-64 with AVX2 and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
}

type DotF32 = fn(&[f32], &[f32]) -> f32;
type DotCodes = fn(&[i8], &[i8], &[u8]) -> i32;
type DotEach = fn(&[i8], &[i8], &[u8], &mut [i32]);
type DotBytes = fn(&[i8], &[i8]) -> i32;
type DotFour = fn(&[i8], i32, [&[u8]; 4]) -> [i32; 4];
type Transform = fn(&mut [f32]);
type RoundBytes = fn(&[f32], &mut [i8]) -> f32;
type SignTable = fn(&[f32], &mut [u8]) -> f32;
type DotSquare = fn(&[f32], &[f32]) -> (f32, f32);
type SignScores = fn(&[u64], &[u8], &SignScale, &mut [f32]);
type MarkPlaces = fn(&[u64], &[u32], &mut [u64]);
type CountBits = fn(&[u64]) -> usize;
type ScanBlock = fn(&[u8], &[u8], &[u8], &BlockScale, f32, &mut [f32; BATCH]) -> u32;

/// One table of kernels, all for the same instruction set.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// Which instruction set the table is for.
    pub instruction_set: InstructionSet,
    dot_f32: DotF32,
    l2_f32: DotF32,
    dot_and_square: DotSquare,
    dot_u4: DotCodes,
    dot_u4_each: DotEach,
    dot_i8: DotBytes,
    dot_i8_four: DotFour,
    scan_block: ScanBlock,
    hadamard: Transform,
    round_bytes: RoundBytes,
    sign_table: SignTable,
    sign_scores: SignScores,
    count_bits: CountBits,
    mark_places: MarkPlaces,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kernels").field(&self.instruction_set).finish()
    }
}

impl Kernels {
    /// Returns the table for the best instruction set of this machine, chosen once.
    pub fn get() -> &'static Kernels {
        static TABLE: OnceLock<Kernels> = OnceLock::new();
        TABLE.get_or_init(|| {
            [InstructionSet::Avx512, InstructionSet::Avx2]
                .into_iter()
                .find_map(Kernels::of)
                .unwrap_or_else(Kernels::scalar)
        })
    }

    /// Returns the table for one instruction set, or `None` when this machine lacks it.
    pub fn of(set: InstructionSet) -> Option<Kernels> {
        match set {
            InstructionSet::Scalar => Some(Kernels::scalar()),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => avx2::kernels(),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => avx512::kernels(),
            #[cfg(not(target_arch = "x86_64"))]
            InstructionSet::Avx2 | InstructionSet::Avx512 => None,
        }
    }

    fn scalar() -> Kernels {
        Kernels {
            instruction_set: InstructionSet::Scalar,
            dot_f32: scalar::dot_f32,
            l2_f32: scalar::l2_f32,
            dot_and_square: scalar::dot_and_square,
            dot_u4: scalar::dot_u4,
            dot_u4_each: scalar::dot_u4_each,
            dot_i8: scalar::dot_i8,
            dot_i8_four: scalar::dot_i8_four,
            scan_block: scalar::scan_block,
            hadamard: prepare::hadamard,
            round_bytes: prepare::round_bytes,
            sign_table: prepare::sign_table,
            sign_scores: signs::sign_scores,
            count_bits: bits::count_bits,
            mark_places: bits::mark_places,
        }
    }

    /// Returns the dot product of two equally long f32 vectors, in the fixed order of this module.
    #[inline]
    pub fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "dot product of vectors of different length");
        (self.dot_f32)(a, b)
    }

    /// Returns the squared Euclidean distance of two equally long f32 vectors, in the fixed order.
    #[inline]
    pub fn l2_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "distance of vectors of different length");
        (self.l2_f32)(a, b)
    }

    /// Returns the dot product of two equally long vectors and that of the second with itself: the bits of two calls of
    /// [`Kernels::dot_f32`], for little more than one.
    #[inline]
    pub fn dot_and_square(&self, a: &[f32], b: &[f32]) -> (f32, f32) {
        assert_eq!(a.len(), b.len(), "dot product of vectors of different length");
        (self.dot_and_square)(a, b)
    }

    /// Returns `Σ low[j]·(code[j] & 15) + high[j]·(code[j] >> 4)`, exact.
    ///
    /// * `low`, `high`: as long as `code`, which is a multiple of 32 bytes.
    #[inline]
    pub fn dot_u4(&self, low: &[i8], high: &[i8], code: &[u8]) -> i32 {
        assert!(low.len() == code.len() && high.len() == code.len() && code.len().is_multiple_of(32));
        (self.dot_u4)(low, high, code)
    }

    /// Returns `Σ a[j]·b[j]`, exact. Lengths are equal and a multiple of 64.
    #[inline]
    pub fn dot_i8(&self, a: &[i8], b: &[i8]) -> i32 {
        assert!(a.len() == b.len() && a.len().is_multiple_of(64));
        (self.dot_i8)(a, b)
    }

    /// Same as [`Kernels::dot_i8`] for four codes as raw bytes.
    ///
    /// * `sum`: the sum of `a`, which some instruction sets need.
    #[inline]
    pub fn dot_i8_four(&self, a: &[i8], sum: i32, codes: [&[u8]; 4]) -> [i32; 4] {
        assert!(a.len().is_multiple_of(64) && codes.iter().all(|code| code.len() == a.len()));
        (self.dot_i8_four)(a, sum, codes)
    }

    /// Estimates the scores of the 32 neighbours of one block and returns which exceed `threshold`.
    ///
    /// With `sum[i]` the sum over groups `g` of `table[16·g + nibble(g, i)]`, neighbour `i` gets
    /// `(sum[i]·step + offset)·slope[i] + (constant[i] + base)`, where slope and constant are the stored
    /// halves times `factor_scale`. Bit `i` of the result is set when that is greater than `threshold`.
    ///
    /// * `codes`: `16·groups` bytes: for each group of four dimensions, 16 bytes whose low nibbles belong
    ///   to neighbours 0..16 and high nibbles to 16..32.
    /// * `table`: `16·groups` bytes, none above [`TABLE_MAX`]. `groups` is a multiple of 4, at most 1,024.
    /// * `factors`: 128 bytes: 32 half-precision slopes, then 32 constants, little-endian.
    #[inline]
    pub fn scan_block(
        &self,
        codes: &[u8],
        table: &[u8],
        factors: &[u8],
        scale: &BlockScale,
        threshold: f32,
        out: &mut [f32; BATCH],
    ) -> u32 {
        assert!(
            codes.len() == table.len()
                && codes.len().is_multiple_of(64)
                && codes.len() <= 16 * 1024
                && factors.len() == 128
        );
        (self.scan_block)(codes, table, factors, scale, threshold, out)
    }
}
