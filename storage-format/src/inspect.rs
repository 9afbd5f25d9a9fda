//! A readable dump of any file: what it says it is, its blocks, its damage, its first rows.

mod content;
mod render;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    container::{Block, ChunkFault, DamagedChunk, FileKind, SegmentFile, Verify},
    error::FormatError,
};

/// Bytes of a block's first row that are shown.
const ROW_BYTES_SHOWN: usize = 32;

/// What a file holds.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// What it is for.
    pub kind: FileKind,
    /// Layout version of its kind.
    pub version: u16,
    /// Length in bytes.
    pub length: u64,
    /// Every block, in file order.
    pub blocks: Vec<Block>,
    /// Every piece of at most 64 KiB that is not as it was written.
    pub damage: Vec<DamagedChunk>,
    /// Meta and first rows, by kind of file; or why they cannot be read.
    pub content: Result<Value, FormatError>,
    first_rows: Vec<String>,
}

/// Dumps a file. Reads all of it once, to find damage.
///
/// # Errors
/// [`FormatError`] when header, directory or trailer do not hold; damage in blocks is in the report.
pub fn inspect_file(path: &Path) -> Result<Report, FormatError> {
    let file = SegmentFile::open_any(path, Verify::Structure)?;
    Ok(Report {
        path: path.to_path_buf(),
        kind: file.kind(),
        version: file.version(),
        length: file.len(),
        blocks: file.blocks().to_vec(),
        damage: file.check_chunks(0..file.len()),
        content: content::describe(&file),
        first_rows: file.blocks().iter().map(|block| first_row(&file, block)).collect(),
    })
}

impl Report {
    /// The report as one JSON document.
    pub fn to_json(&self) -> Value {
        let blocks = self.blocks.iter().zip(&self.first_rows).map(|(block, first_row)| {
            json!({
                "tag": block.tag.as_str(),
                "element_bytes": block.width,
                "stride_bytes": block.stride,
                "rows": block.rows,
                "offset": block.offset,
                "length_bytes": block.length,
                "first_row_hex": first_row,
            })
        });
        let damage = self.damage.iter().map(|chunk| {
            json!({
                "block": chunk.tag.map(|tag| tag.to_string()),
                "offset": chunk.range.start,
                "length_bytes": chunk.range.end - chunk.range.start,
                "what": fault(&chunk.fault),
            })
        });
        json!({
            "file": self.path.to_string_lossy(),
            "kind": self.kind.name(),
            "version": self.version,
            "length_bytes": self.length,
            "blocks": blocks.collect::<Vec<_>>(),
            "damage": damage.collect::<Vec<_>>(),
            "content": match &self.content {
                Ok(content) => content.clone(),
                Err(error) => json!({ "error": error.to_string() }),
            },
        })
    }
}

/// The report as text for a person.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} version {}, {} bytes",
            self.path.display(),
            self.kind,
            self.version,
            self.length
        )?;
        writeln!(
            f,
            "{:<8} {:>7} {:>9} {:>11} {:>12} {:>13}  first row",
            "block", "element", "stride", "rows", "offset", "bytes"
        )?;
        for (block, first_row) in self.blocks.iter().zip(&self.first_rows) {
            let Block { tag, width, stride, rows, offset, length } = block;
            writeln!(
                f,
                "{:<8} {width:>7} {stride:>9} {rows:>11} {offset:>12} {length:>13}  {first_row}",
                tag.as_str()
            )?;
        }
        for chunk in &self.damage {
            let block = chunk.tag.map_or_else(|| "-".to_owned(), |tag| tag.to_string());
            writeln!(
                f,
                "DAMAGED at {}..{} in block {block}: {}",
                chunk.range.start,
                chunk.range.end,
                fault(&chunk.fault)
            )?;
        }
        match &self.content {
            Ok(content) => render::tree(f, content, 0),
            Err(error) => writeln!(f, "content cannot be read: {error}"),
        }
    }
}

pub(crate) fn fault(fault: &ChunkFault) -> String {
    match fault {
        ChunkFault::Checksum { stored, computed } => {
            format!("checksum mismatch. stored=`{stored}`, computed=`{computed}`")
        }
        ChunkFault::Io(error) => format!("cannot be read: {error}"),
    }
}

fn first_row(file: &SegmentFile, block: &Block) -> String {
    let row = usize::try_from(block.stride).unwrap_or(usize::MAX);
    let shown = if row == 1 { ROW_BYTES_SHOWN } else { row.min(ROW_BYTES_SHOWN) };
    hex(file.block_bytes(block).iter().take(shown))
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}
