//! One small file of every kind, always the same: written, and checked value by value.

use std::path::Path;

use roaring::RoaringBitmap;
use segue_storage_format::{
    BlobFile, BlockFile, BlockFileWriter, ColumnFile, ColumnFileWriter, ContentId, FileEntry, FileKind,
    FormatError, IdFile, IdFileWriter, IndexPart, LinkLayout, Manifest, PostingsFile, PostingsFileWriter,
    SegmentEntry, SegmentFile, SegmentKind, Tombstones, VectorFile, VectorFileWriter, Verify,
    blocks::NO_LINK, manifest, write_blob, write_tombstones,
};

/// Writes the sample of `kind` into `folder`; returns its file name.
pub fn write(folder: &Path, kind: FileKind) -> String {
    let entry = match kind {
        FileKind::Vectors => vectors(folder),
        FileKind::Codes => codes(folder),
        FileKind::Graph => graph(folder),
        FileKind::Columns => columns(folder),
        FileKind::Postings => postings(folder),
        FileKind::Ids => ids(folder),
        FileKind::Tombstones => {
            write_tombstones(folder, "tombstones", &RoaringBitmap::from_iter([1, 2, 70_000]), 42)
        }
        FileKind::Blob => write_blob(folder, "blob", 3, b"opaque"),
        FileKind::Manifest => manifest::publish(folder, &manifest()),
    };
    entry.unwrap().name
}

/// Opens bytes as the sample of `kind` and checks every value in it. `Err` is the reader's; a value that differs
/// without an error is a panic.
pub fn check(bytes: &[u8], kind: FileKind) -> Result<(), FormatError> {
    let file = SegmentFile::from_bytes("sample", bytes, kind, Verify::Full)?;
    match kind {
        FileKind::Vectors => check_vectors(&VectorFile::from_file(file)?),
        FileKind::Codes => check_codes(&BlockFile::from_file(file, Verify::Full)?),
        FileKind::Graph => check_graph(&BlockFile::from_file(file, Verify::Full)?),
        FileKind::Columns => check_columns(&ColumnFile::from_file(file)?),
        FileKind::Postings => check_postings(&PostingsFile::from_file(file)?),
        FileKind::Ids => check_ids(&IdFile::from_file(file)?),
        FileKind::Tombstones => {
            let found = Tombstones::from_file(&file)?;
            assert_eq!((found.deleted, found.log_index), (RoaringBitmap::from_iter([1, 2, 70_000]), 42));
        }
        FileKind::Blob => {
            let blob = BlobFile::from_file(file)?;
            assert_eq!((blob.schema(), blob.payload()), (3, &b"opaque"[..]));
        }
        FileKind::Manifest => assert_eq!(manifest::decode(&file)?, (1, manifest())),
    }
    Ok(())
}

fn vectors(folder: &Path) -> Result<FileEntry, FormatError> {
    let mut file = VectorFileWriter::create(folder, "vectors", 3, true)?;
    file.push(&[1.0, -2.5, 0.0])?;
    file.push_rows(&[4.0, 5.0, 6.0, f32::MIN_POSITIVE, f32::MAX, -0.0])?;
    file.finish()
}

fn check_vectors(file: &VectorFile) {
    assert_eq!((file.rows(), file.dim()), (3, 3));
    assert_eq!(file.row(0), [1.0, -2.5, 0.0]);
    assert_eq!(file.row(1), [4.0, 5.0, 6.0]);
    assert_eq!(file.row(2), [f32::MIN_POSITIVE, f32::MAX, -0.0]);
    assert_eq!(file.get(3), None);
    let (raw, stride) = file.raw();
    assert_eq!((raw.len(), stride), (48, 16));
    assert_eq!(&raw[3..16], [0.0; 13]);
}

