//! Plays files: one listening event a row.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::cell::{CellError, CellResult};
use super::columns::{Batch, Column, ColumnSpec, Kind};
use super::rows::{Rows, Table};
use super::write::{Encode, TableWriter};
use crate::error::{Error, Result};
use crate::types::{Play, PlayAction, Timestamp, TrackId, UserId};

const COLUMNS: [ColumnSpec; 5] = [
    ColumnSpec::required("user_id", Kind::Text),
    ColumnSpec::required("track_id", Kind::Text),
    ColumnSpec::required("played_at", Kind::Instant),
    ColumnSpec::required("listened_ms", Kind::Integer),
    ColumnSpec::required("action", Kind::Text),
];

/// The plays table: `user_id, track_id, played_at, listened_ms, action`.
#[derive(Debug, Default)]
pub struct PlayTable;

/// The rows of a plays file.
pub type PlayRows = Rows<PlayTable>;

/// Writes a plays file.
pub type PlayWriter = TableWriter<PlayTable>;

impl Table for PlayTable {
    type Row = Play;

    fn open(_path: &Path, _schema: &Schema) -> Result<(Self, Vec<ColumnSpec>)> {
        Ok((Self, COLUMNS.to_vec()))
    }

    fn decode(&mut self, batch: &Batch<'_>) -> Result<Vec<CellResult<Play>>> {
        let absent = || Error::Internal("a required column is absent from a batch".to_owned());
        let users = batch.text("user_id")?.ok_or_else(absent)?;
        let tracks = batch.text("track_id")?.ok_or_else(absent)?;
        let times = batch.instants("played_at")?.ok_or_else(absent)?;
        let listened = batch.integers("listened_ms")?.ok_or_else(absent)?;
        let actions = batch.text("action")?.ok_or_else(absent)?;
        let row = |row: usize| {
            let (user, track) = (users.need(row)?, tracks.need(row)?);
            let listened_ms = listened.need(row)?;
            Ok(Play {
                user_id: UserId::new(user).map_err(|error| CellError::id("user_id", user, &error))?,
                track_id: TrackId::new(track).map_err(|error| CellError::id("track_id", track, &error))?,
                played_at: Timestamp(times.need(row)?),
                listened_ms: u32::try_from(listened_ms).map_err(|_| {
                    CellError::new("listened_ms", listened_ms, "must be milliseconds from 0 to 4294967295")
                })?,
                action: action(&actions, row)?,
            })
        };
        Ok((0..batch.len()).map(row).collect())
    }
}

fn action(actions: &Column<StringArray>, row: usize) -> CellResult<PlayAction> {
    match actions.need(row)? {
        "play" => Ok(PlayAction::Play),
        "skip" => Ok(PlayAction::Skip),
        "save" => Ok(PlayAction::Save),
        "repeat" => Ok(PlayAction::Repeat),
        other => Err(CellError::new("action", other, "must be one of play, skip, save, repeat")),
    }
}

fn action_name(action: PlayAction) -> &'static str {
    match action {
        PlayAction::Play => "play",
        PlayAction::Skip => "skip",
        PlayAction::Save => "save",
        PlayAction::Repeat => "repeat",
    }
}

impl Encode for PlayTable {
    type Row = Play;

    fn schema(&self) -> SchemaRef {
        let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            Field::new("user_id", DataType::Utf8, false),
            Field::new("track_id", DataType::Utf8, false),
            Field::new("played_at", instant, false),
            Field::new("listened_ms", DataType::Int64, false),
            Field::new("action", DataType::Utf8, false),
        ]))
    }

    fn encode(&self, rows: &[Play]) -> Result<RecordBatch> {
        let listened = rows.iter().map(|play| i64::from(play.listened_ms));
        let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|play| play.played_at.0));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|play| play.user_id.as_str()))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|play| play.track_id.as_str()))),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(Int64Array::from_iter_values(listened)),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|play| action_name(play.action)))),
        ];
        RecordBatch::try_new(self.schema(), columns).map_err(|error| Error::Internal(error.to_string()))
    }
}
