//! Beyond accuracy (EVAL.md): how varied, how broad, how surprising lists are. Pure functions of lists.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

use super::bootstrap::{Term, ratios};

/// Means over lists.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Quality {
    /// Lists judged.
    pub lists: u64,
    /// Mean `1 − sim` over the pairs of a list, `sim = (1 + cos)/2`: 0 = all alike.
    pub intra_list_distance: f64,
    /// Mean of `−log2` of the share of listeners who know a track: how far from the charts.
    pub novelty: f64,
    /// Share of a list's places taken by an artist who stands before.
    pub artist_repeats: f64,
    /// Listed tracks heard inside the recipe's window, of lists that do not say `relaxed`.
    pub window_repeats: u64,
    /// Share of the places that explore.
    pub explored: f64,
    /// Mean absolute distance of the energy from the recipe's arc, both 0 to 1 over the list's own range.
    pub energy_error: f64,
    /// Gini coefficient of how often each track of the catalogue is listed: 0 = all alike, 1 = one track only.
    pub gini: f64,
}

/// What is looked at in one list.
#[derive(Debug, Clone, Default)]
pub struct ListFacts<I> {
    /// The tracks, first to last.
    pub tracks: Vec<I>,
    /// Their primary artists; equal numbers are one artist.
    pub artists: Vec<u64>,
    /// Mean distance of its pairs, where any two have vectors.
    pub distance: Option<f64>,
    /// Listeners who know each track.
    pub listeners: Vec<u64>,
    /// Energies, and the level the arc asks for at each place; only tracks with known energy.
    pub energies: Vec<(f64, f64)>,
    /// Places that explore.
    pub explored: u64,
    /// Tracks heard inside the window although the list does not say `relaxed`.
    pub window_repeats: u64,
}

/// What one list adds to the means of [`Quality`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListQuality {
    /// Of [`Quality::intra_list_distance`].
    pub distance: Term,
    /// Of [`Quality::novelty`].
    pub novelty: Term,
    /// Of [`Quality::artist_repeats`].
    pub artist_repeats: Term,
    /// Of [`Quality::explored`].
    pub explored: Term,
    /// Of [`Quality::energy_error`].
    pub energy_error: Term,
}

impl<I> ListFacts<I> {
    /// What the list adds where `all_listeners` is what the share of listeners who know a track is taken of.
    fn quality(&self, all_listeners: u64) -> ListQuality {
        let places = self.tracks.len() as f64;
        let artists: std::collections::HashSet<u64> = self.artists.iter().copied().collect();
        // A track nobody knows is as surprising as one that a single listener knows.
        let surprise = |&listeners: &u64| -(listeners.max(1) as f64 / all_listeners as f64).min(1.0).log2();
        let of_lists = |value: Option<f64>| value.map_or((0.0, 0.0), |value| (value, 1.0));
        ListQuality {
            distance: of_lists(self.distance),
            novelty: (self.listeners.iter().map(surprise).sum(), places),
            artist_repeats: ((self.artists.len() - artists.len()) as f64, places),
            explored: (self.explored as f64, places),
            energy_error: of_lists(energy_error(&self.energies)),
        }
    }
}

/// Adds up lists.
#[derive(Debug, Clone)]
pub struct QualitySums<I> {
    all_listeners: u64,
    lists: Vec<[Term; 5]>,
    window_repeats: u64,
    listed: HashMap<I, u64>,
}

impl<I: Eq + Hash + Clone> QualitySums<I> {
    /// `all_listeners` is what the share of listeners who know a track is taken of.
    #[must_use]
    pub fn new(all_listeners: u64) -> Self {
        Self {
            all_listeners: all_listeners.max(1),
            lists: Vec::new(),
            window_repeats: 0,
            listed: HashMap::new(),
        }
    }

