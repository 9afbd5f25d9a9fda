//! A query made ready for a walk: rotated, scaled, and turned into tables.

use super::error::IndexError;
use super::kernels::Kernels;
use super::meta::Meta;
use super::params::Profile;
use super::quantize::codes::CodeQuery;
use super::quantize::neighbors::TableQuery;
use super::quantize::rotation::Rotation;
use crate::types::Metric;

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
    /// Euclidean length of the query as given.
    pub(super) length: f32,
    rotated: Vec<f32>,
}

impl Query {
    /// Takes over a query that [`check`] accepted.
    pub(super) fn set(&mut self, kernels: &Kernels, meta: &Meta, rotation: &Rotation, vector: &[f32]) {
        self.length = kernels.dot_f32(vector, vector).sqrt();
        let wanted = match meta.metric {
            Metric::L2 => self.length,
            Metric::Cosine => 1.0,
            Metric::Ip => meta.typical_length,
        };
        let scale = wanted / self.length;
        let scale = if scale.is_finite() { scale } else { 1.0 };
        self.rotated.resize(rotation.padded_dim(), 0.0);
        rotation.apply(vector, &mut self.rotated);
        self.rotated.iter_mut().for_each(|x| *x *= scale);
        self.code.set(&self.rotated);
        if meta.profile == Profile::Fast {
            self.table.set(&self.rotated);
        }
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
