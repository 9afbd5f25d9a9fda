//! Kernels that do the same for several vectors by one call: the same bits, and the call is paid once.

use super::Kernels;

impl Kernels {
    /// Same as [`Kernels::dot_f32`] for several vectors `b`, as many as `out` has numbers: the same bits, called once.
    #[inline]
    pub fn dot_f32_each(&self, a: &[f32], b: &[&[f32]], out: &mut [f32]) {
        assert!(b.len() == out.len() && b.iter().all(|b| b.len() == a.len()), "vectors of different length");
        (self.dot_f32_each)(a, b, out);
    }

    /// Same as [`Kernels::dot_u4`] for codes that follow each other, as many as `out` has numbers.
    #[inline]
    pub fn dot_u4_each(&self, low: &[i8], high: &[i8], codes: &[u8], out: &mut [i32]) {
        assert!(low.len() == high.len() && low.len().is_multiple_of(32) && !low.is_empty());
        assert_eq!(codes.len(), low.len() * out.len(), "codes for each number");
        (self.dot_u4_each)(low, high, codes, out);
    }
}
