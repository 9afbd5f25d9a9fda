//! Opens a file as its kind and uses everything a reader offers; for bytes that may be anything.

use std::hint::black_box;

use segue_storage_format::{
    BlobFile, BlockFile, ColumnFile, ColumnType, FileKind, FormatError, IdFile, PostingsFile, SegmentFile,
    Tombstones, VectorFile, Verify, manifest, postings::PartType,
};

/// Opens `file` as its kind and reads all of it. Values are not judged, only that nothing panics.
pub fn open_and_read(file: SegmentFile) -> Result<(), FormatError> {
    match file.kind() {
        FileKind::Vectors => {
            let file = VectorFile::from_file(file)?;
            (0..file.rows()).for_each(|row| assert_eq!(file.row(row).len(), file.dim()));
            assert!(file.get(file.rows()).is_none());
        }
        FileKind::Codes | FileKind::Graph => {
            let file = BlockFile::from_file(file, Verify::Full)?;
            black_box(file.meta());
            for block in file.file().blocks() {
                black_box(file.bytes(block.tag.as_str())?.iter().map(|byte| u64::from(*byte)).sum::<u64>());
            }
        }
        FileKind::Columns => read_columns(&ColumnFile::from_file(file)?)?,
        FileKind::Postings => read_postings(&PostingsFile::from_file(file)?)?,
        FileKind::Ids => {
            let file = IdFile::from_file(file)?;
            for row in 0..file.rows() as u32 {
                if let Ok(id) = file.id(row) {
                    black_box(file.find(id));
                }
            }
            black_box(file.find("absent"));
            file.check_ids()?;
        }
        FileKind::Tombstones => {
            black_box(Tombstones::from_file(&file)?.deleted.len());
        }
        FileKind::Blob => {
            black_box(BlobFile::from_file(file)?.payload_up_to(3)?);
        }
        FileKind::Manifest => {
            black_box(manifest::decode(&file)?);
        }
    }
    Ok(())
}

fn read_columns(file: &ColumnFile) -> Result<(), FormatError> {
    let rows = file.rows() as usize;
    for column in file.columns() {
        let name = &column.name;
        let found = match column.kind {
            ColumnType::U8 => file.fixed::<u8>(name)?.len(),
            ColumnType::U16 => file.fixed::<u16>(name)?.len(),
            ColumnType::U32 => file.fixed::<u32>(name)?.len(),
            ColumnType::U64 => file.fixed::<u64>(name)?.len(),
            ColumnType::I32 => file.fixed::<i32>(name)?.len(),
            ColumnType::I64 => file.fixed::<i64>(name)?.len(),
            ColumnType::F32 => file.fixed::<f32>(name)?.len(),
            ColumnType::ListU64 => {
                (0..rows).filter_map(|row| file.lists::<u64>(name).unwrap().get(row)).count()
            }
            ColumnType::ListU32 => file.lists::<u32>(name)?.iter().count(),
            ColumnType::Payload => (0..rows).filter_map(|row| file.payload(name).unwrap().get(row)).count(),
        };
        assert_eq!(found, rows, "{name}");
    }
    Ok(())
}

fn read_postings(file: &PostingsFile) -> Result<(), FormatError> {
    for part in file.parts() {
        match part.kind {
            PartType::Field => {
                let field = file.field(&part.name)?;
                for (key, count) in field.cardinalities() {
                    if let Ok(rows) = field.rows(key) {
                        let rows = rows.unwrap();
                        assert_eq!(rows.len(), count);
                        assert_eq!(rows.iter().count() as u64, count, "the bitmap is what it says");
                        assert!(rows.max().is_none_or(|row| u64::from(row) < file.universe()));
                    }
                }
            }
            PartType::SortedF32 => {
                let sorted = file.sorted::<f32>(&part.name)?;
                assert_eq!(sorted.range(..).len(), sorted.len());
                black_box((sorted.range(0.0..1.0), sorted.range(f32::NAN..), sorted.range(1.0..0.0)));
            }
            PartType::SortedI32 => {
                let sorted = file.sorted::<i32>(&part.name)?;
                assert_eq!(sorted.range(..).len(), sorted.len());
                black_box((sorted.range(i32::MIN..), sorted.range(..=i32::MAX)));
            }
        }
    }
    file.check_bitmaps()
}
