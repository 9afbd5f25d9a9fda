//! Meta and first rows of each kind of file, as JSON.

use serde_json::{Value, json};

use crate::{
    blob::BlobFile,
    blocks::BlockFile,
    columns::{ColumnFile, ColumnInfo, ColumnType, FixedValue, ListValue},
    container::{FileKind, SegmentFile, Verify},
    error::FormatError,
    ids::IdFile,
    inspect::{ROW_BYTES_SHOWN, hex},
    manifest::{self, FileEntry, Manifest, SegmentEntry, SegmentKind},
    postings::{PartInfo, PartType, PostingsFile, SortedValue},
    tombstones::Tombstones,
    vectors::VectorFile,
};

/// Rows, keys and ids that are shown.
const SHOWN: usize = 4;
/// Elements of a vector that are shown.
const ELEMENTS_SHOWN: usize = 8;

pub(super) fn describe(file: &SegmentFile) -> Result<Value, FormatError> {
    let file = file.clone();
    match file.kind() {
        FileKind::Vectors => VectorFile::from_file(file).map(|vectors| describe_vectors(&vectors)),
        FileKind::Codes | FileKind::Graph => {
            BlockFile::from_file(file, Verify::Structure).map(|blocks| describe_blocks(&blocks))
        }
        FileKind::Columns => describe_columns(&ColumnFile::from_file(file)?),
        FileKind::Postings => describe_postings(&PostingsFile::from_file(file)?),
        FileKind::Ids => describe_ids(&IdFile::from_file(file)?),
        FileKind::Tombstones => Tombstones::from_file(&file).map(|found| {
            let first: Vec<_> = found.deleted.iter().take(SHOWN).collect();
            json!({ "log_index": found.log_index, "deleted": found.deleted.len(), "first": first })
        }),
        FileKind::Blob => BlobFile::from_file(file)
            .map(|blob| json!({ "schema": blob.schema(), "payload_bytes": blob.payload().len() })),
        FileKind::Manifest => {
            manifest::decode(&file).map(|(sequence, found)| describe_manifest(sequence, &found))
        }
    }
}

fn describe_vectors(file: &VectorFile) -> Value {
    let shown = |row| file.get(row).map(|row| &row[..row.len().min(ELEMENTS_SHOWN)]);
    let first: Vec<_> = (0..SHOWN).map_while(shown).collect();
    json!({ "rows": file.rows(), "dim": file.dim(), "stride_elements": file.raw().1, "first": first })
}

fn describe_blocks(file: &BlockFile) -> Value {
    let links = file.link_layouts().iter().map(|layout| {
        json!({
            "block": layout.block,
            "links_offset": layout.links_offset,
            "links_per_row": layout.links_per_row,
            "nodes": layout.nodes,
        })
    });
    json!({
        "meta_bytes": file.meta().len(),
        "meta_hex": hex(file.meta().iter().take(ROW_BYTES_SHOWN)),
        "links": links.collect::<Vec<_>>(),
    })
}

fn describe_columns(file: &ColumnFile) -> Result<Value, FormatError> {
    let columns = file.columns().iter().map(|column| {
        Ok(json!({ "name": column.name, "type": column.kind.name(), "first": first_values(file, column)? }))
    });
    Ok(json!({ "rows": file.rows(), "columns": columns.collect::<Result<Vec<_>, FormatError>>()? }))
}

fn first_values(file: &ColumnFile, column: &ColumnInfo) -> Result<Value, FormatError> {
    let name = &column.name;
    match column.kind {
        ColumnType::U8 => fixed::<u8>(file, name),
        ColumnType::U16 => fixed::<u16>(file, name),
        ColumnType::U32 => fixed::<u32>(file, name),
        ColumnType::U64 => fixed::<u64>(file, name),
        ColumnType::I32 => fixed::<i32>(file, name),
        ColumnType::I64 => fixed::<i64>(file, name),
        ColumnType::F32 => fixed::<f32>(file, name),
        ColumnType::ListU64 => lists::<u64>(file, name),
        ColumnType::ListU32 => lists::<u32>(file, name),
        ColumnType::Payload => {
            let shown = |row: &[u8]| {
                let start = &row[..row.len().min(ROW_BYTES_SHOWN)];
                format!("{} bytes: {}", row.len(), start.escape_ascii())
            };
            Ok(file.payload(name)?.iter().take(SHOWN).map(shown).collect())
        }
    }
}

