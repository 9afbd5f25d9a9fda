//! The tables everything is computed from, and the streams of rows.

use rayon::prelude::*;

use super::artists::{self, ArtistRow, genre_weight};
use super::audio::AudioVectors;
use super::draw::Cumulative;
use super::embeddings::Embeddings;
use super::genres::genre;
use super::listeners::{self, Listener};
use super::params::GenerateParams;
use super::plays;
use super::tracks::{self, TrackRow, rank_weight};
use crate::error::Result;
use crate::types::VectorRow;
use crate::types::{Artist, Play, Track, User};

/// Vectors held at once.
const PIECE_ROWS: usize = 8_192;
/// Vectors a thread makes at least at a time, so that it meets an artist's tracks together.
const TASK_ROWS: usize = 512;

/// The artists of a genre, to draw from by how much they are played.
#[derive(Debug, Clone, Default)]
pub(super) struct GenreArtists {
    artists: Vec<u32>,
    weights: Cumulative,
}

impl GenreArtists {
    pub(super) fn draw(&self, rng: &mut crate::types::SplitMix64) -> u32 {
        self.artists[self.weights.draw(rng)]
    }
}

/// A genre a listener loves, and how much of the listening it makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Taste {
    /// The genre's name.
    pub genre: String,
    /// Above 0; all shares of a listener sum to 1.
    pub share: f64,
}

/// A made-up catalogue. About 100 bytes a track and 16 a listener; rows are computed when asked for.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub(super) params: GenerateParams,
    pub(super) artists: Vec<ArtistRow>,
    pub(super) tracks: Vec<TrackRow>,
    /// Tracks by how much they are played.
    pub(super) by_track: Cumulative,
    /// Genres by popularity.
    pub(super) by_genre: Cumulative,
    pub(super) genres: Vec<GenreArtists>,
    by_region: Cumulative,
    by_listener: Cumulative,
}

/// Makes up a catalogue: its tables, not yet its rows.
///
/// # Errors
/// [`crate::Error::InvalidField`] names a parameter out of range.
pub fn generate(params: &GenerateParams) -> Result<Catalogue> {
    params.validate()?;
    let artists = artists::all(params);
    let tracks = tracks::all(params, &artists);
    let by_track = Cumulative::new(tracks.iter().map(|track| rank_weight(track.rank)));
    let genres = genre_tables(params, &artists, &by_track);
    let activity = (0..u64::from(params.listeners)).map(|number| listeners::activity(params.seed, number));
    Ok(Catalogue {
        by_genre: Cumulative::new((0..params.genres as usize).map(genre_weight)),
        by_region: listeners::regions(),
        by_listener: Cumulative::new(activity),
        params: *params,
        artists,
        tracks,
        by_track,
        genres,
    })
}

fn genre_tables(params: &GenerateParams, artists: &[ArtistRow], by_track: &Cumulative) -> Vec<GenreArtists> {
    let mut tables = vec![GenreArtists::default(); params.genres as usize];
    for (number, artist) in (0..).zip(artists) {
        tables[usize::from(artist.genre)].artists.push(number);
    }
    // A catalogue of few artists may have genres without one: listeners of such a genre hear everybody.
    let everybody: Vec<u32> = (0..artists.len() as u32).collect();
    for table in &mut tables {
        if table.artists.is_empty() {
            table.artists.clone_from(&everybody);
        }
        let weight = |&artist: &u32| {
            let range = range_of(artists, params.tracks, artist);
            by_track.weight(range).sqrt()
        };
        table.weights = Cumulative::new(table.artists.iter().map(weight));
    }
    tables
}

/// Rows `0..count` in order, each piece made on all threads. A row is a function of its number; what a maker remembers only
/// saves work.
fn in_parallel<M: Clone + Send + Sync>(
    count: usize,
    maker: M,
    row: impl Fn(&mut M, usize) -> VectorRow + Sync + Send,
) -> impl Iterator<Item = VectorRow> {
    (0..count).step_by(PIECE_ROWS).flat_map(move |first| {
        let rows = (first..count.min(first + PIECE_ROWS)).into_par_iter().with_min_len(TASK_ROWS);
        let piece: Vec<VectorRow> = rows.map_init(|| maker.clone(), &row).collect();
        piece
    })
}

