//! Names of artists and genres, of which the stages know only keys.

use super::reader::Reader;
use super::tracks::Pick;
use crate::error::Result;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ArtistKey, GenreKey};

impl Reader<'_> {
    /// An artist's name, as the first of their tracks by key has it; `None` when the catalogue has none by them. Cost: a pass
    /// over their tracks once a catalogue version.
    ///
    /// # Errors
    /// Damaged files.
    pub fn artist_name(&self, key: ArtistKey) -> Result<Option<String>> {
        self.caches.shelves.artist_name(self, key, || {
            let Some(&first) = self.posted(PostingField::Artist, key.0, 1)?.first() else { return Ok(None) };
            let row = self.row(first)?;
            let place = row.artists.iter().position(|artist| *artist == key);
            Ok(place.and_then(|place| row.track.artists.get(place)).map(|artist| artist.name.clone()))
        })
    }

    /// A genre's name, which is the same on all its tracks; `None` when no track has it. Cost: a pass over their postings once
    /// a catalogue version.
    ///
    /// # Errors
    /// Damaged files.
    pub fn genre_name(&self, key: GenreKey) -> Result<Option<String>> {
        self.caches.shelves.genre_name(self, key, || {
            for picked in self.picked(PostingField::Genre, key.0, &Pick::Any)? {
                let row = self.row(picked.track)?;
                let place = row.genres.iter().position(|(genre, _)| *genre == key);
                if let Some(tag) = place.and_then(|place| row.track.genres.get(place)) {
                    return Ok(Some(tag.genre.clone()));
                }
            }
            Ok(None)
        })
    }
}
