//! The most popular tracks of a genre, kept between requests.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{GenreKey, TrackOrdinal, TrackRef};

/// Tracks kept of a genre.
const TRACKS_MAX: usize = 512;
/// Genres kept.
const GENRES_MAX: usize = 2_048;

/// Tracks with their popularity, best first; unknown popularity is 0.
pub(super) type Shelf = Arc<Vec<(TrackRef, f32)>>;

/// Shelves of one version of the catalogue. Nothing in it decides an answer, only how soon it comes.
#[derive(Default)]
pub struct ShelfCache {
    shelves: Mutex<(u64, HashMap<GenreKey, Shelf>)>,
}

/// The genre's most popular tracks, ties by track. Cost: a pass over the genre's tracks once a catalogue version.
///
/// # Errors
/// Damaged files.
pub(super) fn shelf(reader: &Reader<'_>, genre: GenreKey) -> Result<Shelf> {
    let (epoch, cache) = (reader.catalogue_epoch(), &reader.caches.shelves.shelves);
    {
        let mut known = cache.lock();
        if known.0 != epoch || known.1.len() > GENRES_MAX {
            *known = (epoch, HashMap::new());
        }
        if let Some(shelf) = known.1.get(&genre) {
            return Ok(Arc::clone(shelf));
        }
    }
    let mut tracks: Vec<(TrackRef, f32)> = Vec::new();
    for view in &reader.tracks {
        tracks.extend(view.postings(PostingField::Genre, genre.0)?.iter().map(|ordinal| {
            let popularity = view.hot(ordinal).popularity;
            let track = TrackRef { shard: view.shard, ordinal: TrackOrdinal(ordinal) };
            (track, if popularity.is_nan() { 0.0 } else { popularity })
        }));
    }
    tracks.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    tracks.truncate(TRACKS_MAX);
    let shelf = Arc::new(tracks);
    let mut known = cache.lock();
    if known.0 == epoch {
        known.1.insert(genre, Arc::clone(&shelf));
    }
    Ok(shelf)
}
