//! What can be wrong with one cell or one row of a file.

use crate::types::InvalidId;

/// The longest value repeated in a message, in characters.
const VALUE_CHARS_MAX: usize = 80;

/// A row of a file that cannot be taken: which, which column, what it holds and what is wrong with that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {field}: {reason}. value=`{value}`")]
pub struct RowError {
    /// 0-based row of the file.
    pub row: u64,
    /// The column.
    pub field: &'static str,
    /// The value as text, cut after 80 characters.
    pub value: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// A [`RowError`] before its row number is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    field: &'static str,
    value: String,
    reason: String,
}

impl CellError {
    /// A wrong cell of column `field`.
    pub(crate) fn new(
        field: &'static str,
        value: impl std::fmt::Display,
        reason: impl Into<String>,
    ) -> Box<Self> {
        let mut value = value.to_string();
        if let Some((end, _)) = value.char_indices().nth(VALUE_CHARS_MAX) {
            value.truncate(end);
            value.push('…');
        }
        Box::new(Self { field, value, reason: reason.into() })
    }

    /// A cell that may not be null.
    pub(crate) fn null(field: &'static str) -> Box<Self> {
        Self::new(field, "null", "must not be null")
    }

    /// A text that is not an identifier.
    pub(crate) fn id(field: &'static str, value: &str, error: &InvalidId) -> Box<Self> {
        Self::new(field, value, error.to_string())
    }

    /// The error of row `row`.
    pub(crate) fn at(self, row: u64) -> RowError {
        RowError { row, field: self.field, value: self.value, reason: self.reason }
    }
}

/// A decoded cell or row, or what is wrong with it.
pub type CellResult<T> = Result<T, Box<CellError>>;
