//! The last places of a set go to the least known of the good.
//!
//! Every listener's best candidates include the same well-known tracks, so lists chosen by relevance alone show a small part of a
//! catalogue, whatever the diversity inside each of them (Steck, RecSys 2011, on popularity and accuracy; EVAL.md counts the
//! share of tracks that reach anybody as coverage). Relevance falls slowly behind the first places: taking the less known of
//! two tracks that are nearly as good costs little there (benches/RESULTS.md has the exchange rate).

use super::caps::{CapLimits, Counts};
use super::mmr::{Pick, min_max};
use crate::pipeline::candidate::Candidate;

/// A list of n chooses these places from its best `WINDOW · n` candidates.
const WINDOW: usize = 3;
/// Unknown popularity counts as the middle: it must neither win nor lose a place.
const UNKNOWN: f32 = 50.0;

/// Chooses up to `count` of the candidates, which stand best first, for a list of `n`: by popularity, least first, of
/// equals the better; `chosen` rows are taken already and count for caps. Fewer come back when caps keep the others of the
/// window out. Cost: candidates in the window × picks.
#[must_use]
pub fn long_tail(
    candidates: &[Candidate<'_>],
    chosen: &[usize],
    (n, count): (usize, usize),
    limits: CapLimits,
) -> Vec<Pick> {
    let mut counts = Counts::default();
    chosen.iter().filter_map(|&row| candidates.get(row)).for_each(|taken| counts.add(taken.facts));
    let mut is_open = vec![true; candidates.len()];
    chosen.iter().filter(|row| **row < candidates.len()).for_each(|&row| is_open[row] = false);
    let open: Vec<usize> = (0..candidates.len()).filter(|&row| is_open[row]).collect();
    let mut relevance = vec![0.5; candidates.len()];
    min_max(candidates, &open, &mut relevance);
    let mut window: Vec<usize> = open.into_iter().take_while(|&row| row < WINDOW * n).collect();
    let popularity = |row: usize| candidates[row].facts.popularity.unwrap_or(UNKNOWN);
    // A stable sort: of equals the better stays first.
    window.sort_by(|&a, &b| popularity(a).total_cmp(&popularity(b)));
    let mut picks = Vec::with_capacity(count);
    for row in window {
        if picks.len() == count {
            break;
        }
        if counts.cap(candidates[row].facts, limits).is_none() {
            counts.add(candidates[row].facts);
            picks.push(Pick { row, relevance: relevance[row], penalty: 0.0 });
        }
    }
    picks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::facts::TrackFacts;
    use crate::pipeline::facts::samples::track;
    use crate::types::SplitMix64;

    const CAPS: CapLimits = CapLimits { artist: 2, album: 0, one_a_recording: true };

    fn tracks(count: u32, popularity: impl Fn(u32) -> Option<f32>) -> Vec<TrackFacts> {
        (0..count).map(|n| TrackFacts { popularity: popularity(n), ..track(n, u64::from(n)) }).collect()
    }

    fn candidates(tracks: &[TrackFacts]) -> Vec<Candidate<'_>> {
        let score = |place: usize| 1.0 - place as f64 / 1_000.0;
        tracks
            .iter()
            .enumerate()
            .map(|(place, facts)| Candidate::new(facts, Vec::new(), score(place)))
            .collect()
    }

    fn rows(picks: &[Pick]) -> Vec<usize> {
        picks.iter().map(|pick| pick.row).collect()
    }

    #[test]
    fn the_least_known_of_the_window_come_first_and_nothing_behind_it() {
        // Row 31 is behind the window of a list of ten; rows 5 and 9 are taken; unknown counts as the middle.
        let known =
            |n| [(5, 1.0), (9, 2.0), (12, 3.0), (20, 4.0), (31, 0.0)].into_iter().find(|(at, _)| *at == n);
        let tracks =
            tracks(40, |n| if n == 15 { None } else { Some(known(n).map_or(80.0, |(_, known)| known)) });
        let picks = long_tail(&candidates(&tracks), &[5, 9], (10, 4), CAPS);
        assert_eq!(rows(&picks), vec![12, 20, 15, 0]);
        assert!(picks[0].relevance > 0.6 && picks[0].relevance < 0.8, "{picks:?}");
        assert_eq!(long_tail(&candidates(&tracks), &[], (10, 0), CAPS), Vec::new());
    }

    #[test]
    fn caps_hold_and_a_full_window_leaves_places_open() {
        let mut all = tracks(6, |n| Some(n as f32));
        let artists = all[0].artists.clone();
        all.iter_mut().for_each(|facts| facts.artists.clone_from(&artists));
        assert_eq!(rows(&long_tail(&candidates(&all), &[3], (4, 3), CAPS)), vec![0]);
    }

    /// The goal: over many listeners who like the same things, a fifth of the places reaches far more of the catalogue.
    #[test]
    fn lists_of_many_listeners_reach_more_tracks() {
        let seed = 7;
        println!("SEED={seed}");
        let mut rng = SplitMix64::new(seed);
        let catalogue = tracks(1_000, |n| Some(100.0 - n as f32 / 10.0));
        let (mut plain, mut with_tail) =
            (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for _ in 0..100 {
            // Everybody's best are mostly the popular ones.
            let mut scored: Vec<(f64, &TrackFacts)> = catalogue
                .iter()
                .enumerate()
                .map(|(place, facts)| (rng.uniform() * 2.0 - (place as f64 + 1.0).ln() / 2.0, facts))
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            let best: Vec<Candidate<'_>> = scored
                .iter()
                .take(60)
                .map(|(score, facts)| Candidate::new(facts, Vec::new(), *score))
                .collect();
            let head: Vec<usize> = (0..8).collect();
            plain.extend(best[..10].iter().map(|it| it.track()));
            with_tail.extend(head.iter().map(|&row| best[row].track()));
            let tail = long_tail(&best, &head, (10, 2), CAPS);
            assert_eq!(tail.len(), 2);
            with_tail.extend(tail.iter().map(|pick| best[pick.row].track()));
        }
        let gain = with_tail.len() as f64 / plain.len() as f64;
        println!("{} tracks without, {} with", plain.len(), with_tail.len());
        assert!(gain >= 1.5, "gain={gain}");
    }
}