fn range_of(artists: &[ArtistRow], tracks: u32, artist: u32) -> std::ops::Range<usize> {
    let first = artists[artist as usize].first_track;
    let end = artists.get(artist as usize + 1).map_or(tracks, |next| next.first_track);
    first as usize..end.min(tracks) as usize
}

impl Catalogue {
    /// What it was made from.
    #[must_use]
    pub fn params(&self) -> &GenerateParams {
        &self.params
    }

    /// Tracks in the order of their ids.
    pub fn tracks(&self) -> impl Iterator<Item = Track> + '_ {
        let mut current: Option<(u32, Artist)> = None;
        (0..self.tracks.len()).map(move |number| {
            let artist = self.tracks[number].artist;
            if current.as_ref().is_none_or(|(known, _)| *known != artist) {
                let row = &self.artists[artist as usize];
                current = Some((artist, artists::artist(&self.params, artist as usize, row)));
            }
            let primary = &current.as_ref().expect("it was just made").1;
            tracks::track(&self.params, number, &self.tracks, &self.artists, primary)
        })
    }

    /// Listeners in the order of their ids.
    pub fn users(&self) -> impl Iterator<Item = User> + '_ {
        (0..self.params.listeners).map(|number| listeners::user(self, number))
    }

    /// Plays, listener by listener in the order of their ids, each listener's in the order of time.
    pub fn plays(&self) -> impl Iterator<Item = Play> + '_ {
        (0..self.params.listeners).flat_map(|number| plays::of_listener(self, number))
    }

    /// Plays of one listener, by their place in the order of ids, in the order of time; none past the last listener.
    #[must_use]
    pub fn plays_by(&self, listener: u32) -> Vec<Play> {
        if listener < self.params.listeners { plays::of_listener(self, listener) } else { Vec::new() }
    }

    /// How many plays a listener has. Does not make them.
    #[must_use]
    pub fn play_count(&self, listener: u32) -> u64 {
        if listener < self.params.listeners { self.plays_of(listener) } else { 0 }
    }

    /// How many artists have released something.
    #[must_use]
    pub fn artist_count(&self) -> usize {
        self.artists.len()
    }

    /// Unit audio vectors of all tracks, `params.audio_dim` components each.
    pub fn audio_vectors(&self) -> impl Iterator<Item = VectorRow> + '_ {
        in_parallel(self.tracks.len(), AudioVectors::new(self), AudioVectors::row)
    }

    /// Collaborative vectors of all tracks, made without training, `params.cf_dim` components each.
    pub fn track_vectors(&self) -> impl Iterator<Item = VectorRow> + '_ {
        in_parallel(self.tracks.len(), Embeddings::new(self), Embeddings::track)
    }

    /// Collaborative vectors of all listeners, in the space of [`Catalogue::track_vectors`].
    pub fn user_vectors(&self) -> impl Iterator<Item = VectorRow> + '_ {
        in_parallel(self.params.listeners as usize, Embeddings::new(self), Embeddings::user)
    }

    /// The planted tastes of a listener, by their place in the order of ids, largest share first.
    #[must_use]
    pub fn tastes(&self, listener: u32) -> Vec<Taste> {
        let tastes = self.listener(listener).tastes;
        let named = |(number, share)| Taste { genre: genre(number).name.to_owned(), share };
        tastes.into_iter().map(named).collect()
    }

    pub(super) fn listener(&self, number: u32) -> Listener {
        listeners::listener(self, number, &self.by_region)
    }

    /// Plays of a listener: its part of the whole, rounded so that all parts sum to the whole.
    pub(super) fn plays_of(&self, listener: u32) -> u64 {
        let (at, all) = (listener as usize, self.params.listeners as usize);
        let total = self.by_listener.weight(0..all);
        let before = |end: usize| (self.by_listener.weight(0..end) / total * self.params.plays as f64) as u64;
        before(at + 1) - before(at)
    }

    pub(super) fn tracks_of(&self, artist: u32) -> std::ops::Range<usize> {
        range_of(&self.artists, self.params.tracks, artist)
    }
}
