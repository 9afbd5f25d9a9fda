//! A file from the future is refused with both versions named, and is never taken for damage.

use segue_storage_format::BlobFile;
use segue_storage_format::{
    FileKind, FormatError, FormatErrorKind, Manifest, SegmentFile, Verify, manifest, write_blob,
};

use crate::{golden, reseal::Layout, samples};

/// Where versions are in the header.
const CONTAINER_VERSION_AT: usize = 8;
const KIND_AT: usize = 10;
const KIND_VERSION_AT: usize = 12;

fn with(kind: FileKind, at: usize, value: u16) -> FormatError {
    let mut bytes = golden::bytes(kind);
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    Layout::of(&golden::bytes(kind)).reseal_ends(&mut bytes);
    SegmentFile::from_bytes("future", &bytes, kind, Verify::Full).unwrap_err()
}

#[test]
fn a_newer_file_names_both_versions() {
    for kind in FileKind::ALL {
        for (at, what) in
            [(CONTAINER_VERSION_AT, "container"), (KIND_VERSION_AT, "layout of this kind of file")]
        {
            let error = with(kind, at, 9);
            assert_eq!(error.kind(), FormatErrorKind::Newer);
            let text = error.to_string();
            assert!(
                text.starts_with(what) && text.contains("version=`9`") && text.contains("up to=`1`"),
                "{text}"
            );
        }
    }
}

#[test]
fn versions_and_kinds_that_never_existed_are_refused() {
    assert!(matches!(with(FileKind::Blob, KIND_VERSION_AT, 0), FormatError::Malformed { .. }));
    assert!(matches!(with(FileKind::Blob, CONTAINER_VERSION_AT, 0), FormatError::Malformed { .. }));
    assert!(matches!(with(FileKind::Blob, KIND_AT, 77), FormatError::WrongKind { found: 77, .. }));
}

#[test]
fn a_blob_of_a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_blob(folder.path(), "state", 5, b"new").unwrap();
    let blob = BlobFile::open(&folder.path().join("state"), Verify::Full).unwrap();
    assert_eq!(blob.payload_up_to(5).unwrap(), b"new");
    let error = blob.payload_up_to(4).unwrap_err();
    assert!(matches!(error, FormatError::NewerVersion { found: 5, known: 4, .. }));
}

/// Falling back past it would lose what the newer program knew.
#[test]
fn a_shard_of_a_newer_program_is_not_opened_at_an_older_manifest() {
    let folder = tempfile::tempdir().unwrap();
    manifest::publish(folder.path(), &samples::manifest()).unwrap();
    manifest::publish(folder.path(), &Manifest { format: 2, ..samples::manifest() }).unwrap();
    let error = manifest::load(folder.path()).unwrap_err();
    assert!(matches!(error, FormatError::NewerVersion { found: 2, known: 1, .. }), "{error}");
}
