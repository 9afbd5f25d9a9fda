//! How sure a measure over users is: percentile intervals by resampling users (Efron 1979).

use crate::types::SplitMix64;

/// Resamples of an interval.
const RESAMPLES: usize = 2_000;

/// What one user adds to a measure, and to what the sum is divided by: `(value, 1)` for a mean over users, `(sum, places)`
/// for one over places, `(0, 0)` where there is nothing to judge.
pub type Term = (f64, f64);

/// A 95 % interval, lower end first.
pub type Interval = (f64, f64);

/// The measures of all users together, each `Σ value / Σ weight`; 0 where nothing was judged.
#[must_use]
pub fn ratios<const N: usize>(users: &[[Term; N]]) -> [f64; N] {
    let mut sums = [(0.0, 0.0); N];
    users.iter().for_each(|terms| add(&mut sums, terms));
    sums.map(|(value, weight)| if weight > 0.0 { value / weight } else { 0.0 })
}

/// The intervals of [`ratios`], by a fixed seed; all measures of one resample are of the same users. `None` for fewer than two users, or
/// where nothing was judged.
#[must_use]
pub fn intervals<const N: usize>(users: &[[Term; N]], seed: u64) -> [Option<Interval>; N] {
    resampled(users.len(), seed, |drawn| ratios_of(users, drawn))
}

/// The intervals of the differences `b − a` of the same users: pairs are resampled together, so what users have in common
/// cancels out.
///
/// # Panics
/// When the two have different lengths.
#[must_use]
pub fn difference_intervals<const N: usize>(
    a: &[[Term; N]],
    b: &[[Term; N]],
    seed: u64,
) -> [Option<Interval>; N] {
    assert_eq!(a.len(), b.len(), "one value a user on both sides");
    resampled(a.len(), seed, |drawn| {
        let (of_a, of_b) = (ratios_of(a, drawn), ratios_of(b, drawn));
        std::array::from_fn(|at| of_b[at] - of_a[at])
    })
}

/// The interval of the mean of `values`; `None` for fewer than two.
#[must_use]
pub fn mean_interval(values: &[f64], seed: u64) -> Option<Interval> {
    let users: Vec<[Term; 1]> = values.iter().map(|&value| [(value, 1.0)]).collect();
    intervals(&users, seed)[0]
}

/// The measures of drawn users; no number where nothing was judged.
fn ratios_of<const N: usize>(users: &[[Term; N]], drawn: &[usize]) -> [f64; N] {
    let mut sums = [(0.0, 0.0); N];
    drawn.iter().for_each(|&user| add(&mut sums, &users[user]));
    sums.map(|(value, weight)| value / weight)
}

fn add<const N: usize>(sums: &mut [Term; N], terms: &[Term; N]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum = (sum.0 + term.0, sum.1 + term.1);
    }
}

/// The middle 95 of 100 of what `measure` says of users drawn with replacement. A resample that has nothing to judge says nothing.
fn resampled<const N: usize>(
    users: usize,
    seed: u64,
    measure: impl Fn(&[usize]) -> [f64; N],
) -> [Option<Interval>; N] {
    if users < 2 {
        return [None; N];
    }
    let mut rng = SplitMix64::new(seed);
    let mut drawn = vec![0; users];
    let mut found: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(RESAMPLES));
    for _ in 0..RESAMPLES {
        drawn.fill_with(|| rng.below(users as u64) as usize);
        for (found, value) in found.iter_mut().zip(measure(&drawn)) {
            found.extend(Some(value).filter(|value| value.is_finite()));
        }
    }
    found.map(|mut values| {
        values.sort_by(f64::total_cmp);
        let outside = values.len() / 40;
        Some((*values.get(outside)?, values[values.len() - 1 - outside]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_true_mean_about_as_often_as_they_say() {
        let mut rng = SplitMix64::new(3);
        let mut inside = 0;
        for seed in 0..200 {
            let values: Vec<f64> = (0..60).map(|_| rng.normal() + 1.0).collect();
            let (low, high) = mean_interval(&values, seed).unwrap_or((0.0, 0.0));
            inside += u32::from(low < 1.0 && 1.0 < high);
        }
        assert!((180..=199).contains(&inside), "{inside} of 200");
        assert_eq!(mean_interval(&[1.0], 1), None);
    }

    #[test]
    fn a_small_but_steady_difference_is_seen_beside_large_differences_of_users() {
        let mut rng = SplitMix64::new(4);
        let a: Vec<f64> = (0..100).map(|_| 10.0 * rng.normal()).collect();
        let b: Vec<f64> = a.iter().map(|a| a + 0.1 + 0.05 * rng.normal()).collect();
        let users =
            |values: &[f64]| -> Vec<[Term; 1]> { values.iter().map(|&value| [(value, 1.0)]).collect() };
        let (low, high) = difference_intervals(&users(&a), &users(&b), 5)[0].unwrap_or((0.0, 0.0));
        assert!(low > 0.05 && high < 0.15, "{low} {high}");
    }

    #[test]
    fn a_ratio_is_of_sums_and_its_interval_holds_it_and_nothing_is_said_of_what_nobody_has() {
        let mut rng = SplitMix64::new(6);
        // Lists of 5 or 50 places, a tenth and three tenths of which count: the mean over places is not that over lists.
        let users: Vec<[Term; 3]> = (0..400)
            .map(|at| {
                let (places, share) = if at % 2 == 0 { (5, 0.1) } else { (50, 0.3) };
                let counted = (0..places).filter(|_| rng.uniform() < share).count();
                [(counted as f64, f64::from(places)), (f64::from(at % 2), 1.0), (0.0, 0.0)]
            })
            .collect();
        let expected = (5.0 * 0.1 + 50.0 * 0.3) / 55.0;
        let [places, lists, nothing] = ratios(&users);
        assert!((places - expected).abs() < 0.01 && lists == 0.5 && nothing == 0.0, "{places} {lists}");
        let [places, lists, nothing] = intervals(&users, 7);
        let (low, high) = places.unwrap_or((0.0, 0.0));
        assert!(low < expected && expected < high && high - low < 0.03, "{low} {high}");
        // Of a share of one half of 400 the standard error is .025.
        let (low, high) = lists.unwrap_or((0.0, 0.0));
        assert!((low - 0.451).abs() < 0.01 && (high - 0.549).abs() < 0.01, "{low} {high}");
        assert_eq!(nothing, None);
        assert_eq!(difference_intervals(&users, &users, 8), [Some((0.0, 0.0)), Some((0.0, 0.0)), None]);
    }
}
