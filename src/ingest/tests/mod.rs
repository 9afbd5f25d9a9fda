//! Tests of the readers and writers against files, good, wrong and damaged.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damaged;
mod roundtrip;
mod shared_catalog;
mod wrong;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;
use crate::types::*;

/// Writes one batch of hand-made columns.
fn file_of(folder: &TempDir, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = folder.path().join("hand.parquet");
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name.to_owned(), array, true)),
    )
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn text_rows(rows: &[&[&str]]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.iter().for_each(|text| lists.values().append_value(text));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn all<T: Table>(path: &Path) -> Vec<RowOutcome<T::Row>> {
    let mut rows = Rows::<T>::open(path).unwrap();
    let mut outcomes = Vec::new();
    loop {
        let batch = rows.next_batch(1_000).unwrap();
        if batch.is_empty() {
            assert_eq!(outcomes.len() as u64, rows.total_rows());
            return outcomes;
        }
        outcomes.extend(batch);
    }
}

fn artist(id: &str, name: &str) -> Artist {
    Artist { id: ArtistId::new(id).unwrap(), name: name.to_owned() }
}
