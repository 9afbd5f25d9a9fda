//! Files written by the first version of every kind open for ever.
//!
//! `SEGUE_WRITE_GOLDEN=1 cargo test -p segue-storage-format golden` writes them anew. Do that only for a kind that
//! was never released; a released layout gets a new version and a new folder beside this one.

use std::{fs, path::PathBuf};

use segue_storage_format::FileKind;

use crate::samples;

/// The golden file of `kind`.
pub fn bytes(kind: FileKind) -> Vec<u8> {
    fs::read(path(kind)).unwrap()
}

fn path(kind: FileKind) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(kind.name())
}

fn write_now(kind: FileKind) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::read(folder.path().join(samples::write(folder.path(), kind))).unwrap()
}

#[test]
fn golden_files_hold_exactly_the_known_values() {
    if std::env::var_os("SEGUE_WRITE_GOLDEN").is_some() {
        for kind in FileKind::ALL {
            fs::write(path(kind), write_now(kind)).unwrap();
        }
    }
    for kind in FileKind::ALL {
        samples::check(&bytes(kind), kind).unwrap();
    }
}

/// A change of what is written, even one that old readers accept, is a decision: see the version table in FORMAT.md.
#[test]
fn todays_writer_writes_the_golden_bytes() {
    for kind in FileKind::ALL {
        assert_eq!(write_now(kind), bytes(kind), "{kind}");
    }
}
