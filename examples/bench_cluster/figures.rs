//! Summaries of measured times.

/// The value below which so many of a hundred lie; NaN of none.
pub fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The middle value; NaN of none.
pub fn median(values: Vec<f64>) -> f64 {
    percentile(&values, 50)
}
