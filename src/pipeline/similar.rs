//! The query of *similar* (PIPELINE.md §12).

use super::vectors::unit_sum;

/// How strongly what a caller does not want pushes away, against what they want.
const NEGATIVE_WEIGHT: f64 = 0.5;

/// `q = Σ⁺ − 0.5·Σ⁻` over seeds scaled to unit length, of unit length itself.
///
/// Each seed comes with its weight: above 0 pulls, below 0 pushes away. `None` when no seed is usable or they cancel
/// out; the caller reports seeds without a vector.
#[must_use]
pub fn similar_query<'a>(seeds: impl IntoIterator<Item = (&'a [f32], f32)>) -> Option<Vec<f32>> {
    unit_sum(seeds.into_iter().map(|(vector, weight)| {
        let weight = f64::from(weight);
        (vector, if weight < 0.0 { NEGATIVE_WEIGHT * weight } else { weight })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_count_by_direction_not_by_length_and_negatives_half() {
        let query = similar_query([(&[10.0, 0.0][..], 1.0), (&[0.0, 0.1], -1.0)]).expect("a direction");
        let expected = [1.0 / 1.25_f32.sqrt(), -0.5 / 1.25_f32.sqrt()];
        assert!((query[0] - expected[0]).abs() < 1e-6 && (query[1] - expected[1]).abs() < 1e-6, "{query:?}");
    }

    #[test]
    fn unusable_seeds_leave_nothing() {
        assert_eq!(similar_query([(&[0.0, 0.0][..], 1.0)]), None);
        assert_eq!(similar_query([(&[1.0, 0.0][..], 1.0), (&[1.0, 0.0], -2.0)]), None, "cancelled out");
        assert!(similar_query([(&[1.0, 0.0][..], -1.0)]).is_some(), "far from one thing is a query");
    }
}
