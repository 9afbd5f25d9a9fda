//! What an order costs.

use std::collections::BTreeMap;

use super::SequenceTrack;
use crate::pipeline::compatible::{camelot, camelot_distance, tempo, tempo_gap_octaves};
use crate::pipeline::explore::SAFE_SLOTS;
use crate::pipeline::facts::finite;
use crate::pipeline::recipe::EnergyArc;
use crate::types::AudioFeatures;

/// Weight of transitions against squared energy errors.
const TRANSITION_WEIGHT: f64 = 0.05;
/// Weight of one artist's tracks being close beyond the gap.
const CLOSENESS_WEIGHT: f64 = 0.02;
/// The cost of one pair closer than the gap: more than all else together.
const VIOLATION: f64 = 1e6;
/// What an unknown part of a transition counts, of 0 to 1: neither smooth nor rough.
const UNKNOWN: f64 = 0.3;
/// Sets up to this size keep a table of all transitions.
const TABLE_MAX: usize = 256;

/// What a transition looks at.
#[derive(Debug, Clone, Copy)]
struct Sound {
    tempo: Option<f64>,
    key: Option<(u8, bool)>,
    loudness: Option<f64>,
}

impl Sound {
    fn new(audio: &AudioFeatures) -> Self {
        Self { tempo: tempo(audio), key: camelot(audio), loudness: finite(audio.loudness) }
    }

    /// 0 (seamless) to 1: half tempo, three tenths key, two tenths loudness.
    fn transition(&self, next: &Self) -> f64 {
        let both = |a: Option<f64>, b: Option<f64>, distance: fn(f64, f64) -> f64| {
            a.zip(b).map_or(UNKNOWN, |(a, b)| distance(a, b).min(1.0))
        };
        let tempo = both(self.tempo, next.tempo, |a, b| tempo_gap_octaves(a, b) / 0.5);
        let key = self.key.zip(next.key).map_or(UNKNOWN, |(a, b)| f64::from(camelot_distance(a, b)) / 7.0);
        let loudness = both(self.loudness, next.loudness, |a, b| (a - b).abs() / 12.0);
        0.5 * tempo + 0.3 * key + 0.2 * loudness
    }
}

/// A set to be ordered, in the numbers the search works on.
pub(super) struct Instance {
    pub(super) energy: Vec<f64>,
    pub(super) target: Vec<f64>,
    /// Number of each track's artist; tracks without one have a number of their own.
    pub(super) artist: Vec<usize>,
    /// The rows of each artist, ascending.
    pub(super) rows_of: Vec<Vec<usize>>,
    /// The cost of each track's smoothest transition to any other.
    pub(super) nearest: Vec<f64>,
    pub(super) explored: Vec<bool>,
    pub(super) slots: Vec<bool>,
    /// Whether explored tracks keep to `slots`, or only out of the first three.
    pub(super) fixed_slots: bool,
    /// The distance that tracks of one artist keep.
    pub(super) gap: usize,
    sounds: Vec<Sound>,
    table: Vec<f32>,
}

impl Instance {
    pub(super) fn new(tracks: &[SequenceTrack<'_>], slots: &[bool], arc: &EnergyArc) -> Self {
        let energy = energies(tracks);
        let (low, high) = energy
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &e| (low.min(e), high.max(e)));
        let last = tracks.len().saturating_sub(1).max(1) as f64;
        let target =
            (0..tracks.len()).map(|slot| low + arc.level(slot as f64 / last) * (high - low)).collect();
        let (artist, rows_of) = artists(tracks);
        // More explorations than open slots cannot keep out of the first three: then none is special.
        let explored = tracks.iter().filter(|track| track.explored).count();
        let special = explored + SAFE_SLOTS <= tracks.len();
        let sounds: Vec<Sound> = tracks.iter().map(|track| Sound::new(&track.facts.audio)).collect();
        let mut table = Vec::new();
        if tracks.len() <= TABLE_MAX {
            table.reserve_exact(sounds.len() * sounds.len());
            sounds.iter().for_each(|from| table.extend(sounds.iter().map(|to| from.transition(to) as f32)));
        }
        let mut instance = Self {
            energy,
            target,
            artist,
            rows_of,
            nearest: vec![0.0; tracks.len()],
            explored: tracks.iter().map(|track| track.explored && special).collect(),
            slots: if special { slots.to_vec() } else { vec![false; tracks.len()] },
            fixed_slots: true,
            gap: 1,
            sounds,
            table,
        };
        if !instance.table.is_empty() {
            instance.nearest = (0..tracks.len()).map(|row| instance.smoothest(row)).collect();
        }
        instance
    }

