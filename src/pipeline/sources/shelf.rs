//! Short lists of tracks that many listeners are served from, kept between requests: of each genre the most popular and
//! an even sample of what is neither a hit nor unknown, of each artist what is no hit of theirs, and the names of both.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::tracks::{Pick, Picked};
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ArtistKey, GenreKey, TrackRef};

/// Most popular tracks kept of a genre.
const POPULAR_MAX: u32 = 512;
/// Tracks kept of a genre that are neither hits nor unknown.
const MIDDLE_MAX: usize = 2_048;
/// Tracks kept of an artist that are no hits.
const OTHERS_MAX: usize = 64;
/// Shelves of each kind.
const SHELVES_MAX: usize = 8_192;

/// A track with its popularity; unknown popularity is 0.
pub(super) type Popular = (TrackRef, f32);
/// A track with what its recording is known by.
pub(super) type Version = (TrackRef, u64);

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
        reader: &Reader<'_>,
        artist: ArtistKey,
        make: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Option<String>> {
        self.artist_names.one(reader, artist, make)
    }

    /// The name of a genre, as that of an artist.
    ///
    /// # Errors
    /// Those of `make`.
    pub(in crate::pipeline) fn genre_name(
        &self,
        reader: &Reader<'_>,
        genre: GenreKey,
        make: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Option<String>> {
        self.genre_names.one(reader, genre, make)
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
    fn one(
        &self,
        reader: &Reader<'_>,
        key: K,
        make: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let found = self.get(reader, key, || Ok(make()?.into_iter().collect()))?;
        Ok(found.first().cloned())
    }

    /// What `make` makes, kept for the reader's version of the catalogue unless a shard of it is missing.
    fn get(&self, reader: &Reader<'_>, key: K, make: impl FnOnce() -> Result<Vec<T>>) -> Result<Arc<Vec<T>>> {
        let epoch = reader.catalogue_epoch();
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
        if known.0 == epoch && reader.is_whole() {
            known.1.insert(key, Arc::clone(&shelf));
        }
        Ok(shelf)
    }
}

/// The genre's most popular tracks, ties by key. Cost: a pass over the genre's tracks once a catalogue version.
///
/// # Errors
/// Damaged files; those of the nodes that were asked.
pub(super) fn shelf(reader: &Reader<'_>, genre: GenreKey) -> Result<Arc<Vec<Popular>>> {
    reader.caches.shelves.popular.get(reader, genre, || {
        let pick = Pick::Popular { unknown: 0.0, most: POPULAR_MAX };
        let mut tracks = reader.picked(PostingField::Genre, genre.0, &pick)?;
        sort_popular(&mut tracks);
        tracks.truncate(POPULAR_MAX as usize);
        Ok(tracks.into_iter().map(|picked| (picked.track, picked.popularity)).collect())
    })
}

/// The genre's tracks of popularity 20 to 80, by key; of very many, an even sample. Cost as [`shelf`].
///
/// # Errors
/// Damaged files; those of the nodes that were asked.
pub(super) fn middle(reader: &Reader<'_>, genre: GenreKey) -> Result<Arc<Vec<Popular>>> {
    reader
        .caches
        .shelves
        .middle
        .get(reader, genre, || reader.middle(PostingField::Genre, genre.0, MIDDLE_MAX))
}

/// An artist's tracks below their own top fifth by popularity, and no version of one in it, best first.
///
/// # Errors
/// Damaged files; those of the nodes that were asked.
pub(super) fn non_hits(reader: &Reader<'_>, artist: ArtistKey) -> Result<Arc<Vec<Version>>> {
    reader.caches.shelves.others.get(reader, artist, || {
        let pick = Pick::Popular { unknown: -1.0, most: u32::MAX };
        let mut tracks = reader.picked(PostingField::Artist, artist.0, &pick)?;
        sort_popular(&mut tracks);
        let hits = tracks.len().div_ceil(5);
        let of_hits: HashSet<u64> = tracks[..hits].iter().map(|hit| hit.recording).collect();
        let rest = tracks[hits..].iter().filter(|track| !of_hits.contains(&track.recording));
        Ok(rest.take(OTHERS_MAX).map(|picked| (picked.track, picked.recording)).collect())
    })
}

fn sort_popular(tracks: &mut [Picked]) {
    let name = |picked: &Picked| (picked.key, picked.track);
    tracks.sort_unstable_by(|a, b| b.popularity.total_cmp(&a.popularity).then_with(|| name(a).cmp(&name(b))));
}
