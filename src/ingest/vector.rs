//! Vectors files: an id column, `track_id` or `user_id`, and `vector`.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::cell::{CellError, CellResult};
use super::columns::{Batch, ColumnSpec, Kind, column_names};
use super::rows::{Rows, Table};
use super::write::{Encode, TableWriter};
use crate::error::{Error, Result};
use crate::types::{Entity, TrackId, UserId, VectorRow};

/// The vectors table of one entity and dimension.
#[derive(Debug)]
pub struct VectorTable {
    entity: Entity,
    dim: Option<usize>,
}

/// The rows of a vectors file.
pub type VectorRows = Rows<VectorTable>;

/// Writes a vectors file.
pub type VectorWriter = TableWriter<VectorTable>;

impl VectorTable {
    /// Vectors of `dim` components, of tracks or of users.
    #[must_use]
    pub fn new(entity: Entity, dim: usize) -> Self {
        Self { entity, dim: Some(dim) }
    }

    /// What the vectors describe: tracks in a file with `track_id`, users in one with `user_id`.
    #[must_use]
    pub fn entity(&self) -> Entity {
        self.entity
    }

    /// Components of a vector: from the column's type, else from the first good row (`None` before it is read).
    #[must_use]
    pub fn dim(&self) -> Option<usize> {
        self.dim
    }

    fn id_column(&self) -> &'static str {
        match self.entity {
            Entity::Track => "track_id",
            Entity::User => "user_id",
        }
    }

    fn check_id(&self, id: &str) -> CellResult<()> {
        match self.entity {
            Entity::Track => TrackId::new(id).map(drop),
            Entity::User => UserId::new(id).map(drop),
        }
        .map_err(|error| CellError::id(self.id_column(), id, &error))
    }

    fn components(&mut self, values: &Float32Array) -> CellResult<Vec<f32>> {
        if values.null_count() > 0 {
            return Err(CellError::new("vector", "null", "must not hold nulls"));
        }
        let vector = values.values().to_vec();
        if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
            let reason = format!("must be finite float32 numbers; component {at} is not");
            return Err(CellError::new("vector", vector[at], reason));
        }
        if vector.is_empty() {
            return Err(CellError::new("vector", "[]", "must have at least one component"));
        }
        let dim = *self.dim.get_or_insert(vector.len());
        if vector.len() != dim {
            let reason = format!("must have the dimension of the vectors before it. expected=`{dim}`");
            return Err(CellError::new("vector", format!("{} components", vector.len()), reason));
        }
        Ok(vector)
    }
}

impl Table for VectorTable {
    type Row = VectorRow;

    fn open(_path: &Path, schema: &Schema) -> Result<(Self, Vec<ColumnSpec>)> {
        let has = |name| schema.column_with_name(name).is_some();
        let entity = match (has("track_id"), has("user_id")) {
            (true, false) => Entity::Track,
            (false, true) => Entity::User,
            (both, _) => {
                let problem = if both { "both id columns are there" } else { "the column is missing" };
                let reason = format!(
                    "{problem}. found=`{}`, expected=`one of track_id and user_id: string`",
                    column_names(schema)
                );
                return Err(Error::invalid("track_id", reason));
            }
        };
        let dim = match schema.column_with_name("vector").map(|(_, field)| field.data_type()) {
            Some(DataType::FixedSizeList(_, size)) => usize::try_from(*size).ok(),
            _ => None,
        };
        if dim == Some(0) {
            return Err(Error::invalid("vector", "the column's lists have no components"));
        }
        let table = Self { entity, dim };
        let id = ColumnSpec::required(table.id_column(), Kind::Text);
        Ok((table, vec![id, ColumnSpec::required("vector", Kind::Numbers)]))
    }

    fn decode(&mut self, batch: &Batch<'_>) -> Result<Vec<CellResult<VectorRow>>> {
        let absent = || Error::Internal("a required column is absent from a batch".to_owned());
        let ids = batch.text(self.id_column())?.ok_or_else(absent)?;
        let vectors = batch.vectors("vector")?.ok_or_else(absent)?;
        let mut row = |row: usize| {
            let id = ids.need(row)?;
            self.check_id(id)?;
            let values = vectors.floats(row)?.ok_or_else(|| CellError::null("vector"))?;
            Ok(VectorRow { id: id.to_owned(), vector: self.components(&values)? })
        };
        Ok((0..batch.len()).map(&mut row).collect())
    }
}

impl Encode for VectorTable {
    type Row = VectorRow;

    fn schema(&self) -> SchemaRef {
        let dim = i32::try_from(self.dim.unwrap_or(0)).unwrap_or(i32::MAX);
        let item = Arc::new(Field::new("element", DataType::Float32, false));
        Arc::new(Schema::new(vec![
            Field::new(self.id_column(), DataType::Utf8, false),
            Field::new("vector", DataType::FixedSizeList(item, dim), false),
        ]))
    }

    fn encode(&self, rows: &[VectorRow]) -> Result<RecordBatch> {
        let ids = rows.iter().map(|row| row.id.as_str());
        let mut values = Vec::with_capacity(rows.len() * self.dim.unwrap_or(0));
        for row in rows {
            if Some(row.vector.len()) != self.dim {
                let reason =
                    format!("has {} components, not {:?}. id=`{}`", row.vector.len(), self.dim, row.id);
                return Err(Error::invalid("vector", reason));
            }
            values.extend_from_slice(&row.vector);
        }
        vector_batch(self.schema(), StringArray::from_iter_values(ids), values)
    }

    /// 64 MiB of components, whatever the dimension.
    fn row_group_rows(&self) -> usize {
        ((16 << 20) / self.dim.unwrap_or(1).max(1)).clamp(1 << 10, 1 << 17)
    }

    fn incompressible(&self) -> bool {
        true
    }
}

fn vector_batch(schema: SchemaRef, ids: StringArray, values: Vec<f32>) -> Result<RecordBatch> {
    let internal = |error: arrow_schema::ArrowError| Error::Internal(error.to_string());
    let DataType::FixedSizeList(item, dim) = schema.field(1).data_type() else {
        return Err(Error::Internal("a vectors schema holds no vectors".to_owned()));
    };
    let vectors =
        FixedSizeListArray::try_new(Arc::clone(item), *dim, Arc::new(Float32Array::from(values)), None)
            .map_err(internal)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(vectors)];
    RecordBatch::try_new(schema, columns).map_err(internal)
}

/// Writes a vectors file from ids with their vectors, whole or not at all; the number of rows in it.
///
/// # Errors
/// [`Error::InvalidField`] when a vector has not `dim` components, [`Error::Io`] when the disk refuses.
pub fn write_vectors<'a>(
    path: &Path,
    entity: Entity,
    dim: usize,
    rows: impl IntoIterator<Item = (&'a str, &'a [f32])>,
) -> Result<u64> {
    let mut writer = VectorWriter::create(path, VectorTable::new(entity, dim))?;
    let mut rows =
        rows.into_iter().map(|(id, vector)| VectorRow { id: id.to_owned(), vector: vector.to_vec() });
    loop {
        let chunk: Vec<VectorRow> = rows.by_ref().take(8_192).collect();
        if chunk.is_empty() {
            return writer.finish();
        }
        writer.write(&chunk)?;
    }
}
