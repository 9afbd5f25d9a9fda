//! Asking the memory system for bytes that are about to be read.
#![expect(
    unsafe_code,
    reason = "the prefetch instruction takes a pointer; it never faults and changes no result"
)]

/// Prefetches the cache lines of `slice`. Has no effect on results, and none at all where unsupported.
#[inline(always)]
pub fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let start = slice.as_ptr().cast::<i8>();
        let end = start.wrapping_add(size_of_val(slice));
        // From the start of the first line, so that a short slice across two lines is asked for whole.
        let mut line = start.wrapping_sub(start.addr() % LINE);
        while line < end {
            // SAFETY: a prefetch of any address is allowed to be dropped but never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
            line = line.wrapping_add(LINE);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

/// The same bytes, as signed numbers.
#[inline(always)]
pub fn as_signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: u8 and i8 have the same size, alignment and valid values; the borrow is passed on.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// The same bytes, as unsigned numbers.
#[inline(always)]
pub fn as_raw(bytes: &[i8]) -> &[u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}
