//! Short lists of tracks that many listeners are served from, kept between requests: of each genre the most popular and
//! an even sample of what is neither a hit nor unknown, of each artist what is no hit of theirs, and the names of both.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ArtistKey, GenreKey, TrackRef};

/// Most popular tracks kept of a genre.
const POPULAR_MAX: usize = 512;
/// Tracks kept of a genre that are neither hits nor unknown.
const MIDDLE_MAX: usize = 2_048;
/// Tracks kept of an artist that are no hits.
const OTHERS_MAX: usize = 64;
/// Shelves of each kind.
const SHELVES_MAX: usize = 8_192;
/// Popularity of what is neither a hit nor unknown.
const MIDDLE: std::ops::RangeInclusive<f32> = 20.0..=80.0;

/// A track with its popularity; unknown popularity is 0.
pub(super) type Popular = (TrackRef, f32);
/// A track with what its recording is known by.
pub(super) type Version = (TrackRef, u64);
/// Popularity (NaN = unknown), key of the id, the track, what its recording is known by.
type Posted = (f32, u64, TrackRef, u64);

/// Shelves of one version of the catalogue. Nothing in it decides an answer, only how soon it comes.
#[derive(Default)]
pub struct ShelfCache {
    popular: Shelves<GenreKey, Popular>,
    middle: Shelves<GenreKey, Popular>,
    others: Shelves<ArtistKey, Version>,
    artist_names: Shelves<ArtistKey, String>,
    genre_names: Shelves<GenreKey, String>,
}

impl ShelfCache {
    /// The name of an artist in one version of the catalogue, if there is one; `make` finds it.
    ///
    /// # Errors
    /// Those of `make`.
    pub(in crate::pipeline) fn artist_name(
        &self,
        epoch: u64,
        artist: ArtistKey,
        make: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Option<String>> {
        self.artist_names.one(epoch, artist, make)
    }

    /// The name of a genre, as that of an artist.
    ///
    /// # Errors
    /// Those of `make`.
    pub(in crate::pipeline) fn genre_name(
        &self,
        epoch: u64,
        genre: GenreKey,
        make: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Option<String>> {
        self.genre_names.one(epoch, genre, make)
    }
}

/// Version of the catalogue, and the shelves by key.
type Known<K, T> = (u64, HashMap<K, Arc<Vec<T>>>);

struct Shelves<K, T>(Mutex<Known<K, T>>);

impl<K, T> Default for Shelves<K, T> {
    fn default() -> Self {
        Self(Mutex::new((0, HashMap::new())))
    }
}

impl<K: Copy + Eq + Hash, T: Clone> Shelves<K, T> {
    /// A shelf of one thing at most.
    fn one(&self, epoch: u64, key: K, make: impl FnOnce() -> Result<Option<T>>) -> Result<Option<T>> {
        let found = self.get(epoch, key, || Ok(make()?.into_iter().collect()))?;
        Ok(found.first().cloned())
    }

    fn get(&self, epoch: u64, key: K, make: impl FnOnce() -> Result<Vec<T>>) -> Result<Arc<Vec<T>>> {
        {
            let mut known = self.0.lock();
            if known.0 != epoch || known.1.len() > SHELVES_MAX {
                *known = (epoch, HashMap::new());
            }
            if let Some(shelf) = known.1.get(&key) {
                return Ok(Arc::clone(shelf));
            }
        }
        let shelf = Arc::new(make()?);
        let mut known = self.0.lock();
        if known.0 == epoch {
            known.1.insert(key, Arc::clone(&shelf));
        }
        Ok(shelf)
    }
}

/// The genre's most popular tracks, ties by key. Cost: a pass over the genre's tracks once a catalogue version.
///
/// # Errors
/// Damaged files.
pub(super) fn shelf(reader: &Reader<'_>, genre: GenreKey) -> Result<Arc<Vec<Popular>>> {
    reader.caches.shelves.popular.get(reader.catalogue_epoch(), genre, || {
        let mut tracks = posted(reader, PostingField::Genre, genre.0)?;
        tracks.iter_mut().filter(|(popularity, ..)| popularity.is_nan()).for_each(|track| track.0 = 0.0);
        sort_popular(&mut tracks);
        tracks.truncate(POPULAR_MAX);
        Ok(tracks.into_iter().map(|(popularity, _, track, _)| (track, popularity)).collect())
    })
}

/// The genre's tracks of popularity 20 to 80, by key; of very many, an even sample. Cost as [`shelf`].
///
/// # Errors
/// Damaged files.
pub(super) fn middle(reader: &Reader<'_>, genre: GenreKey) -> Result<Arc<Vec<Popular>>> {
    reader.caches.shelves.middle.get(reader.catalogue_epoch(), genre, || {
        let mut tracks = posted(reader, PostingField::Genre, genre.0)?;
        tracks.retain(|(popularity, ..)| MIDDLE.contains(popularity));
        tracks.sort_unstable_by_key(|(_, key, track, _)| (*key, *track));
        let stride = tracks.len().div_ceil(MIDDLE_MAX).max(1);
        Ok(tracks.iter().step_by(stride).map(|&(popularity, _, track, _)| (track, popularity)).collect())
    })
}

/// An artist's tracks below their own top fifth by popularity, and no version of one in it, best first.
///
/// # Errors
/// Damaged files.
pub(super) fn non_hits(reader: &Reader<'_>, artist: ArtistKey) -> Result<Arc<Vec<Version>>> {
    reader.caches.shelves.others.get(reader.catalogue_epoch(), artist, || {
        let mut tracks = posted(reader, PostingField::Artist, artist.0)?;
        tracks.iter_mut().filter(|(popularity, ..)| popularity.is_nan()).for_each(|track| track.0 = -1.0);
        sort_popular(&mut tracks);
        let recording = |&(.., recording): &Posted| recording;
        let hits = tracks.len().div_ceil(5);
        let of_hits: std::collections::HashSet<_> = tracks[..hits].iter().map(recording).collect();
        let rest = tracks[hits..].iter().filter(|track| !of_hits.contains(&recording(track)));
        Ok(rest.take(OTHERS_MAX).map(|&(_, _, track, recording)| (track, recording)).collect())
    })
}

/// Every track with a posting, shard by shard.
fn posted(reader: &Reader<'_>, field: PostingField, key: u64) -> Result<Vec<Posted>> {
    let mut tracks = Vec::new();
    for view in &reader.tracks {
        tracks.extend(view.postings(field, key)?.iter().map(|ordinal| {
            let hot = view.hot(ordinal);
            let track = view.reference(ordinal);
            (hot.popularity, hot.key, track, view.recording(ordinal))
        }));
    }
    Ok(tracks)
}

fn sort_popular(tracks: &mut [Posted]) {
    tracks.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
}
