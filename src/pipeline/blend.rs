//! Joining the lists of sources whose scores are not comparable (PIPELINE.md §5).
//!
//! Each list is normalised over its own fetched depth, so a candidate's score does not depend on what other sources
//! or filters did. A source that returned nothing takes no part: its weight goes to the others, it is not a zero for
//! everyone. A track that an available source did not return has 0 there.

use super::candidate::{Parts, SourcePart, best_first, order_by};
use super::recipe::{Maturity, Normalization, Recipe, Source};
use crate::types::TrackRef;

/// The constant of reciprocal rank fusion.
const RRF_K: f64 = 10.0;
/// The standard score that becomes 1 (and, negated, 0).
const Z_MAX: f64 = 3.0;

/// What one source returned, best first, at most its fetch depth, no track twice.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceList {
    /// The source.
    pub source: Source,
    /// Tracks and the source's own scores, larger is better.
    pub hits: Vec<(TrackRef, f64)>,
}

/// A track of at least one list with its joint score.
#[derive(Debug, Clone, PartialEq)]
pub struct Blended {
    /// Which track.
    pub track: TrackRef,
    /// `Σ weight · normalised score`, 0 to 1.
    pub base: f64,
    /// Each source's part, in source order.
    pub parts: Parts,
}

/// Brings a list's scores, best first, to 0..=1. All equal (a single one too) gives 0.5; a score that is not finite
/// gives 0 and counts nowhere.
#[must_use]
pub fn normalize(scores: &[f64], normalization: Normalization) -> Vec<f64> {
    let finite = || scores.iter().copied().filter(|score| score.is_finite());
    let (min, max) =
        finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), s| (min.min(s), max.max(s)));
    let scaled: Box<dyn Fn(usize, f64) -> f64> = if min >= max {
        Box::new(|_, _| 0.5)
    } else {
        match normalization {
            Normalization::MinMax => Box::new(move |_, score| (score - min) / (max - min)),
            Normalization::Rrf => Box::new(|row, _| {
                // Equal scores share the better rank.
                let rank = scores[..row].iter().rposition(|&other| other != scores[row]).map_or(0, |i| i + 1);
                (RRF_K + 1.0) / (RRF_K + 1.0 + rank as f64)
            }),
            Normalization::ZScore => {
                let count = finite().count() as f64;
                let mean = finite().sum::<f64>() / count;
                let deviation = (finite().map(|s| (s - mean) * (s - mean)).sum::<f64>() / count).sqrt();
                Box::new(move |_, score| {
                    (0.5 + (score - mean) / deviation.max(f64::MIN_POSITIVE) / (2.0 * Z_MAX)).clamp(0.0, 1.0)
                })
            }
        }
    };
    scores
        .iter()
        .enumerate()
        .map(|(row, &score)| if score.is_finite() { scaled(row, score) } else { 0.0 })
        .collect()
}

/// The recipe's weights for a listener with so many plays: linear between the columns (0, 30, 500 plays), the last
/// column beyond. In the recipe's order of sources; not yet normalised.
#[must_use]
pub fn weights_at(recipe: &Recipe, plays: u32) -> Vec<(Source, f64)> {
    let [start, middle, end] = Maturity::PLAYS.map(f64::from);
    let plays = f64::from(plays).min(end);
    recipe
        .sources
        .iter()
        .map(|spec| {
            let [new, grown, mature] = spec.weights;
            let weight = if plays <= middle {
                new + (grown - new) * (plays - start) / (middle - start)
            } else {
                grown + (mature - grown) * (plays - middle) / (end - middle)
            };
            (spec.source, weight)
        })
        .collect()
}

/// The weights of the sources that returned something, summing to 1. When all of those weigh 0 they share equally.
fn available_weights(lists: &[SourceList], weights: &[(Source, f64)]) -> Vec<f64> {
    let weight = |source| weights.iter().find(|(of, _)| *of == source).map_or(0.0, |(_, weight)| *weight);
    let mut available: Vec<f64> =
        lists.iter().map(|list| if list.hits.is_empty() { 0.0 } else { weight(list.source) }).collect();
    let total: f64 = available.iter().sum();
    if total > 0.0 {
        available.iter_mut().for_each(|weight| *weight /= total);
    } else {
        let count = lists.iter().filter(|list| !list.hits.is_empty()).count();
        let share = 1.0 / count.max(1) as f64;
        available = lists.iter().map(|list| if list.hits.is_empty() { 0.0 } else { share }).collect();
    }
    available
}

