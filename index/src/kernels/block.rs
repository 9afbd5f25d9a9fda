//! What turns the sums of a block of neighbours into scores.

/// Largest entry of a look-up table: four of them fit a byte, so that sums are widened only every fourth time. The signs that are
/// summed up say much less than that resolves.
pub const TABLE_MAX: u8 = 63;

/// The affine map from the integer sums of one block to estimated scores, for one visited node.
#[derive(Clone, Copy, Debug)]
pub struct BlockScale {
    /// Multiplies each integer sum.
    pub step: f32,
    /// Added to the scaled sum: estimated `<q, signs>`.
    pub offset: f32,
    /// Score of the visited node itself, added at the end.
    pub base: f32,
    /// Scale of the two stored half-precision factors.
    pub factor_scale: f32,
}
