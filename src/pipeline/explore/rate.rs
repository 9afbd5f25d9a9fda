//! The share of a list that explores.

/// The lowest rate of a recipe that explores at all.
const RATE_MIN: f64 = 0.05;
/// The highest rate.
const RATE_MAX: f64 = 0.5;
/// Fewer explored impressions than this say nothing about success.
const IMPRESSIONS_MIN: u32 = 10;

/// What is known of the listener that changes the rate. What is absent changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ExplorationFactors {
    /// Days since the listener first appeared.
    pub profile_age_days: Option<f64>,
    /// Diversity of the taste profile, 0 to 1.
    pub diversity: Option<f64>,
    /// Successes and impressions among the last 50 explored impressions; ignored below 10 impressions.
    pub success: Option<(u32, u32)>,
    /// Whether the list falls back to popularity in the region (PIPELINE.md §5, cold start).
    pub popularity_only: bool,
}

/// The recipe's rate times the listener's factors, 0.05 to 0.5: ×1.3 for a profile younger than 30 days **or** a
/// list from popularity only (the same fact, a new listener, counts once), ×1.2 for diversity above 0.7, ×0.7 below
/// 0.3, ×1.1 for success above 0.3, ×0.8 below 0.1. A recipe rate of 0 switches exploration off.
#[must_use]
pub fn exploration_rate(recipe_rate: f64, factors: &ExplorationFactors) -> f64 {
    if recipe_rate <= 0.0 {
        return 0.0;
    }
    let young = factors.profile_age_days.is_some_and(|days| days < 30.0);
    let newcomer = if young || factors.popularity_only { 1.3 } else { 1.0 };
    let breadth = match factors.diversity {
        Some(diversity) if diversity > 0.7 => 1.2,
        Some(diversity) if diversity < 0.3 => 0.7,
        _ => 1.0,
    };
    let known = factors.success.filter(|&(_, impressions)| impressions >= IMPRESSIONS_MIN);
    let welcome = match known.map(|(successes, impressions)| f64::from(successes) / f64::from(impressions)) {
        Some(success) if success > 0.3 => 1.1,
        Some(success) if success < 0.1 => 0.8,
        _ => 1.0,
    };
    (recipe_rate * newcomer * breadth * welcome).clamp(RATE_MIN, RATE_MAX)
}