/// Joins the lists: every track of any list, best first (ties by source order, then `key`, that of the track's id).
///
/// `weights` come from [`weights_at`]; a source without a weight has 0 and only contributes candidates. Cost:
/// O(tracks · log tracks).
#[must_use]
pub fn blend(
    lists: &[SourceList],
    weights: &[(Source, f64)],
    normalization: Normalization,
    key: impl Fn(TrackRef) -> u64,
) -> Vec<Blended> {
    let available = available_weights(lists, weights);
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|&list| lists[list].source);
    let mut parts: Vec<SourcePart> = Vec::with_capacity(lists.iter().map(|list| list.hits.len()).sum());
    let mut tracks: Vec<(TrackRef, usize)> = Vec::with_capacity(parts.capacity());
    for list in order {
        let scores: Vec<f64> = lists[list].hits.iter().map(|(_, score)| *score).collect();
        let normalized = normalize(&scores, normalization);
        for (rank, (&(track, raw), normalized)) in (0..).zip(lists[list].hits.iter().zip(normalized)) {
            let (source, weight) = (lists[list].source, available[list]);
            tracks.push((track, parts.len()));
            parts.push(SourcePart { source, raw, normalized, weight, rank });
        }
    }
    // Parts of one track stay in source order.
    tracks.sort_unstable();
    let join = |of_track: &[(TrackRef, usize)]| {
        let parts: Parts = of_track.iter().map(|(_, part)| parts[*part]).collect();
        let base = parts.iter().map(|part| part.weight * part.normalized).sum();
        Some(Blended { track: of_track[0].0, base, parts })
    };
    let mut joined: Vec<Option<Blended>> = Vec::with_capacity(tracks.len());
    joined.extend(tracks.chunk_by(|a, b| a.0 == b.0).map(join));
    let order = best_order(&joined, key);
    order.into_iter().filter_map(|place| joined[place].take()).collect()
}

