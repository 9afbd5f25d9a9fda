//! Wrong content behind right checksums, and bytes that are no file at all: an error or a sound value, never a panic.

use proptest::prelude::*;
use segue_storage_format::{FileKind, FormatError, SegmentFile, Verify};

use crate::{golden, reseal::Layout, walk};

fn read(bytes: &[u8], kind: FileKind) -> Result<(), FormatError> {
    walk::open_and_read(SegmentFile::from_bytes("forged", bytes, kind, Verify::Full)?)
}

#[test]
fn resealing_an_unchanged_file_changes_nothing() {
    for kind in FileKind::ALL {
        let mut bytes = golden::bytes(kind);
        Layout::of(&golden::bytes(kind)).reseal(&mut bytes);
        assert_eq!(bytes, golden::bytes(kind), "{kind}");
    }
}

#[test]
fn every_changed_byte_behind_right_checksums_is_survived() {
    for kind in FileKind::ALL {
        let sound = golden::bytes(kind);
        let layout = Layout::of(&sound);
        let mut refused = 0;
        for at in 0..sound.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut bytes = sound.clone();
                bytes[at] ^= mask;
                if at >= layout.directory || at < 64 {
                    layout.reseal_ends(&mut bytes);
                } else {
                    layout.reseal(&mut bytes);
                }
                refused += u32::from(read(&bytes, kind).is_err());
            }
        }
        assert!(refused > 100, "{kind}: only {refused} refused");
    }
}

/// Rows, offset, length and place of checksums of a block can be only what they are: blocks lie without gaps.
#[test]
fn a_block_that_is_not_where_it_must_be_is_refused() {
    const ENTRY_BYTES: usize = 64;
    for kind in FileKind::ALL {
        let sound = golden::bytes(kind);
        let layout = Layout::of(&sound);
        for entry in (0..layout.blocks.len()).map(|block| layout.directory + block * ENTRY_BYTES) {
            for (at, mask) in
                (entry + 24..entry + ENTRY_BYTES).flat_map(|at| [(at, 0x01), (at, 0x40), (at, 0x80)])
            {
                let mut bytes = sound.clone();
                bytes[at] ^= mask;
                layout.reseal_ends(&mut bytes);
                let error = SegmentFile::from_bytes("forged", &bytes, kind, Verify::Structure).unwrap_err();
                assert!(error.is_damage(), "{kind} entry at {entry}, byte {}: {error:?}", at - entry);
            }
        }
    }
}

fn any_kind() -> impl Strategy<Value = FileKind> {
    proptest::sample::select(FileKind::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(kind in any_kind(), bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(read(&bytes, kind).is_err());
    }

    /// Several changes at once, numbers near the ends of their ranges among them.
    #[test]
    fn random_changes_behind_right_checksums_are_survived(
        kind in any_kind(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0usize..=8), 1..6),
    ) {
        let mut bytes = golden::bytes(kind);
        let layout = Layout::of(&bytes);
        for (at, value, width) in changes {
            let at = 64 + at.index(layout.trailer - 64);
            let value = if value % 3 == 0 { u64::MAX } else if value % 3 == 1 { value % 70 } else { value };
            let end = layout.trailer.min(at + width);
            bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        }
        if bytes[layout.directory..] == golden::bytes(kind)[layout.directory..] {
            layout.reseal(&mut bytes);
        } else {
            layout.reseal_ends(&mut bytes);
        }
        let _ = read(&bytes, kind);
    }

    /// A random body between a right header and a right trailer.
    #[test]
    fn a_random_directory_is_survived(
        kind in any_kind(),
        body in proptest::collection::vec(any::<u8>(), 0..512),
        count in 0u32..9,
        split in any::<prop::sample::Index>(),
    ) {
        let golden = golden::bytes(kind);
        let directory = 64 + split.index(body.len() + 1);
        let trailer = 64 + body.len();
        let mut bytes = [&golden[..64], &body, &golden[golden.len() - 64..]].concat();
        bytes[trailer + 8..trailer + 12].copy_from_slice(&count.to_le_bytes());
        let total = bytes.len() as u64;
        bytes[trailer + 16..trailer + 24].copy_from_slice(&total.to_le_bytes());
        bytes[trailer + 24..trailer + 32].copy_from_slice(&(directory as u64).to_le_bytes());
        bytes[trailer + 32..trailer + 40].copy_from_slice(&((trailer - directory) as u64).to_le_bytes());
        Layout { blocks: Vec::new(), directory, trailer }.reseal_ends(&mut bytes);
        let _ = read(&bytes, kind);
    }
}
