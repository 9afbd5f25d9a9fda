//! Reading what to train on: listening events, play counts or bare pairs, told apart by their columns.

use std::path::Path;

use arrow_array::{Float64Array, StringArray};
use arrow_schema::Schema;

use super::durations::Durations;
use super::interactions::{Interactions, InteractionsBuilder};
use super::weight::WeightParams;
use crate::error::{Error, Result};
use crate::ingest::{BATCH_ROWS, Column, ColumnSpec, Kind, PlayRows, column_names, open_parquet, scan};
use crate::types::Timestamp;

const USER_COLUMNS: [&str; 3] = ["user_id", "user_idx", "user"];
const ITEM_COLUMNS: [&str; 7] =
    ["track_id", "item_id", "song_id", "song_idx", "artist_id", "item_idx", "item"];
const COUNT_COLUMNS: [&str; 3] = ["play_count", "plays", "count"];
const TIME_COLUMN: &str = "played_at";

/// What a file to train on holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaysShape {
    /// Listening events, in the schema of plays.
    Events,
    /// Users, items and play counts.
    Counts,
    /// Users and items.
    Pairs,
}

/// Reads a file to train on.
///
/// * Events (a `played_at` column): weighed by kind, share heard and age ([`WeightParams::weigh`]), measured from `as_of` or
///   else the newest event; events after `as_of` are left out.
/// * Counts: each play weighs 1, without decay.
/// * Pairs: confidence 1.
///
/// Ids of counts and pairs may be integers; they become their decimal digits.
///
/// # Errors
/// [`Error::InvalidField`] names the missing or wrong column, or the first bad row; [`Error::Io`] when the file cannot be opened.
pub fn read_interactions(
    path: &Path,
    durations: &Durations,
    half_life_days: f64,
    as_of: Option<Timestamp>,
) -> Result<(PlaysShape, Interactions)> {
    let builder = open_parquet(path)?;
    let schema = builder.schema();
    if schema.column_with_name(TIME_COLUMN).is_some() {
        return read_events(path, durations, half_life_days, as_of).map(|data| (PlaysShape::Events, data));
    }
    let columns = PairColumns::find(schema)?;
    let mut params = WeightParams { half_life_days, ..WeightParams::timeless() };
    params.reference_time = as_of.unwrap_or(params.reference_time);
    let shape = if columns.count.is_some() { PlaysShape::Counts } else { PlaysShape::Pairs };
    read_pairs(path, &columns, params).map(|data| (shape, data))
}

fn read_events(
    path: &Path,
    durations: &Durations,
    half_life_days: f64,
    as_of: Option<Timestamp>,
) -> Result<Interactions> {
    let reference_time = match as_of {
        Some(time) => time,
        None => newest_event(path)?,
    };
    let mut builder = InteractionsBuilder::new(WeightParams { half_life_days, reference_time })?;
    let mut rows = PlayRows::open(path)?;
    loop {
        let batch = rows.next_batch(BATCH_ROWS)?;
        if batch.is_empty() {
            return builder.build();
        }
        for (_, play) in batch {
            let play = play.map_err(|error| bad_row(path, &error.to_string()))?;
            if play.played_at <= reference_time {
                builder.add_play(&play, durations.get(play.track_id.as_str()));
            }
        }
    }
}

fn newest_event(path: &Path) -> Result<Timestamp> {
    let mut newest = Timestamp(i64::MIN);
    scan(path, &[ColumnSpec::required(TIME_COLUMN, Kind::Instant)], |batch, _| {
        if let Some(times) = batch.instants(TIME_COLUMN)? {
            for row in 0..batch.len() {
                if let Ok(Some(time)) = times.get(row) {
                    newest = newest.max(Timestamp(time));
                }
            }
        }
        Ok(())
    })?;
    match newest.0 {
        i64::MIN => Err(Error::invalid("plays", format!("the file has no rows. path=`{}`", path.display()))),
        _ => Ok(newest),
    }
}

/// The columns of a file of counts or pairs.
struct PairColumns {
    user: ColumnSpec,
    item: ColumnSpec,
    count: Option<ColumnSpec>,
}

impl PairColumns {
    fn find(schema: &Schema) -> Result<Self> {
        let first = |names: &[&'static str]| {
            names.iter().copied().find(|name| schema.column_with_name(name).is_some())
        };
        let id = |names: &[&'static str]| match first(names) {
            Some(name) => Ok(ColumnSpec::required(name, Kind::TextOrInteger)),
            None => {
                let reason = format!(
                    "the column is missing. found=`{}`, expected=`one of {}`",
                    column_names(schema),
                    names.join(", ")
                );
                Err(Error::invalid(names[0], reason))
            }
        };
        Ok(Self {
            user: id(&USER_COLUMNS)?,
            item: id(&ITEM_COLUMNS)?,
            count: first(&COUNT_COLUMNS).map(|name| ColumnSpec::required(name, Kind::Number)),
        })
    }
}

fn read_pairs(path: &Path, columns: &PairColumns, params: WeightParams) -> Result<Interactions> {
    let mut specs = vec![columns.user, columns.item];
    specs.extend(columns.count);
    let mut builder = InteractionsBuilder::new(params)?;
    scan(path, &specs, |batch, first_row| {
        let absent = || Error::Internal("a required column is absent from a batch".to_owned());
        let users = batch.text(columns.user.name)?.ok_or_else(absent)?;
        let items = batch.text(columns.item.name)?.ok_or_else(absent)?;
        let counts = match columns.count {
            Some(count) => Some(batch.numbers(count.name)?.ok_or_else(absent)?),
            None => None,
        };
        for row in 0..batch.len() {
            let at = first_row + row as u64;
            let (user, item) = (id_of(path, &users, row, at)?, id_of(path, &items, row, at)?);
            match &counts {
                None => builder.add_pair(user, item),
                Some(counts) => builder.add_liked(user, item, count_of(path, counts, row, at)?),
            }
        }
        Ok(())
    })?;
    builder.build()
}

fn id_of<'a>(path: &Path, ids: &'a Column<StringArray>, row: usize, at: u64) -> Result<&'a str> {
    match ids.get(row) {
        Ok(Some(id)) if !id.is_empty() => Ok(id),
        _ => Err(bad_row(path, &format!("row {at}: {}: must be an id, not null or empty", ids.name()))),
    }
}

fn count_of(path: &Path, counts: &Column<Float64Array>, row: usize, at: u64) -> Result<f64> {
    match counts.get(row) {
        Ok(Some(count)) if count.is_finite() && count >= 0.0 => Ok(count),
        _ => Err(bad_row(path, &format!("row {at}: {}: must be a number of at least 0", counts.name()))),
    }
}

fn bad_row(path: &Path, problem: &str) -> Error {
    Error::invalid("plays", format!("{problem}. path=`{}`", path.display()))
}
