//! Audio vectors: unit length, near those of the same genre, artist and sound.

use super::catalogue::Catalogue;
use super::draw::{Purpose, stream};
use super::shape::{Space, add};
use super::tracks::true_sound;
use crate::types::VectorRow;

/// The standard deviation along axis `j` is proportional to `(j + 1)^−0.5`.
const SPECTRUM: f64 = 0.5;
const GENRE: f32 = 0.5;
const ARTIST: f32 = 0.45;
const SOUND: f32 = 0.2;
const NOISE: f32 = 0.65;
/// Numbers that describe a sound.
const SOUNDS: usize = 9;

/// Makes audio vectors, fastest in the order of tracks.
#[derive(Clone)]
pub(super) struct AudioVectors<'a> {
    catalogue: &'a Catalogue,
    space: Space,
    sounds: Vec<Vec<f32>>,
    /// The own part of the artist whose tracks are being made.
    artist: (u32, Vec<f32>),
}

impl<'a> AudioVectors<'a> {
    pub(super) fn new(catalogue: &'a Catalogue) -> Self {
        let params = &catalogue.params;
        let space = Space::new(
            params.seed,
            Purpose::AudioSpace,
            params.audio_dim as usize,
            SPECTRUM,
            params.genres as usize,
        );
        let sounds = (0..SOUNDS as u64).map(|number| space.part(4, number)).collect();
        Self { catalogue, space, sounds, artist: (u32::MAX, Vec::new()) }
    }

    pub(super) fn row(&mut self, track: usize) -> VectorRow {
        let catalogue = self.catalogue;
        let row = &catalogue.tracks[track];
        let artist = &catalogue.artists[row.artist as usize];
        if self.artist.0 != row.artist {
            self.artist = (row.artist, self.space.part(5, u64::from(row.artist)));
        }
        let mut vector = vec![0.0; self.space.dim()];
        add(&mut vector, GENRE, self.space.genre(usize::from(artist.genre)));
        add(&mut vector, ARTIST, &self.artist.1);
        let sound = true_sound(&catalogue.params, track, row, artist);
        let described = sound
            .shares
            .iter()
            .map(|share| 2.0 * share - 1.0)
            .chain([(sound.tempo - 115.0) / 40.0, (sound.loudness + 9.0) / 6.0]);
        for (part, value) in self.sounds.iter().zip(described) {
            add(&mut vector, SOUND * value as f32, part);
        }
        // Versions of a recording differ a little only.
        let seed = catalogue.params.seed;
        let song = &mut stream(seed, Purpose::AudioTrack, (1 << 40) + u64::from(row.original));
        self.space.add_noise(&mut vector, NOISE, song);
        if row.original as usize != track {
            let version = &mut stream(seed, Purpose::AudioTrack, track as u64);
            self.space.add_noise(&mut vector, NOISE / 4.0, version);
        }
        self.space.finish(&mut vector, 1.0);
        VectorRow { id: super::tracks::track_id(track).as_str().to_owned(), vector }
    }
}
