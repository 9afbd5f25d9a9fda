//! Whether two tracks sound alike enough to follow each other (PIPELINE.md §4): tempo, energy, key.

use super::facts::finite;
use crate::types::AudioFeatures;

/// The largest tempo difference that is compatible, in beats a minute.
pub const TEMPO_TOLERANCE_BPM: f64 = 20.0;
/// The largest energy difference that is compatible.
pub const ENERGY_TOLERANCE: f64 = 0.3;

/// A tempo that can be one.
pub(crate) fn tempo(audio: &AudioFeatures) -> Option<f64> {
    finite(audio.tempo).filter(|&tempo| tempo > 0.0)
}

/// `min over m ∈ {½, 1, 2} |m·a − b|`: the difference of tempo `a` to the reference `b` after taking the best of
/// half, same and double time, in beats a minute.
#[must_use]
pub fn tempo_gap_bpm(a: f64, b: f64) -> f64 {
    [0.5, 1.0, 2.0].into_iter().map(|m| (m * a - b).abs()).fold(f64::INFINITY, f64::min)
}

/// Distance of two tempi in octaves, after taking the best of half, same and double time. Symmetric.
#[must_use]
pub fn tempo_gap_octaves(a: f64, b: f64) -> f64 {
    let ratio = (a / b).log2();
    [-1.0, 0.0, 1.0].into_iter().map(|m: f64| (ratio + m).abs()).fold(f64::INFINITY, f64::min)
}

/// The place of a key on the Camelot wheel: hour 0 to 11, and whether it is on the major ring. `None` when the key
/// is unknown; an unknown mode counts as major.
#[must_use]
pub fn camelot(audio: &AudioFeatures) -> Option<(u8, bool)> {
    let key = audio.key.filter(|&key| key < 12)?;
    let major = audio.mode != Some(0);
    // A fifth up (seven semitones) is one hour on. A minor key stands at the hour of its relative major, three
    // semitones above.
    let relative_major = if major { key } else { (key + 3) % 12 };
    Some(((relative_major * 7) % 12, major))
}

/// Distance on the Camelot wheel, 0 to 7: hours apart on the circle, plus one between the rings. Neighbours on the
/// circle of fifths share six of seven tones, so they are near although seven semitones apart.
#[must_use]
pub fn camelot_distance(a: (u8, bool), b: (u8, bool)) -> u8 {
    let hours = a.0.abs_diff(b.0) % 12;
    hours.min(12 - hours) + u8::from(a.1 != b.1)
}

/// Whether a track fits a reference: tempo within ±20 BPM (best of half, same and double time) and energy within
/// 0.3. What is unknown of either is compatible.
#[must_use]
pub fn compatible(candidate: &AudioFeatures, reference: &AudioFeatures) -> bool {
    let tempo_fits = match (tempo(candidate), tempo(reference)) {
        (Some(a), Some(b)) => tempo_gap_bpm(a, b) <= TEMPO_TOLERANCE_BPM,
        _ => true,
    };
    let energy_fits = match (finite(candidate.energy), finite(reference.energy)) {
        // The slack takes up the rounding of f32 features at the very border.
        (Some(a), Some(b)) => (a - b).abs() <= ENERGY_TOLERANCE + 1e-6,
        _ => true,
    };
    tempo_fits && energy_fits
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn sound(tempo: f32, energy: f32) -> AudioFeatures {
        AudioFeatures { tempo: Some(tempo), energy: Some(energy), ..AudioFeatures::default() }
    }

    fn key(key: u8, mode: u8) -> (u8, bool) {
        camelot(&AudioFeatures { key: Some(key), mode: Some(mode), ..AudioFeatures::default() }).unwrap()
    }

    #[test]
    fn half_and_double_time_are_the_same_beat() {
        assert_eq!(tempo_gap_bpm(75.0, 150.0), 0.0);
        assert_eq!(tempo_gap_bpm(174.0, 90.0), 3.0);
        assert!(compatible(&sound(75.0, 0.5), &sound(150.0, 0.5)), "75 apart by plain difference");
        assert!(compatible(&sound(120.0, 0.5), &sound(140.0, 0.8)));
        assert!(!compatible(&sound(119.0, 0.5), &sound(140.0, 0.5)));
        assert!(!compatible(&sound(120.0, 0.5), &sound(120.0, 0.81)));
        assert!((tempo_gap_octaves(75.0, 150.0)).abs() < 1e-12);
    }

    #[test]
    fn the_unknown_is_compatible() {
        let unknown = AudioFeatures::default();
        assert!(compatible(&unknown, &sound(120.0, 0.9)) && compatible(&sound(120.0, 0.9), &unknown));
        assert!(compatible(&sound(0.0, 0.9), &sound(120.0, 0.9)), "a tempo of 0 is no tempo");
        assert!(compatible(&sound(f32::NAN, 0.9), &sound(120.0, 0.9)));
    }

    #[test]
    fn keys_are_near_on_the_circle_of_fifths_not_in_semitones() {
        let (c, g, c_sharp, a_minor) = (key(0, 1), key(7, 1), key(1, 1), key(9, 0));
        assert_eq!(camelot_distance(c, g), 1, "a fifth, seven semitones away");
        assert_eq!(camelot_distance(c, c_sharp), 5, "one semitone away");
        assert_eq!(camelot_distance(c, a_minor), 1, "the relative minor");
        assert_eq!(camelot_distance(c, key(6, 1)), 6, "the opposite side");
        assert_eq!(camelot(&AudioFeatures { key: Some(12), ..AudioFeatures::default() }), None);
    }
}
