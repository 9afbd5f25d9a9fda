//! The row solve: the vector that fits one listener (or one track) best, given all vectors of the other side.
//!
//! It minimises `Σ c (x·v − p)² + α₀ Σ_all (x·v)² + ridge ‖x‖²`, which is the linear system
//! `(α₀ G + ridge·I + Σ c v vᵀ) x = Σ c p v`, always positive definite because nothing in it is negative: a dislike has
//! preference 0, not a negative weight.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::cholesky::{dot, solve_in_place};
use super::gram::add_outer_products;
use crate::error::{Error, Result};
use crate::storage::meta::GramData;

/// Observations gathered at once.
const PANEL_ROWS: usize = 256;

/// One observed pair of the row to solve.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The other side's vector, `dim` components.
    pub vector: &'a [f32],
    /// Interaction weight (or dislike weight), at least 0.
    pub weight: f64,
    /// Whether it is liked (preference 1) or disliked (preference 0).
    pub liked: bool,
}

/// Everything of the system that is the same for all rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) dim: usize,
    /// `[dim, dim]`
    pub(super) gram: &'a [f64],
    pub(super) alpha0: f64,
    pub(super) lambda: f64,
    pub(super) nu: f64,
    pub(super) alpha: f64,
    /// Rows of the other side.
    pub(super) others: f64,
}

impl Terms<'_> {
    /// Frequency-scaled regularisation of a row with `count` observations.
    pub(super) fn ridge(&self, count: usize) -> f64 {
        self.lambda * (count as f64 + self.alpha0 * self.others).powf(self.nu)
    }

    /// How much a pair counts. The logarithm keeps a song on repeat from outweighing everything else a listener likes.
    pub(super) fn confidence(&self, weight: f64, liked: bool) -> f64 {
        1.0 + self.alpha * if liked { weight.ln_1p() } else { weight }
    }
}

/// Buffers of one thread.
#[derive(Debug)]
pub(super) struct Scratch {
    system: DMatrix<f64>,
    right: Vec<f64>,
    panel: Vec<f64>,
    small: Vec<f64>,
    rotated: DMatrix<f64>,
}

impl Scratch {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            system: DMatrix::zeros(dim, dim),
            right: vec![0.0; dim],
            panel: Vec::new(),
            small: Vec::new(),
            rotated: DMatrix::zeros(0, 0),
        }
    }
}

/// Solves the row by factorising the whole system; the solution is left in `scratch.right`.
/// Costs `count·dim² + dim³/6` multiply-adds. `false` when the system is not positive definite.
fn solve_whole<'a>(
    terms: &Terms<'_>,
    observed: impl ExactSizeIterator<Item = Observed<'a>>,
    scratch: &mut Scratch,
) -> bool {
    let dim = terms.dim;
    let ridge = terms.ridge(observed.len());
    for (cell, gram) in scratch.system.as_mut_slice().iter_mut().zip(terms.gram) {
        *cell = terms.alpha0 * gram;
    }
    for at in 0..dim {
        scratch.system[(at, at)] += ridge;
    }
    scratch.right.fill(0.0);
    scratch.panel.clear();
    for one in observed {
        let confidence = terms.confidence(one.weight, one.liked);
        if one.liked {
            for (sum, &x) in scratch.right.iter_mut().zip(one.vector) {
                *sum += confidence * f64::from(x);
            }
        }
        let root = confidence.sqrt();
        scratch.panel.extend(one.vector.iter().map(|&x| root * f64::from(x)));
        if scratch.panel.len() == PANEL_ROWS * dim {
            add_outer_products(&mut scratch.system, &scratch.panel, dim);
            scratch.panel.clear();
        }
    }
    if !scratch.panel.is_empty() {
        add_outer_products(&mut scratch.system, &scratch.panel, dim);
    }
    solve_in_place(scratch.system.as_mut_slice(), &mut scratch.right)
}

/// Solves many rows against the same other side. In the eigenbasis of its Gram matrix the part all rows share is a
/// diagonal, so a row with few observations needs only a system as large as they are many (Woodbury's identity).
pub(super) struct RowSolver<'a> {
    terms: Terms<'a>,
    basis: DMatrix<f64>,
    spectrum: DVector<f64>,
}

impl<'a> RowSolver<'a> {
    pub(super) fn new(terms: Terms<'a>) -> Self {
        let gram = DMatrix::from_column_slice(terms.dim, terms.dim, terms.gram);
        let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(gram);
        // A Gram matrix has no negative eigenvalues; rounding may make some.
        Self { terms, basis: eigenvectors, spectrum: eigenvalues.map(|value| value.max(0.0)) }
    }

