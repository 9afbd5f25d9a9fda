//! A kernel that does the same for several codes by one call: the same bits, and the call is paid once.

use super::Kernels;

impl Kernels {
    /// Same as [`Kernels::dot_u4`] for codes that follow each other, as many as `out` has numbers.
    #[inline]
    pub fn dot_u4_each(&self, low: &[i8], high: &[i8], codes: &[u8], out: &mut [i32]) {
        assert!(low.len() == high.len() && low.len().is_multiple_of(32) && !low.is_empty());
        assert_eq!(codes.len(), low.len() * out.len(), "codes for each number");
        (self.dot_u4_each)(low, high, codes, out);
    }
}