/// The places of blended tracks, best first.
fn best_order(joined: &[Option<Blended>], key: impl Fn(TrackRef) -> u64) -> Vec<usize> {
    let tie = |a: usize, b: usize| match (&joined[a], &joined[b]) {
        (Some(a), Some(b)) => {
            let by_source = best_first((a.base, &a.parts), (b.base, &b.parts));
            by_source.then_with(|| key(a.track).cmp(&key(b.track)))
        }
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    order_by(joined.len(), |place| joined[place].as_ref().map_or(0.0, |track| track.base), tie)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::facts::samples::track_ref;
    use crate::pipeline::recipe::built_in;

    fn list(source: Source, hits: &[(u32, f64)]) -> SourceList {
        SourceList { source, hits: hits.iter().map(|&(track, score)| (track_ref(track), score)).collect() }
    }

    fn by_ordinal(track: TrackRef) -> u64 {
        track.ordinal.0.into()
    }

    #[test]
    fn lists_come_to_one_scale() {
        use Normalization::{MinMax, Rrf, ZScore};
        assert_eq!(normalize(&[8.0, 6.0, 4.0], MinMax), [1.0, 0.5, 0.0]);
        assert_eq!(normalize(&[9.0, 5.0, 5.0, 1.0], Rrf), [1.0, 11.0 / 12.0, 11.0 / 12.0, 11.0 / 14.0]);
        let z = normalize(&[1.0, 0.0, -1.0], ZScore);
        assert!(z[0] > 0.5 && z[1] == 0.5 && (z[0] + z[2] - 1.0).abs() < 1e-12);
        for normalization in [MinMax, Rrf, ZScore] {
            assert_eq!(normalize(&[3.0, 3.0], normalization), [0.5, 0.5]);
            assert_eq!(normalize(&[3.0], normalization), [0.5]);
            assert!(normalize(&[], normalization).is_empty());
        }
        assert_eq!(normalize(&[2.0, f64::NAN, 1.0], MinMax), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn weights_are_linear_between_the_columns() {
        let recipe = built_in().swap_remove(0);
        let collaborative = |plays| weights_at(&recipe, plays)[0].1;
        assert_eq!((collaborative(0), collaborative(30), collaborative(500)), (0.0, 0.3, 0.5));
        assert!((collaborative(15) - 0.15).abs() < 1e-12 && (collaborative(265) - 0.4).abs() < 1e-12);
        assert_eq!(collaborative(100_000), 0.5);
        for plays in [0, 7, 30, 265, 500] {
            let total: f64 = weights_at(&recipe, plays).iter().map(|(_, weight)| weight).sum();
            assert!((total - 1.0).abs() < 1e-12, "{plays} plays: {total}");
        }
    }

    #[test]
    fn a_source_that_returned_nothing_is_not_a_zero_for_everyone() {
        let weights = [(Source::Collaborative, 0.5), (Source::Content, 0.3), (Source::Trending, 0.2)];
        let lists = [
            list(Source::Collaborative, &[]),
            list(Source::Content, &[(1, 0.9), (2, 0.1)]),
            list(Source::Trending, &[(2, 80.0), (3, 10.0)]),
        ];
        let blended = blend(&lists, &weights, Normalization::MinMax, by_ordinal);
        let base: Vec<(u32, f64)> = blended.iter().map(|b| (b.track.ordinal.0, b.base)).collect();
        assert_eq!(base, [(1, 0.6), (2, 0.4), (3, 0.0)], "0.3 and 0.2 become 0.6 and 0.4");
        assert_eq!(blended[1].parts.len(), 2);
        assert_eq!((blended[1].parts[1].raw, blended[1].parts[1].rank), (80.0, 0));
    }

    #[test]
    fn sources_that_all_weigh_nothing_share_equally() {
        let blended = blend(
            &[list(Source::Collaborative, &[(1, 2.0), (2, 1.0)])],
            &[(Source::Collaborative, 0.0), (Source::Audio, 1.0)],
            Normalization::MinMax,
            by_ordinal,
        );
        assert_eq!((blended[0].base, blended[1].base), (1.0, 0.0));
    }

    #[test]
    fn ties_go_by_source_order_then_id() {
        let weights = [(Source::Content, 0.5), (Source::Audio, 0.5)];
        let lists = [
            list(Source::Audio, &[(1, 2.0), (8, 1.0)]),
            list(Source::Content, &[(7, 2.0), (5, 2.0), (9, 1.0)]),
        ];
        let order: Vec<u32> = blend(&lists, &weights, Normalization::MinMax, by_ordinal)
            .iter()
            .map(|blended| blended.track.ordinal.0)
            .collect();
        assert_eq!(order, [5, 7, 1, 9, 8]);
    }

    proptest! {
        #[test]
        fn bases_stay_in_the_unit_interval_and_order_of_lists_does_not_matter(
            a in prop::collection::vec(-1e3_f64..1e3, 0..30),
            b in prop::collection::vec(-1e3_f64..1e3, 0..30),
            weights in (0.0_f64..3.0, 0.0_f64..3.0),
        ) {
            let sorted = |mut scores: Vec<f64>, step: u32| {
                scores.sort_by(|x, y| y.total_cmp(x));
                (0..).map(|i| i * step).zip(scores).collect::<Vec<(u32, f64)>>()
            };
            let mut lists =
                vec![list(Source::Collaborative, &sorted(a, 1)), list(Source::Audio, &sorted(b, 2))];
            let weights = [(Source::Collaborative, weights.0), (Source::Audio, weights.1)];
            for normalization in [Normalization::MinMax, Normalization::Rrf, Normalization::ZScore] {
                let forward = blend(&lists, &weights, normalization, by_ordinal);
                prop_assert!(forward.iter().all(|track| (0.0..=1.0 + 1e-12).contains(&track.base)));
                lists.reverse();
                prop_assert_eq!(blend(&lists, &weights, normalization, by_ordinal), forward);
            }
        }
    }
}
