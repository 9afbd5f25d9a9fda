//! Worths from lists, and the weights made of them.

use super::*;
use crate::types::SplitMix64;

const SOURCES: [Source; 4] = [Source::Collaborative, Source::Content, Source::Audio, Source::Trending];

fn by_source(pairs: &[(Source, f64)]) -> BySource {
    let mut all = BySource::default();
    pairs.iter().for_each(|&(source, x)| all[usize::from(source.code())] = x);
    all
}

fn worth(of: &BySource, source: Source) -> f64 {
    of[usize::from(source.code())]
}

/// Lists of twenty; a track of source `s` is liked with a chance of `base · worths[s]`, where `base` and how many tracks each
/// source has are `list`'s.
fn shown(
    sums: &mut WeightSums,
    rng: &mut SplitMix64,
    worths: [f64; 4],
    lists: usize,
    list: impl Fn(&mut SplitMix64) -> (f64, [f64; 4]),
) {
    for _ in 0..lists {
        let (base, shares) = list(rng);
        let tracks: Vec<(Source, f64)> = (0..20)
            .map(|_| {
                let mut at = rng.uniform() * shares.iter().sum::<f64>();
                let source = (0..3).find(|&source| {
                    at -= shares[source];
                    at < 0.0
                });
                let source = source.unwrap_or(3);
                (SOURCES[source], f64::from(u8::from(rng.uniform() < base * worths[source])))
            })
            .collect();
        sums.add(&tracks, 1.0);
    }
}

