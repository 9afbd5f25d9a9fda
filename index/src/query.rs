//! A query made ready for a walk: rotated, scaled, and turned into tables.

use super::error::IndexError;
use super::kernels::Kernels;
use super::meta::Meta;
use super::params::Profile;
use super::quantize::codes::CodeQuery;
use super::quantize::neighbors::TableQuery;
use super::quantize::rotation::Rotation;
use super::quantize::signs::SignQuery;
use crate::Metric;

/// One query in the scale of a walk.
///
/// Estimates rank as scores do but differ by a factor or a constant: cosine walks with unit queries, inner product
/// with queries as long as a typical vector (estimates relative to a node are best there), L2 leaves
/// out the query's own length.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    /// For estimates from a vector's own code.
    pub(super) code: CodeQuery,
    /// For estimates from the codes beside the links.
    pub(super) table: TableQuery,
    /// For estimates from the one-bit codes of the entries.
    pub(super) signs: SignQuery,
    /// Euclidean length of the query as given.
    pub(super) length: f32,
    /// Its length in the scale of a walk.
    pub(super) norm: f32,
    /// See [`Query::spread`]: what is constant, and what each unit of the score takes off.
    spread: (f32, f32),
    /// What turns a score into one of the walk: a factor and a constant.
    to_walk: (f32, f32),
    /// See [`Query::error`]: for each step of a vector's code, and of the query; squared.
    errors: (f32, f32),
    rotated: Vec<f32>,
    has_table: bool,
}

impl Query {
    /// Takes over a query that [`check`] accepted.
    pub(super) fn set(&mut self, kernels: &Kernels, meta: &Meta, rotation: &Rotation, vector: &[f32]) {
        self.length = kernels.dot_f32(vector, vector).sqrt();
        let square = meta.typical_length * meta.typical_length;
        self.spread = match meta.metric {
            // Squared distance is 2 - 2s, and a tenth of what it typically is.
            Metric::Cosine => (1.0, 0.8),
            // The same where squared distance is `|q|^2 - s`.
            Metric::L2 => (0.8 * self.length * self.length + 0.4 * square, 0.8),
            Metric::Ip => (square, 0.0),
        };
        let wanted = match meta.metric {
            Metric::L2 => self.length,
            Metric::Cosine => 1.0,
            Metric::Ip => meta.typical_length,
        };
        let scale = wanted / self.length;
        let scale = if scale.is_finite() { scale } else { 1.0 };
        self.to_walk = match meta.metric {
            Metric::Cosine => (1.0, 0.0),
            Metric::Ip => (scale, 0.0),
            Metric::L2 => (1.0, self.length * self.length),
        };
        self.rotated.resize(rotation.padded_dim(), 0.0);
        rotation.apply(kernels, vector, &mut self.rotated);
        self.rotated.iter_mut().for_each(|x| *x *= scale);
        self.code.set(kernels, &self.rotated);
        // A number rounded to steps errs by a twelfth of a step squared, and the estimate by that times the other's length; an
        // estimate for L2 counts the product twice.
        let other = if meta.metric == Metric::Cosine { 1.0 } else { meta.typical_length };
        let twice = if meta.metric == Metric::L2 { 2.0 } else { 1.0 };
        let part = SPREADS * SPREADS / 12.0;
        let rounded = twice * other * self.code.step();
        self.errors = (part * wanted * wanted, part * rounded * rounded);
        // Without codes beside the links only a sieve needs it: see `with_table`.
        self.has_table = meta.profile == Profile::Fast;
        if self.has_table {
            self.table.set(kernels, &self.rotated);
        }
        self.norm = wanted;
        self.signs.set(&self.rotated);
        if let Some(signs) = &meta.entry_signs {
            self.signs.set_center(kernels, meta.metric, &self.rotated, &signs.center);
        }
    }
}

impl Query {
    /// A query in the scale it has, ready for codes of all kinds but those of entries.
    ///
    /// * `rotated`: `[padded_dim]`.
    pub(super) fn of_rotated(kernels: &Kernels, rotated: &[f32]) -> Self {
        let norm = kernels.dot_f32(rotated, rotated).sqrt();
        let mut query = Self { norm, rotated: rotated.to_vec(), ..Self::default() };
        query.code.set(kernels, rotated);
        query.with_table(kernels);
        query
    }

    /// The query ready for estimates from blocks of one-bit codes.
    pub(super) fn with_table(&mut self, kernels: &Kernels) -> &Self {
        if !self.has_table {
            self.table.set(kernels, &self.rotated);
            self.has_table = true;
        }
        self
    }

    /// How widely scores spread below one that is among the best, in the scale of the walk; margins are in these units.
    #[inline(always)]
    pub(super) fn spread(&self, score: f32) -> f32 {
        self.spread.0 - self.spread.1 * score
    }
}

#[cfg(test)]
impl Query {
    /// A query of which only the spread matters.
    pub(super) fn with_spread(constant: f32, of_score: f32) -> Self {
        Self { spread: (constant, of_score), ..Self::default() }
    }
}

/// How many standard deviations of an estimate count as its error.
const SPREADS: f32 = 3.0;

impl Query {
    /// An error that few estimates from codes exceed, for a node of that factor.
    #[inline(always)]
    pub(super) fn error(&self, factor: f32) -> f32 {
        (self.errors.0 * factor * factor + self.errors.1).sqrt()
    }

    /// A score in the scale of the walk.
    #[inline(always)]
    pub(super) fn walk_score(&self, score: f32) -> f32 {
        score * self.to_walk.0 + self.to_walk.1
    }
}

/// Checks a query against the dimension and the metric.
///
/// # Errors
/// [`IndexError::DimensionMismatch`], [`IndexError::QueryNotFinite`], and [`IndexError::ZeroQuery`] for cosine.
pub(super) fn check(metric: Metric, dim: usize, query: &[f32]) -> Result<(), IndexError> {
    if query.len() != dim {
        return Err(IndexError::DimensionMismatch { expected: dim, got: query.len() });
    }
    if let Some(dimension) = query.iter().position(|x| !x.is_finite()) {
        return Err(IndexError::QueryNotFinite { dimension });
    }
    if metric == Metric::Cosine && query.iter().all(|x| *x == 0.0) {
        return Err(IndexError::ZeroQuery);
    }
    Ok(())
}
