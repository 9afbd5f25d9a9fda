//! Users files: one listener a row; only `user_id` is required.

use std::collections::HashSet;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, ListArray, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::cell::{CellError, CellResult};
use super::columns::{Batch, Column, ColumnSpec, Kind};
use super::rows::{Rows, Table};
use super::write::{Encode, TableWriter, text_list, text_lists};
use crate::error::{Error, Result};
use crate::types::{ArtistId, InvalidId, Region, Timestamp, TrackId, User, UserId};

const COLUMNS: [ColumnSpec; 12] = [
    ColumnSpec::required("user_id", Kind::Text),
    ColumnSpec::optional("region", Kind::Text),
    ColumnSpec::optional("filter_explicit", Kind::Boolean),
    ColumnSpec::optional("blocked_artist_ids", Kind::Texts),
    ColumnSpec::optional("blocked_track_ids", Kind::Texts),
    ColumnSpec::optional("followed_artist_ids", Kind::Texts),
    ColumnSpec::optional("friend_ids", Kind::Texts),
    ColumnSpec::optional("social_consent", Kind::Boolean),
    ColumnSpec::optional("onboarding_genres", Kind::Texts),
    ColumnSpec::optional("onboarding_artist_ids", Kind::Texts),
    ColumnSpec::optional("age_band", Kind::Text),
    ColumnSpec::optional("registered_at", Kind::Instant),
];

/// The users table.
#[derive(Debug, Default)]
pub struct UserTable;

/// The rows of a users file.
pub type UserRows = Rows<UserTable>;

/// Writes a users file.
pub type UserWriter = TableWriter<UserTable>;

impl Table for UserTable {
    type Row = User;

    fn open(_path: &Path, _schema: &Schema) -> Result<(Self, Vec<ColumnSpec>)> {
        Ok((Self, COLUMNS.to_vec()))
    }

    fn decode(&mut self, batch: &Batch<'_>) -> Result<Vec<CellResult<User>>> {
        let columns = Columns::of(batch)?;
        Ok((0..batch.len()).map(|row| columns.user(row)).collect())
    }
}

struct Columns {
    ids: Column<StringArray>,
    regions: Option<Column<StringArray>>,
    filters: Option<Column<BooleanArray>>,
    blocked_artists: Option<Column<ListArray>>,
    blocked_tracks: Option<Column<ListArray>>,
    followed_artists: Option<Column<ListArray>>,
    friends: Option<Column<ListArray>>,
    consents: Option<Column<BooleanArray>>,
    genres: Option<Column<ListArray>>,
    artists: Option<Column<ListArray>>,
    age_bands: Option<Column<StringArray>>,
    registered: Option<Column<TimestampMillisecondArray>>,
}

impl Columns {
    fn of(batch: &Batch<'_>) -> Result<Self> {
        Ok(Self {
            ids: batch
                .text("user_id")?
                .ok_or_else(|| Error::Internal("user_id is absent from a batch".to_owned()))?,
            regions: batch.text("region")?,
            filters: batch.booleans("filter_explicit")?,
            blocked_artists: batch.texts("blocked_artist_ids")?,
            blocked_tracks: batch.texts("blocked_track_ids")?,
            followed_artists: batch.texts("followed_artist_ids")?,
            friends: batch.texts("friend_ids")?,
            consents: batch.booleans("social_consent")?,
            genres: batch.texts("onboarding_genres")?,
            artists: batch.texts("onboarding_artist_ids")?,
            age_bands: batch.text("age_band")?,
            registered: batch.instants("registered_at")?,
        })
    }

    fn user(&self, row: usize) -> CellResult<User> {
        let id = self.ids.need(row)?;
        Ok(User {
            user_id: UserId::new(id).map_err(|error| CellError::id("user_id", id, &error))?,
            region: region(self.regions.as_ref(), row)?,
            filter_explicit: flag(self.filters.as_ref(), row)?,
            blocked_artists: ids(self.blocked_artists.as_ref(), row, |id| ArtistId::new(id))?,
            blocked_tracks: ids(self.blocked_tracks.as_ref(), row, |id| TrackId::new(id))?,
            followed_artists: ids(self.followed_artists.as_ref(), row, |id| ArtistId::new(id))?,
            friends: ids(self.friends.as_ref(), row, |id| UserId::new(id))?,
            social_consent: flag(self.consents.as_ref(), row)?,
            onboarding_genres: ids(self.genres.as_ref(), row, |genre| Ok(genre.to_owned()))?,
            onboarding_artists: ids(self.artists.as_ref(), row, |id| ArtistId::new(id))?,
            age_band: match &self.age_bands {
                Some(column) => column.get(row)?.map(str::to_owned),
                None => None,
            },
            registered_at: match &self.registered {
                Some(column) => column.get(row)?.map(Timestamp),
                None => None,
            },
        })
    }
}

