//! Artists: what they play, how well they are known, how much they have released.

use super::draw::{Cumulative, Purpose, chance, early, stream};
use super::genres::{genre, neighbours};
use super::names;
use super::params::GenerateParams;
use crate::types::{Artist, ArtistId, SplitMix64};

/// The table row of an artist; names are made when asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct ArtistRow {
    /// Primary genre.
    pub(super) genre: u8,
    /// A neighbour that some of the tracks belong to as well; the primary one when there is none.
    pub(super) second: u8,
    /// How well known, about standard normal.
    pub(super) fame: f32,
    /// First track; the last one ends where the next artist begins.
    pub(super) first_track: u32,
}

/// The popularity of genre `number`: Zipf with exponent 0.6.
pub(super) fn genre_weight(number: usize) -> f64 {
    (number as f64 + 2.0).powf(-0.6)
}

/// Makes up artists until their tracks are `params.tracks`.
pub(super) fn all(params: &GenerateParams) -> Vec<ArtistRow> {
    let genres = params.genres as usize;
    let by_weight = Cumulative::new((0..genres).map(genre_weight));
    let mut artists = Vec::with_capacity(params.tracks as usize / 12 + 1);
    let mut tracks = 0_u32;
    while tracks < params.tracks {
        let mut rng = stream(params.seed, Purpose::Artist, artists.len() as u64);
        let genre = if artists.len() < genres { artists.len() } else { by_weight.draw(&mut rng) };
        let near: Vec<usize> = neighbours(genre, genres).collect();
        let second = if near.is_empty() { genre } else { near[early(&mut rng, near.len())] };
        let fame = rng.normal() as f32;
        // Log-normal with median 7 and mean near 12; the well known have released more.
        let size = (7.0 * (0.95 * rng.normal() + 0.25 * f64::from(fame)).exp()).clamp(1.0, 400.0) as u32;
        artists.push(ArtistRow { genre: genre as u8, second: second as u8, fame, first_track: tracks });
        tracks = tracks.saturating_add(size);
    }
    artists
}

/// The artist's id and name.
pub(super) fn artist(params: &GenerateParams, number: usize, row: &ArtistRow) -> Artist {
    let mut rng = stream(params.seed, Purpose::Artist, (1 << 40) + number as u64);
    let name = names::artist(&mut rng, genre(usize::from(row.genre)).sound.style);
    Artist { id: artist_id(number), name }
}

pub(super) fn artist_id(number: usize) -> ArtistId {
    ArtistId::new(format!("a{number:06}")).expect("digits make an id")
}

/// The genres of one of the artist's tracks, the primary one first.
pub(super) fn track_genres(row: &ArtistRow, genres: usize, rng: &mut SplitMix64) -> Vec<u8> {
    let mut found = vec![row.genre];
    if row.second != row.genre && chance(rng, 0.55) {
        found.push(row.second);
    }
    if chance(rng, 0.15) {
        let near: Vec<usize> = neighbours(usize::from(row.genre), genres).collect();
        if let Some(&other) = near.get(rng.below(near.len().max(1) as u64) as usize)
            && !found.contains(&(other as u8))
        {
            found.push(other as u8);
        }
    }
    found
}
