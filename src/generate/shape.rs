//! A space of made-up vectors with clusters and a power-law spectrum.
//!
//! Every part of a vector (genre, artist, features, noise) is drawn from the same normal distribution, whose standard deviation
//! along axis `j` falls as `(j + 1)^−exponent`; so do the singular values of all vectors together. A few Householder
//! reflections then turn the axes, so that no coordinate is special.

use super::draw::{Purpose, stream};
use super::genres::family;
use crate::types::SplitMix64;

/// Reflections that turn the axes.
const REFLECTIONS: usize = 4;

/// The fixed parts of a space.
#[derive(Debug, Clone)]
pub(super) struct Space {
    seed: u64,
    purpose: Purpose,
    scales: Vec<f32>,
    reflections: Vec<Vec<f32>>,
    genres: Vec<Vec<f32>>,
}

impl Space {
    /// A space of `dim` dimensions with a point for each genre; genres of a family lie near each other.
    pub(super) fn new(seed: u64, purpose: Purpose, dim: usize, exponent: f64, genres: usize) -> Self {
        let scales: Vec<f64> = (0..dim).map(|axis| (axis as f64 + 1.0).powf(-exponent)).collect();
        let length = scales.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scales = scales.iter().map(|x| (x / length) as f32).collect();
        let mut space = Self { seed, purpose, scales, reflections: Vec::new(), genres: Vec::new() };
        for number in 0..REFLECTIONS as u64 {
            let mut rng = stream(seed, purpose, (1 << 40) + number);
            let mut mirror: Vec<f32> = (0..dim).map(|_| rng.normal() as f32).collect();
            normalise(&mut mirror, 1.0);
            space.reflections.push(mirror);
        }
        for number in 0..genres {
            let mut point = space.part(2, family(number) as u64);
            let own = space.part(3, number as u64);
            point.iter_mut().zip(own).for_each(|(x, own)| *x = 0.65 * *x + 0.76 * own);
            space.genres.push(point);
        }
        space
    }

    pub(super) fn dim(&self) -> usize {
        self.scales.len()
    }

    /// The point of a genre.
    pub(super) fn genre(&self, number: usize) -> &[f32] {
        &self.genres[number]
    }

    /// The own part of the `index`-th thing of some kind.
    pub(super) fn part(&self, kind: u64, index: u64) -> Vec<f32> {
        let mut rng = stream(self.seed, self.purpose, (kind << 40) + index);
        let mut part = vec![0.0; self.dim()];
        self.add_noise(&mut part, 1.0, &mut rng);
        part
    }

    /// Adds `weight` times a draw from the space's distribution.
    pub(super) fn add_noise(&self, vector: &mut [f32], weight: f32, rng: &mut SplitMix64) {
        for (x, scale) in vector.iter_mut().zip(&self.scales) {
            *x += weight * scale * rng.normal() as f32;
        }
    }

    /// Turns the axes and makes the vector `norm` long.
    pub(super) fn finish(&self, vector: &mut [f32], norm: f32) {
        for mirror in &self.reflections {
            let along: f32 = vector.iter().zip(mirror).map(|(x, m)| x * m).sum();
            vector.iter_mut().zip(mirror).for_each(|(x, m)| *x -= 2.0 * along * m);
        }
        normalise(vector, norm);
    }
}

/// Adds `weight · part`.
pub(super) fn add(vector: &mut [f32], weight: f32, part: &[f32]) {
    vector.iter_mut().zip(part).for_each(|(x, part)| *x += weight * part);
}

fn normalise(vector: &mut [f32], norm: f32) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x *= norm / length);
    }
}
