//! Every truncation and every changed byte of every kind of file is an error, never a panic, never other data.

use std::fs;

use segue_storage_format::{
    FileKind, FormatError, FormatErrorKind, SegmentFile, SegmentFileWriter, Verify,
    container::{CHUNK_BYTES, ChunkFault},
};

use crate::{golden, samples, walk};

#[test]
fn every_truncation_is_an_error() {
    for kind in FileKind::ALL {
        let bytes = golden::bytes(kind);
        for length in 0..bytes.len() {
            let error = samples::check(&bytes[..length], kind).unwrap_err();
            assert_eq!(error.kind(), FormatErrorKind::Damaged, "{kind} cut to {length}: {error:?}");
        }
    }
}

#[test]
fn every_changed_byte_is_an_error() {
    for kind in FileKind::ALL {
        let mut bytes = golden::bytes(kind);
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0x55, 0xff] {
                bytes[at] ^= mask;
                let error = samples::check(&bytes, kind).unwrap_err();
                assert_eq!(error.kind(), FormatErrorKind::Damaged, "{kind} byte {at} ^ {mask:#x}: {error:?}");
                bytes[at] ^= mask;
            }
        }
        samples::check(&bytes, kind).unwrap();
    }
}

/// Without the chunk checksums a changed byte may go unseen at open, but nothing panics, and checking the chunks
/// later finds it.
#[test]
fn a_changed_byte_is_found_later_when_only_the_structure_was_checked() {
    for kind in FileKind::ALL {
        let mut bytes = golden::bytes(kind);
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            if let Ok(file) = SegmentFile::from_bytes("sample", &bytes, kind, Verify::Structure) {
                let damage = file.check_chunks(0..file.len());
                assert_eq!(damage.len(), 1, "{kind} byte {at}");
                assert!(damage[0].range.contains(&(at as u64)), "{kind} byte {at}: {:?}", damage[0]);
                // Whatever it says, it says it without panicking.
                let _ = walk::open_and_read(file);
            }
            bytes[at] ^= 0x10;
        }
    }
}

#[test]
fn bytes_after_the_end_are_an_error() {
    for kind in FileKind::ALL {
        let mut bytes = golden::bytes(kind);
        bytes.extend([0; 64]);
        assert!(samples::check(&bytes, kind).unwrap_err().is_damage());
        let twice = [golden::bytes(kind), golden::bytes(kind)].concat();
        assert!(samples::check(&twice, kind).unwrap_err().is_damage());
    }
}

#[test]
fn another_kind_of_file_is_refused() {
    for kind in FileKind::ALL {
        let other = FileKind::ALL.into_iter().find(|other| *other != kind).unwrap();
        let error = samples::check(&golden::bytes(kind), other).unwrap_err();
        assert!(
            matches!(error, FormatError::WrongKind { expected, found, .. } if expected == other && found == kind.raw())
        );
    }
}

#[test]
fn damage_is_located_by_file_offset() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SegmentFileWriter::create(folder.path(), "long", FileKind::Blob).unwrap();
    writer.put_slice("first", &[7u8; 100]).unwrap();
    writer.put_slice("long", &vec![9u64; 40_000]).unwrap();
    writer.finish().unwrap();
    let path = folder.path().join("long");
    let mut bytes = fs::read(&path).unwrap();
    let start = SegmentFile::open(&path, FileKind::Blob, Verify::Full).unwrap().block("long").unwrap().offset;
    for chunk in [1, 3] {
        bytes[start as usize + chunk * CHUNK_BYTES + 5] ^= 4;
    }
    fs::write(&path, &bytes).unwrap();

    let error = SegmentFile::open(&path, FileKind::Blob, Verify::Full).unwrap_err();
    assert_eq!(error.offset(), Some(start + CHUNK_BYTES as u64), "{error}");
    let file = SegmentFile::open(&path, FileKind::Blob, Verify::Structure).unwrap();
    let damage = file.check_chunks(0..file.len());
    let chunks: Vec<_> =
        damage.iter().map(|chunk| (chunk.range.start - start) / CHUNK_BYTES as u64).collect();
    assert_eq!(chunks, [1, 3]);
    assert!(damage.iter().all(|chunk| matches!(chunk.fault, ChunkFault::Checksum { .. })));
    // In slices, as in the background: the second slice holds the second damaged chunk.
    let middle = start + 2 * CHUNK_BYTES as u64;
    assert_eq!((file.check_chunks(0..middle).len(), file.check_chunks(middle..u64::MAX).len()), (1, 1));
}

#[test]
fn a_missing_file_is_told_apart_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let error = SegmentFile::open(&folder.path().join("none"), FileKind::Blob, Verify::Full).unwrap_err();
    assert_eq!(error.kind(), FormatErrorKind::NotFound);
    let error = SegmentFile::open(folder.path(), FileKind::Blob, Verify::Full).unwrap_err();
    assert_eq!(error.kind(), FormatErrorKind::Io);
}
