//! Typed access to the columns of a file: what each may hold, checked once by name and type when the file is
//! opened, then read cell by cell.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayAccessor, ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int64Array,
    ListArray, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::cell::{CellError, CellResult};
use crate::error::{Error, Result};

/// What a column holds, whatever the width or encoding it is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// string, large_string, string_view, or a dictionary of them.
    Text,
    /// Any integer.
    Integer,
    /// Any float or integer.
    Number,
    /// true or false.
    Boolean,
    /// date32, date64 or a timestamp.
    Date,
    /// A timestamp of any unit; without a zone it is UTC.
    Instant,
    /// A list of [`Kind::Text`].
    Texts,
    /// A list, of fixed size or not, of floats.
    Numbers,
    /// [`Kind::Text`] or [`Kind::Integer`].
    TextOrInteger,
}

impl Kind {
    fn expected(self) -> &'static str {
        match self {
            Self::Text => "string, large_string or string_view",
            Self::Integer => "an integer type",
            Self::Number => "a float or integer type",
            Self::Boolean => "bool",
            Self::Date => "date32, date64 or timestamp",
            Self::Instant => "timestamp (any unit, UTC when it names no zone)",
            Self::Texts => "list<string>",
            Self::Numbers => "fixed_size_list<float32> or list<float32>, also of float64 or float16",
            Self::TextOrInteger => "string or an integer type",
        }
    }

    /// Whether a column of `data_type` can be read as this; a column of nulls only can be anything.
    fn accepts(self, data_type: &DataType) -> bool {
        if data_type.is_null() {
            return true;
        }
        match self {
            Self::Text => is_text(data_type),
            Self::Integer => data_type.is_integer(),
            Self::Number => data_type.is_integer() || data_type.is_floating(),
            Self::Boolean => *data_type == DataType::Boolean,
            Self::Date => {
                matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
            }
            Self::Instant => matches!(data_type, DataType::Timestamp(_, _)),
            Self::Texts => element(data_type).is_some_and(|item| is_text(item) || item.is_null()),
            Self::Numbers => element(data_type).is_some_and(DataType::is_floating),
            Self::TextOrInteger => is_text(data_type) || data_type.is_integer(),
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn element(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Some(field.data_type())
        }
        _ => None,
    }
}

/// A column a file must or may have.
#[derive(Debug, Clone, Copy)]
pub struct ColumnSpec {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Whether a file without it is refused.
    pub(crate) required: bool,
}

impl ColumnSpec {
    /// A column without which a file is refused.
    pub(crate) const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: true }
    }

    /// A column that may be absent: unknown in every row.
    pub(crate) const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: false }
    }
}

/// Checks the columns of `schema` against `specs`; the positions of those present.
///
/// # Errors
/// [`Error::InvalidField`] named after the column: what was found, what is expected.
pub(crate) fn check_columns(schema: &Schema, specs: &[ColumnSpec]) -> Result<Vec<usize>> {
    let mut found = Vec::with_capacity(specs.len());
    for spec in specs {
        match schema.column_with_name(spec.name) {
            Some((_, field)) if !spec.kind.accepts(field.data_type()) => {
                let reason = format!(
                    "the column has the wrong type. found=`{}`, expected=`{}`",
                    field.data_type(),
                    spec.kind.expected()
                );
                return Err(Error::invalid(spec.name, reason));
            }
            Some((at, _)) => found.push(at),
            None if spec.required => {
                let reason = format!(
                    "the column is missing. found=`{}`, expected=`{}: {}`",
                    column_names(schema),
                    spec.name,
                    spec.kind.expected()
                );
                return Err(Error::invalid(spec.name, reason));
            }
            None => {}
        }
    }
    Ok(found)
}

/// The names of all columns, for messages.
pub(crate) fn column_names(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.join(", ")
}

/// Some consecutive rows of a file.
pub struct Batch<'a>(pub(crate) &'a RecordBatch);

