//! Drawing from distributions, each thing from its own stream.

use crate::types::SplitMix64;

/// What a stream of random numbers is for; streams of different purposes never share numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Artist = 1,
    Discography,
    Track,
    Listener,
    Plays,
    AudioSpace,
    AudioTrack,
    CfSpace,
    CfTrack,
    CfUser,
}

/// The stream of the `index`-th thing of a purpose.
pub(super) fn stream(seed: u64, purpose: Purpose, index: u64) -> SplitMix64 {
    // Two rounds of the generator itself spread the three numbers over all 64 bits.
    let first = SplitMix64::new(seed ^ ((purpose as u64) << 56)).next_u64();
    SplitMix64::new(SplitMix64::new(first ^ index).next_u64())
}

/// True with chance `p`.
pub(super) fn chance(rng: &mut SplitMix64, p: f64) -> bool {
    rng.uniform() < p
}

/// One of a non-empty table.
pub(super) fn pick<'a, T>(rng: &mut SplitMix64, table: &'a [T]) -> &'a T {
    &table[rng.below(table.len() as u64) as usize]
}

/// An index in `0..len`, the first ones more often: density falls linearly to zero at the end.
pub(super) fn early(rng: &mut SplitMix64, len: usize) -> usize {
    rng.below(len as u64).min(rng.below(len as u64)) as usize
}

/// Running sums of weights, to draw indexes in proportion to them.
#[derive(Debug, Clone, Default)]
pub(super) struct Cumulative {
    /// `sums[i]` is the weight of everything before `i`.
    sums: Vec<f64>,
}

impl Cumulative {
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut sums = vec![0.0];
        let mut total = 0.0;
        sums.extend(weights.map(|weight| {
            total += weight;
            total
        }));
        Self { sums }
    }

    /// The weight of `range`.
    pub(super) fn weight(&self, range: std::ops::Range<usize>) -> f64 {
        self.sums[range.end] - self.sums[range.start]
    }

    /// Draws from all indexes.
    pub(super) fn draw(&self, rng: &mut SplitMix64) -> usize {
        self.draw_in(rng, 0..self.sums.len() - 1)
    }

    /// Draws from a non-empty range of indexes.
    pub(super) fn draw_in(&self, rng: &mut SplitMix64, range: std::ops::Range<usize>) -> usize {
        let at = self.sums[range.start] + rng.uniform() * self.weight(range.clone());
        let inside = self.sums[range.start + 1..range.end].partition_point(|&sum| sum <= at);
        range.start + inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights_and_stay_in_range() {
        let table = Cumulative::new([1.0, 0.0, 3.0, 6.0].into_iter());
        let mut rng = SplitMix64::new(1);
        let mut counts = [0; 4];
        (0..100_000).for_each(|_| counts[table.draw(&mut rng)] += 1);
        assert_eq!(counts[1], 0);
        assert!(
            (counts[0] as i64 - 10_000).abs() < 600 && (counts[3] as i64 - 60_000).abs() < 900,
            "{counts:?}"
        );
        assert!((0..1_000).all(|_| (1..3).contains(&table.draw_in(&mut rng, 1..3))));
    }
}
