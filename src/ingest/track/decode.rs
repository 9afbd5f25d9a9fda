//! From columns to tracks, cell by cell.

use arrow_array::{Array, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, StringArray};

use super::super::cell::{CellError, CellResult};
use super::super::columns::{Batch, Column};
use super::markets::Markets;
use crate::error::{Error, Result};
use crate::types::{
    AlbumId, Artist, ArtistId, AudioFeatures, Date, GenreTag, RecordingId, RegionSet, Track, TrackId,
};

/// The columns of audio features that are plain numbers; shares of 1 but for the last, decibels.
const FEATURES: [&str; 8] = [
    "energy",
    "danceability",
    "valence",
    "acousticness",
    "instrumentalness",
    "speechiness",
    "liveness",
    "loudness",
];

/// The columns of one batch.
pub(super) struct Columns {
    ids: Column<StringArray>,
    artist_ids: Column<ListArray>,
    artist_names: Option<Column<ListArray>>,
    recordings: Option<Column<StringArray>>,
    titles: Option<Column<StringArray>>,
    album_ids: Option<Column<StringArray>>,
    albums: Option<Column<StringArray>>,
    labels: Option<Column<StringArray>>,
    genres: Option<Column<ListArray>>,
    confidences: Option<Column<ListArray>>,
    dates: Option<Column<Date32Array>>,
    durations: Option<Column<Int64Array>>,
    popularities: Option<Column<Float64Array>>,
    explicit: Option<Column<BooleanArray>>,
    regions: Option<Column<ListArray>>,
    keys: Option<Column<Int64Array>>,
    modes: Option<Column<Int64Array>>,
    tempos: Option<Column<Float64Array>>,
    features: [Option<Column<Float64Array>>; 8],
}

impl Columns {
    pub(super) fn of(batch: &Batch<'_>) -> Result<Self> {
        let absent = || Error::Internal("a required column is absent from a batch".to_owned());
        let mut features: [Option<Column<Float64Array>>; 8] = Default::default();
        for (slot, name) in features.iter_mut().zip(FEATURES) {
            *slot = batch.numbers(name)?;
        }
        Ok(Self {
            ids: batch.text("track_id")?.ok_or_else(absent)?,
            artist_ids: batch.texts("artist_ids")?.ok_or_else(absent)?,
            artist_names: batch.texts("artist_names")?,
            recordings: batch.text("recording_id")?,
            titles: batch.text("title")?,
            album_ids: batch.text("album_id")?,
            albums: batch.text("album")?,
            labels: batch.text("label")?,
            genres: batch.texts("genres")?,
            confidences: batch.vectors("genre_confidences")?,
            dates: batch.dates("release_date")?,
            durations: batch.integers("duration_ms")?,
            popularities: batch.numbers("popularity")?,
            explicit: batch.booleans("explicit")?,
            regions: batch.texts("regions")?,
            keys: batch.integers("key")?,
            modes: batch.integers("mode")?,
            tempos: batch.numbers("tempo")?,
            features,
        })
    }

    pub(super) fn track(&self, row: usize, markets: &Markets) -> CellResult<Track> {
        let id = self.ids.need(row)?;
        let track_id = TrackId::new(id).map_err(|error| CellError::id("track_id", id, &error))?;
        let recording = text(self.recordings.as_ref(), row)?.unwrap_or(id);
        Ok(Track {
            recording_id: RecordingId::new(recording)
                .map_err(|error| CellError::id("recording_id", recording, &error))?,
            track_id,
            title: text(self.titles.as_ref(), row)?.unwrap_or_default().to_owned(),
            artists: self.artists(row)?,
            album_id: match text(self.album_ids.as_ref(), row)? {
                Some(id) => Some(AlbumId::new(id).map_err(|error| CellError::id("album_id", id, &error))?),
                None => None,
            },
            album: text(self.albums.as_ref(), row)?.map(str::to_owned),
            label: text(self.labels.as_ref(), row)?.map(str::to_owned),
            genres: self.genres(row)?,
            release_date: match &self.dates {
                Some(dates) => dates.get(row)?.map(Date),
                None => None,
            },
            duration_ms: self.duration(row)?,
            popularity: within(self.popularities.as_ref(), row, 0.0, 100.0)?,
            explicit: match &self.explicit {
                Some(explicit) => explicit.get(row)?,
                None => None,
            },
            regions: match &self.regions {
                Some(regions) => markets.region_set(regions.strings(row)?)?,
                None => RegionSet::All,
            },
            audio: self.audio(row)?,
        })
    }