    /// Adds one list and returns what it adds to the means; an empty one counts nowhere.
    pub fn add(&mut self, list: &ListFacts<I>) -> ListQuality {
        let quality = list.quality(self.all_listeners);
        if list.tracks.is_empty() {
            return quality;
        }
        let ListQuality { distance, novelty, artist_repeats, explored, energy_error } = quality;
        self.lists.push([distance, novelty, artist_repeats, explored, energy_error]);
        self.window_repeats += list.window_repeats;
        list.tracks.iter().for_each(|track| *self.listed.entry(track.clone()).or_default() += 1);
        quality
    }

    /// The means, over a catalogue of `catalogue` tracks.
    #[must_use]
    pub fn report(&self, catalogue: usize) -> Quality {
        let counts: Vec<u64> = self.listed.values().copied().collect();
        let [intra_list_distance, novelty, artist_repeats, explored, energy_error] = ratios(&self.lists);
        Quality {
            lists: self.lists.len() as u64,
            intra_list_distance,
            novelty,
            artist_repeats,
            window_repeats: self.window_repeats,
            explored,
            energy_error,
            gini: gini(counts, catalogue),
        }
    }
}

/// Mean absolute distance of energies from what the arc asks, both min-maxed over the list.
fn energy_error(energies: &[(f64, f64)]) -> Option<f64> {
    let range = |value: fn(&(f64, f64)) -> f64| {
        energies.iter().map(value).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)))
    };
    let ((low, high), (bottom, top)) = (range(|e| e.0), range(|e| e.1));
    if energies.len() < 2 || high <= low || top <= bottom {
        return None;
    }
    let off = |&(energy, level): &(f64, f64)| {
        ((energy - low) / (high - low) - (level - bottom) / (top - bottom)).abs()
    };
    Some(energies.iter().map(off).sum::<f64>() / energies.len() as f64)
}

/// Gini coefficient of counts over a catalogue in which all other items count 0.
#[must_use]
pub fn gini(mut counts: Vec<u64>, catalogue: usize) -> f64 {
    counts.sort_unstable();
    let (n, zeros) = (catalogue.max(counts.len()), catalogue.saturating_sub(counts.len()));
    let total: u64 = counts.iter().sum();
    if total == 0 || n < 2 {
        return 0.0;
    }
    let ranked: f64 = counts.iter().zip(zeros + 1..).map(|(&count, rank)| rank as f64 * count as f64).sum();
    let n = n as f64;
    (2.0 * ranked / (n * total as f64) - (n + 1.0) / n) * n / (n - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gini_is_0_for_all_alike_and_1_for_one_only() {
        assert!(gini(vec![3; 10], 10).abs() < 1e-12);
        assert!((gini(vec![30], 10) - 1.0).abs() < 1e-12);
        assert!((gini(vec![1, 3], 2) - 0.5).abs() < 1e-12);
        assert_eq!(gini(Vec::new(), 10), 0.0);
    }

    #[test]
    fn a_hand_computed_pair_of_lists_has_the_computed_means() {
        let mut sums = QualitySums::new(8);
        sums.add(&ListFacts {
            tracks: vec![1, 2],
            artists: vec![7, 7],
            distance: Some(0.2),
            listeners: vec![8, 2],
            energies: vec![(0.2, 0.0), (0.8, 1.0)],
            explored: 1,
            window_repeats: 1,
        });
        sums.add(&ListFacts {
            tracks: vec![1, 3],
            artists: vec![7, 8],
            listeners: vec![4, 0],
            ..ListFacts::default()
        });
        sums.add(&ListFacts::default());
        let report = sums.report(4);
        assert_eq!((report.lists, report.window_repeats), (2, 1));
        assert_eq!((report.intra_list_distance, report.artist_repeats, report.explored), (0.2, 0.25, 0.25));
        assert_eq!(report.novelty, (0.0 + 2.0 + 1.0 + 3.0) / 4.0);
        assert_eq!(report.energy_error, 0.0);
        assert_eq!(energy_error(&[(0.8, 0.0), (0.2, 1.0)]), Some(1.0));
    }
}
