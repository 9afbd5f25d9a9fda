//! How alike two candidates are.

use crate::pipeline::vectors::UnitRows;

/// Vectors of the candidates, row by candidate, in the audio space and, for those without, in the track space.
#[derive(Debug, Clone, Copy)]
pub struct PairSimilarity<'a> {
    /// Audio vectors.
    pub audio: &'a UnitRows<'a>,
    /// Track vectors, compared by cosine where one of a pair has no audio vector; empty rows when there are none.
    pub track: &'a UnitRows<'a>,
}

impl PairSimilarity<'_> {
    /// Asks memory for what [`PairSimilarity::of`] will read of a candidate soon.
    pub fn expect(&self, row: usize) {
        self.audio.expect(row);
    }

    /// `(1 + cos)/2` in the audio space, else in the track space, else 0.5 (as if unrelated), 0 to 1.
    #[must_use]
    pub fn of(&self, a: usize, b: usize) -> f64 {
        let cosine = self.audio.cosine(a, b).or_else(|| self.track.cosine(a, b));
        (1.0 + f64::from(cosine.unwrap_or(0.0)).clamp(-1.0, 1.0)) / 2.0
    }
}
