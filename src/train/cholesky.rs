//! Cholesky factorisation of small symmetric positive definite matrices, in place and without allocation.

/// Factorises the lower triangle of the row-major `[dim, dim]` matrix `a` into `L·Lᵀ` and solves `A·x = b`, leaving
/// `x` in `b`. `false` when the matrix is not positive definite (then `a` and `b` hold nothing useful).
///
/// Row by row with contiguous dot products (Golub & Van Loan, *Matrix Computations*, §4.2); `dim³ / 6` multiply-adds.
pub(super) fn solve_in_place(a: &mut [f64], b: &mut [f64]) -> bool {
    let dim = b.len();
    for row in 0..dim {
        let (above, from_row) = a.split_at_mut(row * dim);
        let this = &mut from_row[..dim];
        for column in 0..row {
            let other = &above[column * dim..column * dim + dim];
            this[column] = (this[column] - dot(&this[..column], &other[..column])) / other[column];
        }
        let square = this[row] - dot(&this[..row], &this[..row]);
        if square.is_nan() || square <= 0.0 {
            return false;
        }
        this[row] = square.sqrt();
    }
    for row in 0..dim {
        let this = &a[row * dim..row * dim + dim];
        b[row] = (b[row] - dot(&this[..row], &b[..row])) / this[row];
    }
    for row in (0..dim).rev() {
        let this = &a[row * dim..row * dim + dim];
        let x = b[row] / this[row];
        b[row] = x;
        for (below, l) in b[..row].iter_mut().zip(&this[..row]) {
            *below -= x * l;
        }
    }
    true
}

/// The dot product of equally long slices, in eight interleaved sums (one fixed order on every machine).
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (whole, rest) = (a.chunks_exact(8), a.chunks_exact(8).remainder());
    let other_rest = &b[b.len() - rest.len()..];
    for (a, b) in whole.zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let tail: f64 = rest.iter().zip(other_rest).map(|(a, b)| a * b).sum();
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SplitMix64;

    #[test]
    fn solutions_satisfy_the_equations() {
        let mut rng = SplitMix64::new(1);
        for dim in [1, 2, 7, 8, 9, 33, 64, 100] {
            let half: Vec<f64> = (0..dim * dim).map(|_| rng.normal()).collect();
            let row = |r: usize| &half[r * dim..(r + 1) * dim];
            let mut a = vec![0.0; dim * dim];
            for r in 0..dim {
                for c in 0..dim {
                    a[r * dim + c] = dot(row(r), row(c)) + if r == c { 0.1 } else { 0.0 };
                }
            }
            let x: Vec<f64> = (0..dim).map(|_| rng.normal()).collect();
            let mut b: Vec<f64> = (0..dim).map(|r| dot(&a[r * dim..(r + 1) * dim], &x)).collect();
            assert!(solve_in_place(&mut a, &mut b));
            let error = x.iter().zip(&b).map(|(x, b)| (x - b).abs()).fold(0.0, f64::max);
            assert!(error < 1e-8, "dim={dim} error={error}");
        }
    }

    #[test]
    fn matrices_that_are_not_positive_definite_are_refused() {
        assert!(!solve_in_place(&mut [1.0, 2.0, 2.0, 1.0], &mut [1.0, 1.0]));
        assert!(!solve_in_place(&mut [f64::NAN], &mut [1.0]));
        assert!(!solve_in_place(&mut [0.0], &mut [1.0]));
    }

    /// PIPELINE.md §2: what dislikes as negative weights would do to the equations of a listener. Vectors of a model and how much pairs
    /// count are as in training (`1 + α·weight`); only the sign of the dislikes differs.
    #[test]
    fn negative_weights_make_the_equations_indefinite_and_dislikes_of_preference_zero_do_not() {
        const DIM: usize = 8;
        let (dislikes, alpha, ridge) = (30, 40.0, 1.0);
        let mut rng = SplitMix64::new(3);
        let vectors: Vec<[f64; DIM]> =
            (0..dislikes + 5).map(|_| std::array::from_fn(|_| rng.normal())).collect();
        let is_solved = |disliked: f64| {
            let (mut a, mut b) = (vec![0.0; DIM * DIM], vec![0.0; DIM]);
            (0..DIM).for_each(|i| a[i * DIM + i] = ridge);
            for (at, v) in vectors.iter().enumerate() {
                let (confidence, preference) =
                    if at < dislikes { (1.0 + alpha * disliked, 0.0) } else { (1.0 + alpha, 1.0) };
                for i in 0..DIM {
                    (0..DIM).for_each(|j| a[i * DIM + j] += confidence * v[i] * v[j]);
                    b[i] += confidence * preference * v[i];
                }
            }
            solve_in_place(&mut a, &mut b)
        };
        assert!(!is_solved(-0.5), "the naive form");
        assert!(is_solved(0.5), "a dislike is a preference of 0 that counts");
    }
}
