//! Files that are checked as they are used: what is whole is read, what is damaged never is, and bringing a file in finds all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_storage_format::container::CHUNK_BYTES;
use segue_storage_format::{
    BlockFile, BlockFileWriter, ColumnFile, ColumnFileWriter, FormatErrorKind, Health, IndexPart, Residence,
    VectorFile, VectorFileWriter,
};

const DIM: usize = 64;
/// Rows of vectors: five chunks.
const ROWS: usize = 5 * CHUNK_BYTES / (4 * DIM);

fn vector(row: usize) -> Vec<f32> {
    (0..DIM).map(|at| (row * DIM + at) as f32).collect()
}

fn vectors(folder: &Path) -> PathBuf {
    let mut file = VectorFileWriter::create(folder, "vectors.seg", DIM, true).unwrap();
    (0..ROWS).for_each(|row| file.push(&vector(row)).unwrap());
    file.finish().unwrap();
    folder.join("vectors.seg")
}

/// Flips a bit of the file's chunk `chunk` (chunks follow the header of 64 bytes).
fn flip(path: &Path, chunk: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[64 + chunk * CHUNK_BYTES + CHUNK_BYTES / 3] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

fn health() -> Arc<Health> {
    Arc::default()
}

#[test]
fn rows_of_good_chunks_are_read_and_those_of_a_damaged_one_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = vectors(folder.path());
    flip(&path, 2);
    let health = health();
    let file = VectorFile::open_on_use(&path, &health).unwrap();
    assert!(!file.file().is_whole());
    let of_chunk = |row: usize| row * 4 * DIM / CHUNK_BYTES;
    for row in (0..ROWS).filter(|row| of_chunk(*row) != 2) {
        assert_eq!(file.get(row), Some(vector(row).as_slice()), "row {row}");
    }
    assert_eq!(health.damage(), None);
    let damaged = (0..ROWS).find(|row| of_chunk(*row) == 2).unwrap();
    assert_eq!(file.get(damaged), None);
    assert_eq!(file.ensure(damaged).unwrap_err().kind(), FormatErrorKind::Damaged);
    assert!(health.damage().unwrap().contains("vectors.seg"), "{:?}", health.damage());
    assert!(!file.file().is_whole());
    assert_eq!(file.get(ROWS), None);
}

#[test]
fn a_file_is_whole_once_every_chunk_was_used_or_it_was_brought_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = vectors(folder.path());
    let used = VectorFile::open_on_use(&path, &health()).unwrap();
    assert!((0..ROWS).all(|row| used.get(row).is_some()));
    used.file().ensure_all().unwrap();
    assert!(used.file().is_whole());
    for residence in [Residence::Mapped, Residence::Memory] {
        let file = VectorFile::open_on_use(&path, &health()).unwrap();
        let mut read = 0;
        let stopped = file.file().bring_in(residence, &mut |bytes| {
            read += bytes;
            read < 2 * CHUNK_BYTES as u64
        });
        assert!(!stopped.unwrap() && !file.file().is_whole(), "{residence:?}: it was told to stop");
        read = 0;
        assert!(
            file.file()
                .bring_in(residence, &mut |bytes| {
                    read += bytes;
                    true
                })
                .unwrap()
        );
        assert_eq!((read, file.file().is_whole()), (file.file().len(), true), "{residence:?}");
        assert!((0..ROWS).all(|row| file.get(row) == Some(vector(row).as_slice())), "{residence:?}");
        // From memory nothing is read from the file any more.
        if residence == Residence::Memory {
            flip(&path, 1);
            assert!((0..ROWS).all(|row| file.get(row) == Some(vector(row).as_slice())));
            flip(&path, 1);
        }
    }
}

#[test]
fn bringing_in_finds_damage_nobody_has_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = vectors(folder.path());
    flip(&path, 4);
    for residence in [Residence::Mapped, Residence::Memory] {
        let health = health();
        let file = VectorFile::open_on_use(&path, &health).unwrap();
        assert_eq!(file.get(0), Some(vector(0).as_slice()));
        let error = file.file().bring_in(residence, &mut |_| true).unwrap_err();
        assert_eq!(error.kind(), FormatErrorKind::Damaged);
        assert!(health.damage().is_some() && !file.file().is_whole());
        assert_eq!(file.get(0), Some(vector(0).as_slice()), "what is good stays so");
    }
}

#[test]
fn a_column_is_checked_when_it_is_asked_for_and_a_record_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let rows = 3 * CHUNK_BYTES / 4;
    let record = |row: usize| [(row % 251) as u8; 3];
    let numbers: Vec<u32> = (0..rows as u32).collect();
    let mut file = ColumnFileWriter::create(folder.path(), "columns.seg").unwrap();
    file.fixed("number", &numbers).unwrap();
    file.payload("record", (0..rows).map(record)).unwrap();
    file.finish().unwrap();
    let path = folder.path().join("columns.seg");
    // Three chunks of numbers, then records of three bytes: this is the second of theirs.
    flip(&path, 4);
    let health = health();
    let file = ColumnFile::open_on_use(&path, &health).unwrap();
    assert_eq!(file.fixed::<u32>("number").unwrap(), numbers);
    assert_eq!(file.payload_row("record", 7).unwrap(), Some(&record(7)[..]));
    assert_eq!(file.payload_row("record", rows).unwrap(), None);
    assert_eq!(health.damage(), None);
    let damaged = CHUNK_BYTES / 3 + 9;
    assert_eq!(file.payload_row("record", damaged).unwrap_err().kind(), FormatErrorKind::Damaged);
    assert!(file.payload("record").is_err() && health.damage().is_some());
    // The numbers, then.
    flip(&path, 4);
    flip(&path, 1);
    let file = ColumnFile::open_on_use(&path, &Arc::default()).unwrap();
    assert_eq!(file.fixed::<u32>("number").unwrap_err().kind(), FormatErrorKind::Damaged);
    assert_eq!(file.payload_row("record", damaged).unwrap(), Some(&record(damaged)[..]));
}

#[test]
fn rows_of_a_graph_are_checked_by_whoever_uses_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = BlockFileWriter::create(folder.path(), "graph.seg", IndexPart::Graph).unwrap();
    file.begin_block("rows", 1, 256).unwrap();
    file.append_bytes(&vec![7; 3 * CHUNK_BYTES]).unwrap();
    file.finish(b"meta").unwrap();
    let path = folder.path().join("graph.seg");
    flip(&path, 1);
    let health = health();
    let graph = BlockFile::open_on_use(&path, IndexPart::Graph, &health).unwrap();
    assert_eq!(graph.meta(), b"meta");
    let rows = graph.block("rows").unwrap();
    let ensure = |row: u64| graph.file().ensure(&rows, row * 256..(row + 1) * 256);
    ensure(0).unwrap();
    ensure(600).unwrap();
    assert_eq!(ensure(300).unwrap_err().kind(), FormatErrorKind::Damaged);
    assert!(graph.bring_in(Residence::Memory, &mut |_| true).is_err() && health.damage().is_some());
}