fn flag(column: Option<&Column<BooleanArray>>, row: usize) -> CellResult<bool> {
    Ok(match column {
        Some(column) => column.get(row)?.unwrap_or(false),
        None => false,
    })
}

fn region(column: Option<&Column<StringArray>>, row: usize) -> CellResult<Option<Region>> {
    let Some(column) = column else { return Ok(None) };
    let Some(code) = column.get(row)? else { return Ok(None) };
    Region::from_str(code).map(Some).map_err(|reason| CellError::new("region", code, reason))
}

/// The ids of a list cell, each once; a null list is empty.
fn ids<T>(
    column: Option<&Column<ListArray>>,
    row: usize,
    make: impl Fn(&str) -> std::result::Result<T, InvalidId>,
) -> CellResult<Vec<T>> {
    let Some(column) = column else { return Ok(Vec::new()) };
    let Some(texts) = column.strings(row)? else { return Ok(Vec::new()) };
    let mut ids = Vec::with_capacity(texts.len());
    // A set beside the list: listeners block tens of thousands of tracks.
    let mut seen = HashSet::with_capacity(texts.len());
    for text in &texts {
        let text = text.ok_or_else(|| CellError::null(column.name()))?;
        let id = make(text).map_err(|error| CellError::id(column.name(), text, &error))?;
        if seen.insert(text) {
            ids.push(id);
        }
    }
    Ok(ids)
}

impl Encode for UserTable {
    type Row = User;

    fn schema(&self) -> SchemaRef {
        let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            Field::new("user_id", DataType::Utf8, false),
            Field::new("region", DataType::Utf8, true),
            Field::new("filter_explicit", DataType::Boolean, false),
            text_list("blocked_artist_ids"),
            text_list("blocked_track_ids"),
            text_list("followed_artist_ids"),
            text_list("friend_ids"),
            Field::new("social_consent", DataType::Boolean, false),
            text_list("onboarding_genres"),
            text_list("onboarding_artist_ids"),
            Field::new("age_band", DataType::Utf8, true),
            Field::new("registered_at", instant, true),
        ]))
    }

    fn encode(&self, rows: &[User]) -> Result<RecordBatch> {
        let registered: TimestampMillisecondArray =
            rows.iter().map(|user| user.registered_at.map(|time| time.0)).collect();
        let filters: Vec<bool> = rows.iter().map(|user| user.filter_explicit).collect();
        let consents: Vec<bool> = rows.iter().map(|user| user.social_consent).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|user| user.user_id.as_str()))),
            Arc::new(StringArray::from_iter(
                rows.iter().map(|user| user.region.map(|region| region.to_string())),
            )),
            Arc::new(BooleanArray::from(filters)),
            text_lists(rows.iter().map(|user| Some(&user.blocked_artists[..]))),
            text_lists(rows.iter().map(|user| Some(&user.blocked_tracks[..]))),
            text_lists(rows.iter().map(|user| Some(&user.followed_artists[..]))),
            text_lists(rows.iter().map(|user| Some(&user.friends[..]))),
            Arc::new(BooleanArray::from(consents)),
            text_lists(rows.iter().map(|user| Some(&user.onboarding_genres[..]))),
            text_lists(rows.iter().map(|user| Some(&user.onboarding_artists[..]))),
            Arc::new(StringArray::from_iter(rows.iter().map(|user| user.age_band.as_deref()))),
            Arc::new(registered.with_timezone("UTC")),
        ];
        RecordBatch::try_new(self.schema(), columns).map_err(|error| Error::Internal(error.to_string()))
    }
}
