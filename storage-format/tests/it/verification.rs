//! Verifying a shard finds every kind of damage, names its place, and goes on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use roaring::RoaringBitmap;
use segue_storage_format::{
    BlockFileWriter, ColumnFileWriter, FileEntry, IdFileWriter, IndexPart, LinkLayout, Manifest,
    PostingsFileWriter, SegmentEntry, SegmentKind, VectorFileWriter, VerifyReport,
    container::CHUNK_BYTES,
    manifest::{self, segment_folder},
    publish::{create_folder, write_file},
    verify::verify_shard_with,
    verify_shard, write_blob, write_tombstones,
};

use crate::samples;

const ROWS: u32 = 1_000;
const DIM: usize = 64;

/// A shard of one segment of vectors and one of tracks, with a file of every kind.
fn shard(folder: &Path) -> Manifest {
    let tracks = segment_folder(folder, 2);
    let vectors = segment_folder(folder, 5);
    create_folder(&tracks).unwrap();
    create_folder(&vectors).unwrap();
    let entry = |id, kind, files, tombstones| SegmentEntry {
        id,
        kind,
        files,
        tombstones,
        rows: u64::from(ROWS),
        ..samples::manifest().segments[1].clone()
    };
    let deleted =
        write_tombstones(&tracks, "tombstones-7", &RoaringBitmap::from_iter([0, ROWS - 1]), 7).unwrap();
    let manifest = Manifest {
        applied_index: 7,
        segments: vec![
            entry(2, SegmentKind::Tracks, write_tracks(&tracks), Some(deleted)),
            entry(
                5,
                SegmentKind::Vectors,
                vec![write_vectors(&vectors, ROWS), write_graph(&vectors, ROWS)],
                None,
            ),
        ],
        files: vec![
            write_blob(folder, "statistics-7", 1, b"counts").unwrap(),
            write_file(folder, "note", b"plain").unwrap(),
        ],
        ..samples::manifest()
    };
    manifest::publish(folder, &manifest).unwrap();
    manifest
}

fn write_tracks(folder: &Path) -> Vec<FileEntry> {
    let mut columns = ColumnFileWriter::create(folder, "columns").unwrap();
    columns.fixed_from("ordinal", 0..ROWS).unwrap();
    let mut ids = IdFileWriter::create(folder, "ids").unwrap();
    (0..ROWS).for_each(|row| assert_eq!(ids.push(&format!("track:{row}")).unwrap(), row));
    let mut postings = PostingsFileWriter::create(folder, "postings", u64::from(ROWS)).unwrap();
    postings.field("genre", [(1, RoaringBitmap::from_iter(0..ROWS))]).unwrap();
    vec![columns.finish().unwrap(), ids.finish().unwrap(), postings.finish().unwrap()]
}

fn write_vectors(folder: &Path, rows: u32) -> FileEntry {
    let mut file = VectorFileWriter::create(folder, "vectors", DIM, true).unwrap();
    (0..rows).for_each(|row| file.push(&[row as f32; DIM]).unwrap());
    file.finish().unwrap()
}

fn write_graph(folder: &Path, nodes: u32) -> FileEntry {
    let mut file = BlockFileWriter::create(folder, "graph", IndexPart::Graph).unwrap();
    file.begin_block("level0", 4, 4).unwrap();
    file.append(&(0..ROWS).rev().collect::<Vec<_>>()).unwrap();
    file.declare_links(LinkLayout {
        block: "level0".to_owned(),
        links_offset: 0,
        links_per_row: 1,
        nodes: u64::from(nodes),
    });
    file.finish(b"").unwrap()
}

fn found(folder: &Path, report: &VerifyReport) -> Vec<(String, Option<u64>)> {
    let name = |file: &PathBuf| file.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    report.damage.iter().map(|damage| (name(&damage.file), damage.offset)).collect()
}