impl Batch<'_> {
    /// Rows in it.
    pub(crate) fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// A column of text, or of integers in decimal digits; `None` when the file has none of that name (likewise below).
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<Column<StringArray>>> {
        self.column(name, &DataType::Utf8)
    }

    /// A column of integers.
    pub(crate) fn integers(&self, name: &'static str) -> Result<Option<Column<Int64Array>>> {
        self.column(name, &DataType::Int64)
    }

    /// A column of numbers.
    pub(crate) fn numbers(&self, name: &'static str) -> Result<Option<Column<Float64Array>>> {
        self.column(name, &DataType::Float64)
    }

    /// A column of booleans.
    pub(crate) fn booleans(&self, name: &'static str) -> Result<Option<Column<BooleanArray>>> {
        self.column(name, &DataType::Boolean)
    }

    /// A column of calendar days.
    pub(crate) fn dates(&self, name: &'static str) -> Result<Option<Column<Date32Array>>> {
        self.column(name, &DataType::Date32)
    }

    /// A column of instants, in milliseconds.
    pub(crate) fn instants(&self, name: &'static str) -> Result<Option<Column<TimestampMillisecondArray>>> {
        self.column(name, &DataType::Timestamp(TimeUnit::Millisecond, None))
    }

    /// A column of lists of text.
    pub(crate) fn texts(&self, name: &'static str) -> Result<Option<Column<ListArray>>> {
        self.column(name, &list_of(DataType::Utf8))
    }

    /// A column of vectors.
    pub(crate) fn vectors(&self, name: &'static str) -> Result<Option<Column<ListArray>>> {
        self.column(name, &list_of(DataType::Float32))
    }

    fn column<A: Array + Clone + 'static>(
        &self,
        name: &'static str,
        to: &DataType,
    ) -> Result<Option<Column<A>>> {
        let Some(source) = self.0.column_by_name(name) else { return Ok(None) };
        let options = CastOptions { safe: true, ..CastOptions::default() };
        let cast = cast_with_options(source, &without_zone(source)?, &options)
            .and_then(|plain| cast_with_options(&plain, to, &options))
            .map_err(|error| Error::invalid(name, format!("the column cannot be read: {error}")))?;
        let values = cast
            .as_any()
            .downcast_ref::<A>()
            .ok_or_else(|| Error::Internal(format!("column {name} was cast to another type")))?;
        Ok(Some(Column { name, nulls: source.logical_nulls(), values: values.clone() }))
    }
}

/// Timestamps are instants already; naming no zone keeps the cast from looking zone names up.
fn without_zone(source: &ArrayRef) -> Result<DataType> {
    Ok(match source.data_type() {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
        other => other.clone(),
    })
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// One column of a batch, read as `A`.
pub struct Column<A> {
    name: &'static str,
    nulls: Option<NullBuffer>,
    values: A,
}

impl<A> Column<A> {
    /// The column's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

impl<A: Array> Column<A> {
    /// The value of a row; `None` when it is null.
    pub(crate) fn get<'a, T>(&'a self, row: usize) -> CellResult<Option<T>>
    where
        &'a A: ArrayAccessor<Item = T>,
    {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(None);
        }
        if self.values.is_null(row) {
            return Err(CellError::new(self.name, "a value", "is outside the range Segue can hold"));
        }
        Ok(Some((&self.values).value(row)))
    }

    /// The value of a row, which must not be null.
    pub(crate) fn need<'a, T>(&'a self, row: usize) -> CellResult<T>
    where
        &'a A: ArrayAccessor<Item = T>,
    {
        self.get(row)?.ok_or_else(|| CellError::null(self.name))
    }
}

impl Column<ListArray> {
    /// The texts of a row's list; `None` when the list is null.
    pub(crate) fn strings(&self, row: usize) -> CellResult<Option<StringArray>> {
        let Some(list) = self.get(row)? else { return Ok(None) };
        Ok(list.as_any().downcast_ref::<StringArray>().cloned())
    }

    /// The elements of all rows' lists, one after the other.
    pub(crate) fn all_values(&self) -> &ArrayRef {
        self.values.values()
    }

    /// The components of a row's vector; `None` when the vector is null.
    pub(crate) fn floats(&self, row: usize) -> CellResult<Option<Float32Array>> {
        let Some(list) = self.get(row)? else { return Ok(None) };
        Ok(list.as_any().downcast_ref::<Float32Array>().cloned())
    }
}