    pub(super) fn terms(&self) -> &Terms<'a> {
        &self.terms
    }

    /// Solves one row into `out`. `false` when the system is not positive definite.
    pub(super) fn solve<'b>(
        &self,
        observed: impl ExactSizeIterator<Item = Observed<'b>> + Clone,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> bool {
        let count = observed.len();
        let solved = if count == 0 {
            scratch.right.fill(0.0);
            true
        } else if count * 3 <= self.terms.dim {
            self.solve_few(observed, scratch)
        } else {
            solve_whole(&self.terms, observed, scratch)
        };
        for (out, &x) in out.iter_mut().zip(&scratch.right) {
            *out = x as f32;
        }
        solved
    }

    /// With `D = α₀Λ + ridge`, `Z` the rotated observations and `S = C⁻¹ + Z D⁻¹ Zᵀ`:
    /// `(D + ZᵀCZ)⁻¹ Zᵀ C p = D⁻¹ Zᵀ S⁻¹ p`. Costs `count·dim² + count²·dim` multiply-adds.
    fn solve_few<'b>(
        &self,
        observed: impl ExactSizeIterator<Item = Observed<'b>> + Clone,
        scratch: &mut Scratch,
    ) -> bool {
        let (dim, count) = (self.terms.dim, observed.len());
        let ridge = self.terms.ridge(count);
        scratch.panel.clear();
        for one in observed.clone() {
            scratch.panel.extend(one.vector.iter().map(|&x| f64::from(x)));
        }
        // Column r of `rotated` is Qᵀ v_r.
        let panel = nalgebra::DMatrixView::from_slice(&scratch.panel, dim, count);
        scratch.rotated.resize_mut(dim, count, 0.0);
        self.basis.tr_mul_to(&panel, &mut scratch.rotated);
        scratch.small.clear();
        scratch.small.resize(count * count, 0.0);
        scratch.right.clear();
        let inverse: Vec<f64> =
            self.spectrum.iter().map(|value| 1.0 / (self.terms.alpha0 * value + ridge)).collect();
        let mut scaled = vec![0.0; dim];
        for (row, one) in observed.enumerate() {
            let z = &scratch.rotated.as_slice()[row * dim..(row + 1) * dim];
            for ((scaled, z), inverse) in scaled.iter_mut().zip(z).zip(&inverse) {
                *scaled = z * inverse;
            }
            for column in 0..=row {
                let other = &scratch.rotated.as_slice()[column * dim..(column + 1) * dim];
                scratch.small[row * count + column] = dot(&scaled, other);
            }
            scratch.small[row * count + row] += 1.0 / self.terms.confidence(one.weight, one.liked);
            scratch.right.push(if one.liked { 1.0 } else { 0.0 });
        }
        let solved = solve_in_place(&mut scratch.small, &mut scratch.right);
        scaled.fill(0.0);
        for (row, share) in scratch.right.iter().enumerate() {
            let z = &scratch.rotated.as_slice()[row * dim..(row + 1) * dim];
            for (sum, z) in scaled.iter_mut().zip(z) {
                *sum += share * z;
            }
        }
        for (x, inverse) in scaled.iter_mut().zip(&inverse) {
            *x *= inverse;
        }
        let solution = &self.basis * DVector::from_vec(scaled);
        scratch.right.clear();
        scratch.right.extend_from_slice(solution.as_slice());
        solved
    }
}

/// The vector of one listener from what they liked and disliked: the trainer's own row solve in f64, so a listener who was
/// trained on gets the trained vector again. `dim³/6 + observed·dim²` multiply-adds; about 0.1 ms at 64 dimensions.
///
/// No observations give the zero vector.
///
/// # Errors
/// [`Error::InvalidField`] when a vector has another dimension than the generation, or a weight is negative or not a
/// number; [`Error::Corrupt`] when the Gram data cannot be of a trained generation.
pub fn solve_row(gram: &GramData, observed: &[Observed<'_>]) -> Result<Vec<f32>> {
    let dim = gram.dim as usize;
    if dim == 0 || gram.gram.len() != dim * dim {
        let reason = format!("gram data has {} numbers, not dim². dim=`{dim}`", gram.gram.len());
        return Err(Error::Corrupt(reason));
    }
    for one in observed {
        if one.vector.len() != dim {
            let reason = format!("has {} components, the generation {dim}", one.vector.len());
            return Err(Error::invalid("vector", reason));
        }
        if !(one.weight.is_finite() && one.weight >= 0.0) {
            let reason = format!("must be a number of at least 0. value=`{}`", one.weight);
            return Err(Error::invalid("weight", reason));
        }
    }
    if observed.is_empty() {
        return Ok(vec![0.0; dim]);
    }
    let terms = Terms {
        dim,
        gram: &gram.gram,
        alpha0: gram.alpha0,
        lambda: gram.lambda,
        nu: gram.nu,
        alpha: gram.alpha,
        others: gram.tracks as f64,
    };
    let mut scratch = Scratch::new(dim);
    if !solve_whole(&terms, observed.iter().copied(), &mut scratch) {
        return Err(Error::Corrupt("gram data of the generation is not positive definite".to_owned()));
    }
    Ok(scratch.right.iter().map(|&x| x as f32).collect())
}