fn fixed<T: FixedValue + Into<Value>>(file: &ColumnFile, name: &str) -> Result<Value, FormatError> {
    Ok(file.fixed::<T>(name)?.iter().take(SHOWN).copied().collect())
}

fn lists<T: ListValue + Into<Value>>(file: &ColumnFile, name: &str) -> Result<Value, FormatError> {
    let shown = |list: &[T]| list.iter().take(ELEMENTS_SHOWN).copied().collect::<Value>();
    Ok(file.lists::<T>(name)?.iter().take(SHOWN).map(shown).collect())
}

fn describe_postings(file: &PostingsFile) -> Result<Value, FormatError> {
    let parts = file.parts().iter().map(|part| describe_part(file, part));
    Ok(json!({ "universe": file.universe(), "parts": parts.collect::<Result<Vec<_>, _>>()? }))
}

fn describe_part(file: &PostingsFile, part: &PartInfo) -> Result<Value, FormatError> {
    fn sorted<V: SortedValue + Into<Value>>(
        file: &PostingsFile,
        name: &str,
    ) -> Result<(usize, Value), FormatError> {
        let sorted = file.sorted::<V>(name)?;
        let pairs = sorted.values().iter().zip(sorted.rows());
        Ok((sorted.len(), pairs.take(SHOWN).map(|(value, row)| json!([(*value).into(), row])).collect()))
    }
    let (entries, first) = match part.kind {
        PartType::Field => {
            let field = file.field(&part.name)?;
            let counts = field.cardinalities().take(SHOWN);
            (field.len(), counts.map(|(key, rows)| json!({ "key": key, "rows": rows })).collect())
        }
        PartType::SortedF32 => sorted::<f32>(file, &part.name)?,
        PartType::SortedI32 => sorted::<i32>(file, &part.name)?,
    };
    Ok(json!({ "name": part.name, "type": part.kind.to_string(), "entries": entries, "first": first }))
}

fn describe_ids(file: &IdFile) -> Result<Value, FormatError> {
    let rows = file.rows();
    let first = (0..rows.min(SHOWN)).map(|row| file.id(row as u32)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "rows": rows, "first": first }))
}

fn describe_manifest(sequence: u64, manifest: &Manifest) -> Value {
    json!({
        "sequence": sequence,
        "format": manifest.format,
        "shard": manifest.shard,
        "slots": [manifest.slots.0, manifest.slots.1],
        "epoch": manifest.epoch,
        "applied_index": manifest.applied_index,
        "applied_term": manifest.applied_term,
        "conf_state_hex": hex(manifest.conf_state.iter()),
        "next_segment": manifest.next_segment,
        "next_ordinal": manifest.next_ordinal,
        "next_recording": manifest.next_recording,
        "segments": manifest.segments.iter().map(describe_segment).collect::<Vec<_>>(),
        "files": manifest.files.iter().map(describe_entry).collect::<Vec<_>>(),
    })
}

fn describe_segment(segment: &SegmentEntry) -> Value {
    let kind = match segment.kind {
        SegmentKind::Tracks => "tracks",
        SegmentKind::Vectors => "vectors",
    };
    json!({
        "id": segment.id,
        "kind": kind,
        "space": segment.space,
        "generation": segment.generation,
        "profile": segment.profile,
        "rows": segment.rows,
        "files": segment.files.iter().map(describe_entry).collect::<Vec<_>>(),
        "tombstones": segment.tombstones.as_ref().map(describe_entry),
    })
}

fn describe_entry(entry: &FileEntry) -> Value {
    json!({ "name": entry.name, "length_bytes": entry.len, "content_id": entry.content_id.to_string() })
}
