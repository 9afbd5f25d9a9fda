//! Gram matrices of tall factor matrices.

use nalgebra::{DMatrix, DMatrixView, Dyn};
use rayon::prelude::*;

/// Rows converted to f64 at once.
const PANEL_ROWS: usize = 256;

/// At most this many partial sums are held.
const PARTS_MAX: usize = 64;

/// `Σ_r v_r v_rᵀ` over the rows of `[n, dim]`, row-major `[dim, dim]`, accumulated in f64. The order of the sums depends on
/// `n` alone, never on the number of threads.
pub(super) fn gram(rows: &[f32], dim: usize) -> Vec<f64> {
    let count = rows.len() / dim;
    let part_rows = count.div_ceil(PARTS_MAX).max(4 * PANEL_ROWS);
    let parts: Vec<DMatrix<f64>> = rows
        .par_chunks(part_rows * dim)
        .map(|part| {
            let mut sum = DMatrix::zeros(dim, dim);
            let mut panel = Vec::with_capacity(PANEL_ROWS * dim);
            for rows in part.chunks(PANEL_ROWS * dim) {
                panel.clear();
                panel.extend(rows.iter().map(|&x| f64::from(x)));
                add_outer_products(&mut sum, &panel, dim);
            }
            sum
        })
        .collect();
    let mut total = DMatrix::zeros(dim, dim);
    for part in parts {
        total += part;
    }
    // The two triangles are mirrored exactly, so that row-major and column-major are the same bytes.
    total.fill_upper_triangle_with_lower_triangle();
    total.as_slice().to_vec()
}

/// Adds `Σ_r x_r x_rᵀ` over the rows of the row-major panel to `sum`.
pub(super) fn add_outer_products(sum: &mut DMatrix<f64>, panel: &[f64], dim: usize) {
    let rows = panel.len() / dim;
    let columns: DMatrixView<'_, f64, Dyn, Dyn> =
        DMatrixView::from_slice_with_strides_generic(panel, Dyn(dim), Dyn(rows), Dyn(1), Dyn(dim));
    let as_rows: DMatrixView<'_, f64, Dyn, Dyn> =
        DMatrixView::from_slice_with_strides_generic(panel, Dyn(rows), Dyn(dim), Dyn(dim), Dyn(1));
    sum.gemm(1.0, &columns, &as_rows, 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SplitMix64;

    #[test]
    fn the_gram_matrix_is_the_sum_of_outer_products() {
        let mut rng = SplitMix64::new(3);
        let (count, dim) = (2_500, 10);
        let rows: Vec<f32> = (0..count * dim).map(|_| rng.normal() as f32).collect();
        let sums = gram(&rows, dim);
        for a in 0..dim {
            for b in 0..dim {
                let plain: f64 = rows.chunks(dim).map(|row| f64::from(row[a]) * f64::from(row[b])).sum();
                assert!((sums[a * dim + b] - plain).abs() < 1e-9, "{a} {b}");
                assert_eq!(sums[a * dim + b].to_bits(), sums[b * dim + a].to_bits());
            }
        }
    }
}