    fn smoothest(&self, row: usize) -> f64 {
        let others = (0..self.len()).filter(|&other| other != row);
        others.map(|other| self.transition_cost(row, other)).fold(f64::INFINITY, f64::min)
    }

    pub(super) fn len(&self) -> usize {
        self.energy.len()
    }

    /// Tracks by the artist of a row.
    pub(super) fn count_of(&self, row: usize) -> usize {
        self.rows_of[self.artist[row]].len()
    }

    /// Whether a track may stand in a slot.
    pub(super) fn allowed(&self, row: usize, slot: usize) -> bool {
        if self.fixed_slots {
            self.explored[row] == self.slots[slot]
        } else {
            !self.explored[row] || slot >= SAFE_SLOTS
        }
    }

    pub(super) fn energy_cost(&self, row: usize, slot: usize) -> f64 {
        let error = self.energy[row] - self.target[slot];
        error * error
    }

    pub(super) fn transition_cost(&self, from: usize, to: usize) -> f64 {
        let raw = match self.table.get(from * self.len() + to) {
            Some(&raw) => f64::from(raw),
            None => self.sounds[from].transition(&self.sounds[to]),
        };
        TRANSITION_WEIGHT * raw
    }

    /// How far a pair of one artist still costs something.
    pub(super) fn reach(&self) -> usize {
        2 * self.gap
    }

    /// The cost of two tracks of one artist at a distance of 1 or more.
    pub(super) fn pair_cost(&self, distance: usize) -> f64 {
        let near = (1.0 - distance as f64 / self.reach() as f64).max(0.0);
        CLOSENESS_WEIGHT * near + if distance < self.gap { VIOLATION } else { 0.0 }
    }

    /// The whole cost of an order.
    pub(super) fn cost(&self, order: &[usize]) -> f64 {
        let energy: f64 = order.iter().enumerate().map(|(slot, &row)| self.energy_cost(row, slot)).sum();
        let transitions: f64 = order.windows(2).map(|pair| self.transition_cost(pair[0], pair[1])).sum();
        energy + transitions + self.pairs(order).map(|distance| self.pair_cost(distance)).sum::<f64>()
    }

    /// Pairs of one artist closer than the gap.
    pub(super) fn violations(&self, order: &[usize]) -> usize {
        self.pairs(order).filter(|&distance| distance < self.gap).count()
    }

    pub(super) fn energy_error(&self, order: &[usize]) -> f64 {
        let squares: f64 = order.iter().enumerate().map(|(slot, &row)| self.energy_cost(row, slot)).sum();
        (squares / order.len().max(1) as f64).sqrt()
    }

    /// Distances of pairs of one artist within reach.
    fn pairs<'o>(&'o self, order: &'o [usize]) -> impl Iterator<Item = usize> + 'o {
        order.iter().enumerate().flat_map(move |(slot, &row)| {
            let after = order.iter().skip(slot + 1).take(self.reach()).zip(1..);
            after
                .filter(move |&(&other, _)| self.artist[other] == self.artist[row])
                .map(|(_, distance)| distance)
        })
    }
}

/// Energies, the unknown ones at the median of the known (0.5 when none is known).
fn energies(tracks: &[SequenceTrack<'_>]) -> Vec<f64> {
    let energy = |track: &SequenceTrack<'_>| finite(track.facts.audio.energy);
    let mut known: Vec<f64> = tracks.iter().filter_map(energy).collect();
    known.sort_by(f64::total_cmp);
    let median = known.get(known.len() / 2).copied().unwrap_or(0.5);
    tracks.iter().map(|track| energy(track).unwrap_or(median)).collect()
}

/// The number of each track's artist, and the rows of each number.
fn artists(tracks: &[SequenceTrack<'_>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let (mut numbers, mut rows_of, mut artist) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (row, track) in tracks.iter().enumerate() {
        let new = rows_of.len();
        let number = track.facts.primary_artist().map_or(new, |artist| *numbers.entry(artist).or_insert(new));
        if number == new {
            rows_of.push(Vec::new());
        }
        rows_of[number].push(row);
        artist.push(number);
    }
    (artist, rows_of)
}