#[test]
fn the_worths_behind_rewards_are_found() {
    let (mut sums, mut rng) = (WeightSums::default(), SplitMix64::new(9));
    shown(&mut sums, &mut rng, [0.6, 0.3, 0.1, 0.0], 5_000, |_| (1.0, [1.0; 4]));
    let worths = sums.worths();
    for (source, expected) in SOURCES.into_iter().zip([0.6, 0.3, 0.1, 0.0]) {
        assert!((worth(&worths, source) - expected).abs() < 0.01, "{source:?}: {worths:?}");
    }
    assert_eq!(worth(&worths, Source::Trending), 0.0);
    assert!((worths.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(WeightSums::default().worths(), [0.0; WIDTH]);
}

/// The better source fills lists after most of what is liked is gone. The mean of all rewards of a source says that it is
/// worth half of the other; it is worth three times as much. Found with Last.fm, where weights learnt from the second week on
/// were worse than those of the first.
#[test]
fn what_is_liked_runs_out_and_the_source_that_is_shown_then_is_not_blamed() {
    let (mut sums, mut rng) = (WeightSums::default(), SplitMix64::new(10));
    let worths = [0.75, 0.25, 0.0, 0.0];
    shown(&mut sums, &mut rng, worths, 2_000, |_| (1.0, [0.1, 0.9, 0.0, 0.0]));
    shown(&mut sums, &mut rng, worths, 2_000, |_| (0.1, [0.9, 0.1, 0.0, 0.0]));
    // The naive form: rewards by the tracks shown, of all lists together.
    let naive = |source: usize, shares: [f64; 2]| {
        worths[source] * (shares[0] + 0.1 * shares[1]) / (shares[0] + shares[1])
    };
    assert!(naive(0, [0.1, 0.9]) < 0.65 * naive(1, [0.9, 0.1]));
    let found = sums.worths();
    let ratio = worth(&found, Source::Collaborative) / worth(&found, Source::Content);
    assert!((2.8..3.2).contains(&ratio), "{ratio}");
}

/// Two sources that were never in one list are compared by a third; listeners like all there is more or less.
#[test]
fn sources_are_compared_across_lists_by_those_they_share() {
    let (mut sums, mut rng) = (WeightSums::default(), SplitMix64::new(11));
    let worths = [0.6, 0.3, 0.1, 0.0];
    shown(&mut sums, &mut rng, worths, 20_000, |rng| {
        let base = rng.uniform();
        (base, if base < 0.5 { [1.0, 1.0, 0.0, 0.0] } else { [0.0, 1.0, 1.0, 0.0] })
    });
    let found = sums.worths();
    for (source, expected) in SOURCES.into_iter().zip(worths) {
        assert!((worth(&found, source) - expected).abs() < 0.02, "{source:?}: {found:?}");
    }
}

/// A list of one source says nothing of it, not that it is good, nor that it is not; neither does a list that brought in nothing.
#[test]
fn a_list_of_one_source_or_without_a_reward_teaches_nothing() {
    let mut sums = WeightSums::default();
    let alone = [(Source::Audio, 1.0), (Source::Audio, 0.0)];
    let nothing = [(Source::Audio, 0.0), (Source::Content, 0.0)];
    (0..1_000).for_each(|_| [&alone, &nothing].into_iter().for_each(|list| sums.add(list, 1.0)));
    assert_eq!(sums, WeightSums::default());
}

/// One save of one mixed list, and then many lists of the source everybody likes best: they prove nothing about the other.
#[test]
fn lists_that_teach_nothing_lend_no_weight_to_what_others_taught() {
    let all = sums_of([(Source::Collaborative, 0.8), (Source::Content, 0.2)], 2_000);
    let mut own = WeightSums::default();
    let mixed: Vec<(Source, f64)> =
        (0..10).map(|_| (Source::Collaborative, 0.0)).chain([(Source::Content, 1.0)]).collect();
    own.add(&mixed, 1.0);
    (0..25).for_each(|_| own.add(&[(Source::Collaborative, 1.0); 20], 1.0));
    let content = worth(&shrunk(&own, &all), Source::Content)
        - worth(&shrunk(&WeightSums::default(), &all), Source::Content);
    assert!(content < 11.0 / (11.0 + KAPPA), "{content}");
}

/// Random chains: what flows into each state flows out of it.
#[test]
fn the_stationary_distribution_is_in_balance() {
    let mut rng = SplitMix64::new(12);
    for size in 1..=WIDTH {
        let row = |rng: &mut SplitMix64| (0..size).map(|_| rng.uniform().powi(9) + 1e-12).collect();
        let rates: Vec<Vec<f64>> = (0..size).map(|_| row(&mut rng)).collect();
        let shares = stationary(rates.clone());
        for state in 0..size {
            let others = || (0..size).filter(|&other| other != state);
            let into: f64 = others().map(|other| shares[other] * rates[other][state]).sum();
            let out: f64 = others().map(|other| shares[state] * rates[state][other]).sum();
            assert!((into - out).abs() <= 1e-9 * into.max(out), "{size} states, {state}: {into} {out}");
        }
    }
}

/// Sums of lists of two sources whose rewards are in this ratio, and so many impressions.
fn sums_of(pairs: [(Source, f64); 2], impressions: u32) -> WeightSums {
    let mut sums = WeightSums::default();
    (0..impressions / 2).for_each(|_| sums.add(&pairs, 1.0));
    sums
}

#[test]
fn few_impressions_of_ones_own_hardly_move_everybodys_weights() {
    let all = sums_of([(Source::Collaborative, 0.8), (Source::Content, 0.2)], 2_000);
    let own = |impressions| sums_of([(Source::Collaborative, 0.0), (Source::Content, 1.0)], impressions);
    let sharp = |of: f64, other: f64| of.powi(3) / (of.powi(3) + other.powi(3));
    let few = worth(&shrunk(&own(6), &all), Source::Content);
    assert!((few - (6.0 / 56.0 + 50.0 / 56.0 * sharp(0.2, 0.8))).abs() < 1e-3, "{few:?}");
    assert!(worth(&shrunk(&own(500), &all), Source::Content) > 0.9);
    let none = worth(&shrunk(&WeightSums::default(), &all), Source::Collaborative);
    assert!((none - sharp(0.8, 0.2)).abs() < 1e-3);
}

/// Random impressions of a listener and of everybody: the weights in use are `n/(n+κ)` of their own and the rest of
/// everybody's, sum to 1 and are never negative, whatever `n`.
#[test]
fn a_listener_of_n_impressions_has_their_share_of_n_by_n_and_kappa() {
    let mut rng = SplitMix64::new(0x5EED);
    for lists in [0, 1, 5, 50, 500] {
        for _ in 0..20 {
            let (mut own, mut all) = (WeightSums::default(), WeightSums::default());
            let worths: [f64; 4] =
                std::array::from_fn(|i| if i == 0 { 0.5 } else { (rng.uniform() - 0.3).max(0.0) });
            let turned = std::array::from_fn(|i| worths[(i + 1) % 4]);
            shown(&mut all, &mut rng, worths, 200, |_| (1.0, [1.0; 4]));
            shown(&mut own, &mut rng, turned, lists, |_| (1.0, [1.0; 4]));
            let unit = |worths: BySource| {
                let total: f64 = worths.iter().map(|worth| worth.powi(3)).sum();
                worths.map(|worth| if total > 0.0 { worth.powi(3) / total } else { 0.0 })
            };
            let (mine, everybody) = (unit(own.worths()), unit(all.worths()));
            // Lists that brought in nothing are no impressions.
            let n = own.weight;
            assert!(n <= 20.0 * lists as f64);
            let share = if mine.iter().any(|weight| *weight > 0.0) { n / (n + KAPPA) } else { 0.0 };
            let found = shrunk(&own, &all);
            for i in 0..WIDTH {
                let expected = share * mine[i] + (1.0 - share) * everybody[i];
                assert!((found[i] - expected).abs() < 1e-12, "n {n}, source {i}: {} {expected}", found[i]);
                assert!(found[i] >= 0.0);
            }
            assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9, "n {n}: {found:?}");
        }
    }
}

#[test]
fn only_what_the_recipe_weighs_is_reweighed_and_the_sum_stays() {
    let weights =
        [(Source::Collaborative, 0.5), (Source::Content, 0.3), (Source::Audio, 0.2), (Source::Trending, 0.0)];
    let learnt = by_source(&[(Source::Collaborative, 0.1), (Source::Content, 0.3), (Source::Trending, 0.6)]);
    let found = reweighed(&weights, &learnt, &learnt.map(|weight| weight > 0.0));
    assert!((found[0].1 - 0.2).abs() < 1e-12 && (found[1].1 - 0.6).abs() < 1e-12, "{found:?}");
    assert_eq!((found[2].1, found[3].1), (0.2, 0.0));
    assert_eq!(reweighed(&weights, &[0.0; WIDTH], &[true; WIDTH]), weights);
    assert_eq!(reweighed(&weights, &learnt, &[false; WIDTH]), weights);
}

/// Found with a simulated population that likes one source alone: the others, worth nothing, kept their weights, and so
/// nothing was ever learnt.
#[test]
fn a_source_that_is_known_to_be_worthless_loses_its_weight() {
    let weights = [(Source::Collaborative, 0.4), (Source::Content, 0.4), (Source::Audio, 0.2)];
    let (own, mut all) = (WeightSums::default(), WeightSums::default());
    let mut show = |source: Source, times: u32| {
        (0..times).for_each(|_| all.add(&[(source, 0.0), (Source::Audio, 0.8)], 1.0));
        let learnt = shrunk(&own, &all);
        let found = reweighed(&weights, &learnt, &known(&learnt, &own, &all));
        [found[0].1, found[1].1, found[2].1]
    };
    let near = |found: [f64; 3], expected: [f64; 3]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
    };
    near(show(Source::Collaborative, 49), [0.4, 0.4, 0.2]);
    near(show(Source::Collaborative, 1), [0.0, 0.4, 0.6]);
    near(show(Source::Content, 50), [0.0, 0.0, 1.0]);
}