#[test]
fn a_sound_shard_is_clean_and_all_of_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = shard(folder.path());
    let mut last = None;
    let report = verify_shard_with(folder.path(), &mut |progress| last = Some(progress));
    assert!(report.is_clean(), "{:?}", report.damage);
    assert_eq!(report.files, 9);
    let named: u64 = manifest.all_files().map(|(_, file)| file.len).sum();
    let own = folder.path().join("MANIFEST-0000000000000001").metadata().unwrap().len();
    assert_eq!(report.bytes, named + own);
    let last = last.unwrap();
    assert_eq!((last.done_bytes, last.total_bytes), (report.bytes, report.bytes));
}

#[test]
fn every_damaged_chunk_is_named_and_the_rest_is_still_checked() {
    let folder = tempfile::tempdir().unwrap();
    shard(folder.path());
    let change = |path: &str, at: usize| {
        let path = folder.path().join(path);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0x20;
        fs::write(path, bytes).unwrap();
    };
    let vectors = "segment-0000000000000005/vectors";
    change(vectors, 64 + 5);
    change(vectors, 64 + 3 * CHUNK_BYTES);
    change("segment-0000000000000002/ids", 20);
    change("note", 0);
    fs::remove_file(folder.path().join("statistics-7")).unwrap();
    let postings = fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join("segment-0000000000000002/postings"))
        .unwrap();
    postings.set_len(100).unwrap();

    let report = verify_shard(folder.path());
    let (ids, postings) = ("segment-0000000000000002/ids", "segment-0000000000000002/postings");
    let expected = [
        ("note", None),
        (ids, Some(0)),
        (postings, Some(100)),
        (postings, Some(100)),
        (vectors, Some(64)),
        (vectors, Some(64 + 3 * CHUNK_BYTES as u64)),
        ("statistics-7", None),
    ];
    assert_eq!(
        found(folder.path(), &report),
        expected.map(|(name, offset)| (name.to_owned(), offset)),
        "{:#?}",
        report.damage
    );
    assert!(report.damage[4].what.starts_with("checksum mismatch"), "{}", report.damage[4]);
}

/// Files that are whole but not the ones that belong there, or that contradict their segment.
#[test]
fn cross_references_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = shard(folder.path());
    let vectors = segment_folder(folder.path(), 5);

    // Rewritten behind the manifest's back: same length, other content.
    write_graph(&vectors, ROWS - 1);
    let report = verify_shard(folder.path());
    let graph = "segment-0000000000000005/graph".to_owned();
    assert_eq!(found(folder.path(), &report), [(graph.clone(), None), (graph.clone(), None)]);
    assert!(report.damage[0].what.contains("content id differs"), "{}", report.damage[0]);
    assert!(report.damage[1].what.starts_with("link is out of range"), "{}", report.damage[1]);

    // Published as they are: one row too few, tombstones of the future, links to no node.
    manifest.segments[1].files = vec![write_vectors(&vectors, ROWS - 1), write_graph(&vectors, ROWS - 1)];
    let tracks = segment_folder(folder.path(), 2);
    manifest.segments[0].tombstones =
        Some(write_tombstones(&tracks, "tombstones-8", &RoaringBitmap::new(), 8).unwrap());
    for _ in 0..2 {
        manifest::publish(folder.path(), &manifest).unwrap();
    }
    let report = verify_shard(folder.path());
    let what: Vec<_> =
        report.damage.iter().map(|damage| damage.what.split(". file").next().unwrap()).collect();
    assert_eq!(
        what,
        [
            "log index of tombstones is out of range",
            "link is out of range",
            "file has another number of rows than its segment"
        ]
    );
}

#[test]
fn a_damaged_manifest_is_named_and_the_older_one_verified() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = shard(folder.path());
    manifest::publish(folder.path(), &manifest).unwrap();
    let newest = folder.path().join("MANIFEST-0000000000000002");
    fs::write(&newest, b"torn").unwrap();
    let report = verify_shard(folder.path());
    assert_eq!(found(folder.path(), &report), [("MANIFEST-0000000000000002".to_owned(), Some(0))]);
    assert_eq!(report.files, 10);

    let empty = tempfile::tempdir().unwrap();
    assert_eq!(verify_shard(empty.path()).damage[0].file, empty.path());
    assert!(!verify_shard(&empty.path().join("missing")).is_clean());
}
