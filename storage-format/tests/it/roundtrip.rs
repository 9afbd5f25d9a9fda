//! What is written comes back, through the map and through memory, in the same bytes each time.

use std::fs;

use segue_storage_format::{Access, ContentId, FileKind, SegmentFile, SegmentFileWriter, Verify};

use crate::samples;

#[test]
fn every_kind_comes_back_as_it_was_written() {
    for kind in FileKind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let name = samples::write(folder.path(), kind);
        let path = folder.path().join(&name);
        samples::check(&fs::read(&path).unwrap(), kind).unwrap();

        let file = SegmentFile::open(&path, kind, Verify::Full).unwrap();
        assert_eq!((file.kind(), file.version(), file.len()), (kind, 1, path.metadata().unwrap().len()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the published file is left");
    }
}

#[test]
fn the_same_content_is_the_same_bytes() {
    for kind in FileKind::ALL {
        let write = || {
            let folder = tempfile::tempdir().unwrap();
            fs::read(folder.path().join(samples::write(folder.path(), kind))).unwrap()
        };
        assert_eq!(write(), write(), "{kind}");
    }
}

/// Blocks longer than a chunk and than the write buffer, appended in odd pieces; the entry is what the file is.
#[test]
fn long_blocks_are_streamed_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<u32> = (0..500_000).collect();
    let mut writer = SegmentFileWriter::create(folder.path(), "long", FileKind::Blob).unwrap();
    writer.begin_block("values", 4, 8).unwrap();
    for piece in bytemuck::cast_slice::<u32, u8>(&values).chunks(70_001) {
        writer.append_bytes(piece).unwrap();
    }
    assert_eq!(writer.open_rows(), 250_000);
    writer.put_slice("after", &[1u64]).unwrap();
    let entry = writer.finish().unwrap();

    let path = folder.path().join("long");
    let bytes = fs::read(&path).unwrap();
    assert_eq!((entry.len, entry.content_id), (bytes.len() as u64, ContentId::of(&bytes)));
    let file = SegmentFile::open(&path, FileKind::Blob, Verify::Full).unwrap();
    for access in [Access::Random, Access::Sequential, Access::WillNeed] {
        file.advise(access).unwrap();
    }
    // Whether locking is allowed depends on the machine; reading must work either way.
    let _ = file.pin();
    assert_eq!(file.slice::<u32>("values").unwrap(), values);
    assert_eq!(file.rows("values").unwrap(), 250_000);
    assert_eq!(file.records::<[u32; 2]>("values").unwrap()[249_999], [499_998, 499_999]);
    assert_eq!(file.slice::<u64>("after").unwrap(), [1]);
    assert_eq!(file.block("values").unwrap().offset % 64, 0);
    assert!(file.slice::<u64>("values").is_err());
    assert!(file.bytes("missing").is_err());
    assert!(file.check_chunks(0..file.len()).is_empty());
}
