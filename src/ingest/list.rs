//! Finished lists as Parquet: one row a place, lists one after the other.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::write::Encode;
use crate::error::{Error, Result};

/// One place of one listener's list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListRow {
    /// For whom.
    pub user_id: String,
    /// 0-based.
    pub position: u32,
    /// Which track.
    pub track_id: String,
    /// The score it was chosen by.
    pub score: f64,
    /// Whether it is an exploration.
    pub explored: bool,
    /// Why, in words.
    pub reason: String,
    /// The recipe and its version.
    pub recipe: String,
    /// The list's token, to be handed back when the list is shown.
    pub impression: String,
}

/// The columns `user_id, position, track_id, score, explored, reason, recipe, impression`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListTable;

impl Encode for ListTable {
    type Row = ListRow;

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("user_id", DataType::Utf8, false),
            Field::new("position", DataType::UInt32, false),
            Field::new("track_id", DataType::Utf8, false),
            Field::new("score", DataType::Float64, false),
            Field::new("explored", DataType::Boolean, false),
            Field::new("reason", DataType::Utf8, false),
            Field::new("recipe", DataType::Utf8, false),
            Field::new("impression", DataType::Utf8, false),
        ]))
    }

    fn encode(&self, rows: &[ListRow]) -> Result<RecordBatch> {
        let texts = |text: fn(&ListRow) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
        };
        let explored: Vec<bool> = rows.iter().map(|row| row.explored).collect();
        let columns: Vec<ArrayRef> = vec![
            texts(|row| &row.user_id),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.position))),
            texts(|row| &row.track_id),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.score))),
            Arc::new(BooleanArray::from(explored)),
            texts(|row| &row.reason),
            texts(|row| &row.recipe),
            texts(|row| &row.impression),
        ];
        RecordBatch::try_new(self.schema(), columns).map_err(|error| Error::Internal(error.to_string()))
    }
}