    /// Artists in the file's order, each once; an artist without a name is shown by its id.
    fn artists(&self, row: usize) -> CellResult<Vec<Artist>> {
        let ids = self.artist_ids.strings(row)?.ok_or_else(|| CellError::null("artist_ids"))?;
        if ids.is_empty() {
            return Err(CellError::new("artist_ids", "[]", "must name at least one artist"));
        }
        let names = match &self.artist_names {
            Some(column) => column.strings(row)?,
            None => None,
        };
        if let Some(names) = names.as_ref().filter(|names| names.len() != ids.len()) {
            let reason = format!("must have one name for each of artist_ids. expected=`{}`", ids.len());
            return Err(CellError::new("artist_names", format!("{} names", names.len()), reason));
        }
        let mut artists: Vec<Artist> = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            let id = id.ok_or_else(|| CellError::null("artist_ids"))?;
            let artist = ArtistId::new(id).map_err(|error| CellError::id("artist_ids", id, &error))?;
            if artists.iter().any(|known| known.id == artist) {
                continue;
            }
            let name = names.as_ref().filter(|names| names.is_valid(at)).map_or(id, |names| names.value(at));
            artists.push(Artist { id: artist, name: name.to_owned() });
        }
        Ok(artists)
    }

    /// Genres in the file's order, each once with its first confidence.
    fn genres(&self, row: usize) -> CellResult<Vec<GenreTag>> {
        let Some(column) = &self.genres else { return Ok(Vec::new()) };
        let Some(names) = column.strings(row)? else { return Ok(Vec::new()) };
        let confidences = match &self.confidences {
            Some(column) => column.floats(row)?,
            None => None,
        };
        if let Some(values) = confidences.as_ref().filter(|values| values.len() != names.len()) {
            let reason = format!("must have one number for each of genres. expected=`{}`", names.len());
            return Err(CellError::new("genre_confidences", format!("{} numbers", values.len()), reason));
        }
        let mut genres: Vec<GenreTag> = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let name = name.ok_or_else(|| CellError::null("genres"))?;
            if name.is_empty() {
                return Err(CellError::new("genres", "", "must not hold empty names"));
            }
            if genres.iter().any(|tag| tag.genre == name) {
                continue;
            }
            let confidence = confidences
                .as_ref()
                .filter(|values| values.is_valid(at))
                .map_or(1.0, |values| values.value(at));
            if !(confidence > 0.0 && confidence <= 1.0) {
                return Err(CellError::new("genre_confidences", confidence, "must be above 0 and at most 1"));
            }
            genres.push(GenreTag { genre: name.to_owned(), confidence });
        }
        Ok(genres)
    }

    fn duration(&self, row: usize) -> CellResult<Option<u32>> {
        let Some(column) = &self.durations else { return Ok(None) };
        let Some(duration) = column.get(row)? else { return Ok(None) };
        match u32::try_from(duration) {
            Ok(ms) if ms > 0 => Ok(Some(ms)),
            _ => Err(CellError::new(
                "duration_ms",
                duration,
                "must be milliseconds from 1 to 4294967295; null when unknown",
            )),
        }
    }

    fn audio(&self, row: usize) -> CellResult<AudioFeatures> {
        let tempo = number(self.tempos.as_ref(), row)?;
        if let Some(tempo) = tempo.filter(|&tempo| tempo <= 0.0) {
            return Err(CellError::new("tempo", tempo, "must be above 0; null when unknown"));
        }
        let share = |at: usize| within(self.features[at].as_ref(), row, 0.0, 1.0);
        Ok(AudioFeatures {
            tempo,
            key: small(self.keys.as_ref(), row, 11, Some(-1))?,
            mode: small(self.modes.as_ref(), row, 1, None)?,
            energy: share(0)?,
            danceability: share(1)?,
            valence: share(2)?,
            acousticness: share(3)?,
            instrumentalness: share(4)?,
            speechiness: share(5)?,
            liveness: share(6)?,
            loudness: number(self.features[7].as_ref(), row)?,
        })
    }
}

fn text(column: Option<&Column<StringArray>>, row: usize) -> CellResult<Option<&str>> {
    match column {
        Some(column) => column.get(row),
        None => Ok(None),
    }
}

/// A finite number.
fn number(column: Option<&Column<Float64Array>>, row: usize) -> CellResult<Option<f32>> {
    let Some(column) = column else { return Ok(None) };
    let Some(value) = column.get(row)? else { return Ok(None) };
    let narrow = value as f32;
    if !narrow.is_finite() {
        return Err(CellError::new(column.name(), value, "must be a finite number; null when unknown"));
    }
    Ok(Some(narrow))
}

/// A number between two bounds, both allowed.
fn within(column: Option<&Column<Float64Array>>, row: usize, low: f32, high: f32) -> CellResult<Option<f32>> {
    let value = number(column, row)?;
    match (column, value) {
        (Some(column), Some(value)) if !(low..=high).contains(&value) => {
            let reason = format!("must be between {low} and {high}; null when unknown");
            Err(CellError::new(column.name(), value, reason))
        }
        _ => Ok(value),
    }
}

/// A whole number in `0..=high`; `unknown` is how some catalogues write null.
fn small(
    column: Option<&Column<Int64Array>>,
    row: usize,
    high: u8,
    unknown: Option<i64>,
) -> CellResult<Option<u8>> {
    let Some(column) = column else { return Ok(None) };
    let Some(value) = column.get(row)?.filter(|&value| Some(value) != unknown) else { return Ok(None) };
    match u8::try_from(value) {
        Ok(small) if small <= high => Ok(Some(small)),
        _ => {
            let reason = format!("must be a whole number between 0 and {high}; null when unknown");
            Err(CellError::new(column.name(), value, reason))
        }
    }
}
