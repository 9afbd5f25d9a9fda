//! Collaborative vectors made directly, without training: for benchmarks larger than anybody wants to train.
//!
//! Singular values fall about as `(j + 1)^−0.5`, and track norms have the quantiles of real implicit-ALS vectors: 0.10 at 1 %, 0.51
//! at the median, 1.50 at 99 %, growing with popularity.

use super::catalogue::Catalogue;
use super::draw::{Purpose, stream};
use super::listeners::user_id;
use super::shape::{Space, add};
use super::tracks::track_id;
use crate::types::VectorRow;

const SPECTRUM: f64 = 0.38;
const GENRE: f32 = 0.8;
const ARTIST: f32 = 0.6;
const NOISE: f32 = 0.55;
/// How much of a track's norm its popularity explains (a correlation).
const POPULARITY: f64 = 0.75;
/// Favourites that shape a listener's vector.
const FAVOURITES: usize = 6;

/// Makes collaborative vectors of tracks and listeners in one space.
#[derive(Clone)]
pub(super) struct Embeddings<'a> {
    catalogue: &'a Catalogue,
    space: Space,
    artist: (u32, Vec<f32>),
}

impl<'a> Embeddings<'a> {
    pub(super) fn new(catalogue: &'a Catalogue) -> Self {
        let params = &catalogue.params;
        let (dim, genres) = (params.cf_dim as usize, params.genres as usize);
        let space = Space::new(params.seed, Purpose::CfSpace, dim, SPECTRUM, genres);
        Self { catalogue, space, artist: (u32::MAX, Vec::new()) }
    }

    pub(super) fn track(&mut self, track: usize) -> VectorRow {
        let catalogue = self.catalogue;
        let row = &catalogue.tracks[track];
        let artist = &catalogue.artists[row.artist as usize];
        if self.artist.0 != row.artist {
            self.artist = (row.artist, self.space.part(5, u64::from(row.artist)));
        }
        let mut rng = stream(catalogue.params.seed, Purpose::CfTrack, track as u64);
        let mut vector = vec![0.0; self.space.dim()];
        add(&mut vector, 0.8 * GENRE, self.space.genre(usize::from(artist.genre)));
        add(&mut vector, 0.3 * GENRE, self.space.genre(usize::from(artist.second)));
        add(&mut vector, ARTIST, &self.artist.1);
        self.space.add_noise(&mut vector, NOISE, &mut rng);
        let popular = probit(1.0 - (f64::from(row.rank) + 0.5) / catalogue.tracks.len() as f64);
        let z = POPULARITY * popular + (1.0 - POPULARITY * POPULARITY).sqrt() * rng.normal();
        // Two half log-normals that meet at the median.
        let norm = 0.51 * (z * if z < 0.0 { 0.70 } else { 0.464 }).exp();
        self.space.finish(&mut vector, norm as f32);
        VectorRow { id: track_id(track).as_str().to_owned(), vector }
    }

    pub(super) fn user(&mut self, number: usize) -> VectorRow {
        let number = u32::try_from(number).expect("listeners are counted in 32 bits");
        let listener = self.catalogue.listener(number);
        let mut rng = stream(self.catalogue.params.seed, Purpose::CfUser, u64::from(number));
        let mut vector = vec![0.0; self.space.dim()];
        for (genre, share) in &listener.tastes {
            add(&mut vector, *share as f32, self.space.genre(*genre));
        }
        let loved = &listener.favourites[..listener.favourites.len().min(FAVOURITES)];
        for &artist in loved {
            add(&mut vector, 0.9 / loved.len() as f32, &self.space.part(5, u64::from(artist)));
        }
        self.space.add_noise(&mut vector, 0.4, &mut rng);
        let z = rng.normal();
        let norm = 0.72 * (z * if z < 0.0 { 0.35 } else { 0.145 }).exp();
        self.space.finish(&mut vector, norm as f32);
        VectorRow { id: user_id(number).as_str().to_owned(), vector }
    }
}

/// The standard normal quantile of `p` in `(0, 1)`, to 1.2e-9 relative (Acklam's rational approximation, 2003).
fn probit(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        horner(&C, q) / (horner(&D, q) * q + 1.0)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        q * horner(&A, r) / (horner(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_the_tabulated_ones() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.01, -2.326_347_874), (0.999, 3.090_232_306)] {
            assert!((probit(p) - z).abs() < 1e-6, "{p}: {}", probit(p));
        }
    }
}