fn codes(folder: &Path) -> Result<FileEntry, FormatError> {
    let mut file = BlockFileWriter::create(folder, "codes", IndexPart::Codes)?;
    file.begin_block("codes", 1, 8)?;
    file.append_row(&[1, 2, 3, 4, 5])?;
    file.append_bytes(&[6, 7, 8])?;
    file.append_bytes(&[9, 10, 11, 12, 13])?;
    file.put_slice("norms", &[0.5f32, 2.0])?;
    file.put_slice::<u64>("empty", &[])?;
    file.finish(b"rotation=7")
}

fn check_codes(file: &BlockFile) {
    assert_eq!(file.meta(), b"rotation=7");
    assert_eq!(file.rows("codes").unwrap(), 2);
    assert_eq!(file.bytes("codes").unwrap(), [1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(file.slice::<f32>("norms").unwrap(), [0.5, 2.0]);
    assert_eq!(file.slice::<u64>("empty").unwrap(), [0u64; 0]);
}

/// The links of the sample graph: three nodes, rows of a `u32` level and three links.
pub fn link_layout() -> LinkLayout {
    LinkLayout { block: "nodes".to_owned(), links_offset: 4, links_per_row: 3, nodes: 3 }
}

fn graph(folder: &Path) -> Result<FileEntry, FormatError> {
    let mut file = BlockFileWriter::create(folder, "graph", IndexPart::Graph)?;
    file.begin_block("nodes", 4, 16)?;
    file.append(&[9u32, 1, 2, NO_LINK])?;
    file.append(&[8u32, 0, NO_LINK, NO_LINK, 7, 0, 1, NO_LINK])?;
    file.declare_links(link_layout());
    file.finish(b"entry=0")
}

fn check_graph(file: &BlockFile) {
    assert_eq!(file.meta(), b"entry=0");
    assert_eq!(file.link_layouts(), [link_layout()]);
    let nodes = [9, 1, 2, NO_LINK, 8, 0, NO_LINK, NO_LINK, 7, 0, 1, NO_LINK];
    assert_eq!(file.slice::<u32>("nodes").unwrap(), nodes);
}

fn columns(folder: &Path) -> Result<FileEntry, FormatError> {
    let mut file = ColumnFileWriter::create(folder, "columns")?;
    file.fixed("flags", &[1u8, 0])?;
    file.fixed("year", &[1969u16, 2024])?;
    file.fixed("ordinal", &[7u32, 70_000])?;
    file.fixed("album", &[u64::MAX, 1])?;
    file.fixed_from("key", [-1i32, 11])?;
    file.fixed("released", &[-1i64, 1 << 40])?;
    file.fixed("energy", &[0.25f32, 0.75])?;
    file.lists::<u64, _>("artists", [vec![5, 6], vec![]])?;
    file.lists::<u32, _>("genres", [&[1u32][..], &[2, 3]])?;
    file.payload("payload", ["first".as_bytes(), b""])?;
    file.finish()
}

fn check_columns(file: &ColumnFile) {
    assert_eq!((file.rows(), file.columns().len()), (2, 10));
    assert_eq!(file.fixed::<u8>("flags").unwrap(), [1, 0]);
    assert_eq!(file.fixed::<u16>("year").unwrap(), [1969, 2024]);
    assert_eq!(file.fixed::<u32>("ordinal").unwrap(), [7, 70_000]);
    assert_eq!(file.fixed::<u64>("album").unwrap(), [u64::MAX, 1]);
    assert_eq!(file.fixed::<i32>("key").unwrap(), [-1, 11]);
    assert_eq!(file.fixed::<i64>("released").unwrap(), [-1, 1 << 40]);
    assert_eq!(file.fixed::<f32>("energy").unwrap(), [0.25, 0.75]);
    assert_eq!(file.lists::<u64>("artists").unwrap().iter().collect::<Vec<_>>(), [&[5u64, 6][..], &[]]);
    assert_eq!(file.lists::<u32>("genres").unwrap().get(1), Some(&[2u32, 3][..]));
    assert_eq!(file.payload("payload").unwrap().get(0), Some(&b"first"[..]));
    assert_eq!(file.payload("payload").unwrap().get(2), None);
}

fn genre_rows() -> [(u64, RoaringBitmap); 3] {
    [
        (2, RoaringBitmap::from_iter([0, 3])),
        (9, (0..90_000).collect()),
        (u64::MAX, (0..90_000).filter(|row| row % 8_000 == 1).collect()),
    ]
}

fn postings(folder: &Path) -> Result<FileEntry, FormatError> {
    let mut file = PostingsFileWriter::create(folder, "postings", 90_000)?;
    file.field("genre", genre_rows())?;
    file.sorted("energy", vec![(0.5f32, 4), (-1.0, 3), (0.5, 2), (f32::INFINITY, 1)])?;
    file.sorted("popularity", vec![(80i32, 0), (-1, 5), (100, 2)])?;
    file.field::<RoaringBitmap>("label", [])?;
    file.finish()
}

fn check_postings(file: &PostingsFile) {
    assert_eq!(file.universe(), 90_000);
    let genre = file.field("genre").unwrap();
    assert_eq!(genre.keys(), [2, 9, u64::MAX]);
    assert_eq!(genre.cardinalities().collect::<Vec<_>>(), [(2, 2), (9, 90_000), (u64::MAX, 12)]);
    for (key, rows) in genre_rows() {
        assert_eq!(genre.rows(key).unwrap(), Some(rows));
    }
    assert_eq!((genre.rows(3).unwrap(), genre.cardinality(3)), (None, 0));
    let energy = file.sorted::<f32>("energy").unwrap();
    assert_eq!(energy.range(..), [3, 2, 4, 1]);
    assert_eq!(energy.range(0.0..=0.5), [2, 4]);
    assert_eq!(energy.range(0.5..), [2, 4, 1]);
    assert_eq!(energy.range(..0.5), [3]);
    let popularity = file.sorted::<i32>("popularity").unwrap();
    assert_eq!((popularity.values(), popularity.rows()), (&[-1, 80, 100][..], &[5, 0, 2][..]));
    assert!(file.field("label").unwrap().is_empty());
}

fn ids(folder: &Path) -> Result<FileEntry, FormatError> {
    let mut file = IdFileWriter::create(folder, "ids")?;
    for (row, id) in ["track:1", "", "spår-2", "track:3"].into_iter().enumerate() {
        assert_eq!(file.push(id)?, row as u32);
    }
    file.finish()
}

fn check_ids(file: &IdFile) {
    assert_eq!(file.rows(), 4);
    for (row, id) in ["track:1", "", "spår-2", "track:3"].into_iter().enumerate() {
        assert_eq!(file.id(row as u32).unwrap(), id);
        assert_eq!(file.find(id), Some(row as u32));
    }
    assert!(file.id(4).is_err());
    assert_eq!(file.find("track:2"), None);
    file.check_ids().unwrap();
}

/// The sample manifest. The files it names need not be there.
pub fn manifest() -> Manifest {
    let file = |name: &str| FileEntry {
        name: name.to_owned(),
        len: 128,
        content_id: ContentId::of(name.as_bytes()),
    };
    Manifest {
        format: manifest::SHARD_FORMAT,
        shard: "tracks-0".to_owned(),
        slots: (0, 4096),
        epoch: 3,
        applied_index: 1_000,
        applied_term: 7,
        conf_state: vec![8, 1, 8, 2],
        next_segment: 6,
        next_ordinal: 100,
        next_recording: 90,
        segments: vec![
            SegmentEntry {
                id: 2,
                kind: SegmentKind::Tracks,
                space: String::new(),
                generation: 0,
                profile: String::new(),
                rows: 100,
                files: vec![file("columns"), file("ids")],
                tombstones: Some(file("tombstones-1000")),
            },
            SegmentEntry {
                id: 5,
                kind: SegmentKind::Vectors,
                space: "track_cf".to_owned(),
                generation: 4,
                profile: "ip".to_owned(),
                rows: 99,
                files: vec![file("vectors"), file("codes"), file("graph")],
                tombstones: None,
            },
        ],
        files: vec![file("statistics")],
    }
}
