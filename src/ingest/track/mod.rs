//! Tracks files: one track of the catalogue a row; only `track_id` and `artist_ids` are required.

mod decode;
mod encode;
mod markets;

use std::path::Path;

use arrow_schema::Schema;

use super::cell::CellResult;
use super::columns::{Batch, ColumnSpec, Kind};
use super::rows::{Rows, Table};
use super::write::TableWriter;
use crate::error::Result;
use crate::types::Track;
use markets::Markets;

pub use markets::MARKETS_MIN;

pub(super) const COLUMNS: [ColumnSpec; 26] = [
    ColumnSpec::required("track_id", Kind::Text),
    ColumnSpec::required("artist_ids", Kind::Texts),
    ColumnSpec::optional("artist_names", Kind::Texts),
    ColumnSpec::optional("recording_id", Kind::Text),
    ColumnSpec::optional("title", Kind::Text),
    ColumnSpec::optional("album_id", Kind::Text),
    ColumnSpec::optional("album", Kind::Text),
    ColumnSpec::optional("label", Kind::Text),
    ColumnSpec::optional("genres", Kind::Texts),
    ColumnSpec::optional("genre_confidences", Kind::Numbers),
    ColumnSpec::optional("release_date", Kind::Date),
    ColumnSpec::optional("duration_ms", Kind::Integer),
    ColumnSpec::optional("popularity", Kind::Number),
    ColumnSpec::optional("explicit", Kind::Boolean),
    ColumnSpec::optional("regions", Kind::Texts),
    ColumnSpec::optional("key", Kind::Integer),
    ColumnSpec::optional("mode", Kind::Integer),
    ColumnSpec::optional("tempo", Kind::Number),
    ColumnSpec::optional("energy", Kind::Number),
    ColumnSpec::optional("danceability", Kind::Number),
    ColumnSpec::optional("valence", Kind::Number),
    ColumnSpec::optional("acousticness", Kind::Number),
    ColumnSpec::optional("instrumentalness", Kind::Number),
    ColumnSpec::optional("speechiness", Kind::Number),
    ColumnSpec::optional("liveness", Kind::Number),
    ColumnSpec::optional("loudness", Kind::Number),
];

/// The tracks table.
#[derive(Debug, Default)]
pub struct TrackTable {
    markets: Markets,
}

/// The rows of a tracks file.
pub type TrackRows = Rows<TrackTable>;

/// Writes a tracks file.
pub type TrackWriter = TableWriter<TrackTable>;

impl Table for TrackTable {
    type Row = Track;

    fn open(path: &Path, schema: &Schema) -> Result<(Self, Vec<ColumnSpec>)> {
        super::columns::check_columns(schema, &COLUMNS)?;
        let markets = match schema.column_with_name("regions") {
            Some(_) => Markets::of_file(path)?,
            None => Markets::default(),
        };
        Ok((Self { markets }, COLUMNS.to_vec()))
    }

    fn decode(&mut self, batch: &Batch<'_>) -> Result<Vec<CellResult<Track>>> {
        let columns = decode::Columns::of(batch)?;
        Ok((0..batch.len()).map(|row| columns.track(row, &self.markets)).collect())
    }
}
