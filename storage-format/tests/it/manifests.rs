//! Manifests: two are kept, the newest readable one wins, crashes leave nothing but garbage that is listed.

use std::{fs, path::Path};

use segue_storage_format::{
    FormatError, Manifest, VectorFileWriter, Verify,
    manifest::{self, segment_folder, unreferenced},
    publish::create_folder,
    write_blob,
};

use crate::samples;

fn at_index(applied_index: u64) -> Manifest {
    Manifest { applied_index, ..samples::manifest() }
}

fn manifests(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("MANIFEST-")).collect();
    names.sort();
    names
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_newest_is_loaded_and_two_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    assert!(manifest::load(folder.path()).unwrap().is_none());
    assert!(manifest::load(&folder.path().join("missing")).unwrap().is_none());
    for index in 1..=5 {
        manifest::publish(folder.path(), &at_index(index)).unwrap();
        let loaded = manifest::load(folder.path()).unwrap().unwrap();
        assert_eq!((loaded.manifest, loaded.sequence), (at_index(index), index));
        assert!(loaded.fell_back.is_empty());
    }
    assert_eq!(manifests(folder.path()), ["MANIFEST-0000000000000004", "MANIFEST-0000000000000005"]);
}

#[test]
fn a_damaged_newest_falls_back_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for index in 1..=3 {
        manifest::publish(folder.path(), &at_index(index)).unwrap();
    }
    damage(&folder.path().join("MANIFEST-0000000000000003"));
    let loaded = manifest::load(folder.path()).unwrap().unwrap();
    assert_eq!(loaded.manifest.applied_index, 2);
    assert!(
        matches!(&loaded.fell_back[..], [FormatError::Checksum { file, .. }] if file.ends_with("MANIFEST-0000000000000003"))
    );

    // The next one goes on counting, keeps the one that was readable, and drops the damaged one.
    manifest::publish(folder.path(), &at_index(4)).unwrap();
    assert_eq!(manifests(folder.path()), ["MANIFEST-0000000000000002", "MANIFEST-0000000000000004"]);
    assert_eq!(manifest::load(folder.path()).unwrap().unwrap().manifest.applied_index, 4);
}

#[test]
fn no_readable_manifest_is_an_error_and_not_an_empty_shard() {
    let folder = tempfile::tempdir().unwrap();
    manifest::publish(folder.path(), &at_index(1)).unwrap();
    manifest::publish(folder.path(), &at_index(2)).unwrap();
    for name in manifests(folder.path()) {
        damage(&folder.path().join(name));
    }
    assert!(manifest::load(folder.path()).unwrap_err().is_damage());
    assert!(unreferenced(folder.path(), &[]).is_err(), "nothing is garbage while no manifest can be read");
}

#[test]
fn a_manifest_under_another_name_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    manifest::publish(folder.path(), &at_index(1)).unwrap();
    let stale = folder.path().join("MANIFEST-0000000000000009");
    fs::copy(folder.path().join("MANIFEST-0000000000000001"), &stale).unwrap();
    let loaded = manifest::load(folder.path()).unwrap().unwrap();
    assert_eq!((loaded.sequence, loaded.fell_back.len()), (1, 1));
}

#[test]
fn a_manifest_that_contradicts_itself_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let mut twice = samples::manifest();
    twice.segments.push(twice.segments[1].clone());
    let mut early = samples::manifest();
    early.next_segment = 5;
    let mut outside = samples::manifest();
    outside.segments[0].files[0].name = "../../etc/passwd".to_owned();
    let mut same = samples::manifest();
    same.files.push(same.files[0].clone());
    let slots = Manifest { slots: (9, 8), ..samples::manifest() };
    for wrong in [twice, early, outside, same, slots] {
        assert!(matches!(manifest::publish(folder.path(), &wrong), Err(FormatError::Usage { .. })));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A crash while a file or a manifest was being written leaves a temporary file: it is never read, and listed.
#[test]
fn what_a_crash_leaves_behind_is_ignored_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let shard = folder.path();
    let vectors = |id: u64| {
        create_folder(&segment_folder(shard, id)).unwrap();
        let mut file = VectorFileWriter::create(&segment_folder(shard, id), "vectors", 2, false).unwrap();
        file.push(&[1.0, 2.0]).unwrap();
        file.finish().unwrap()
    };
    let mut named = at_index(1);
    named.files = vec![write_blob(shard, "state-1", 1, b"kept").unwrap()];
    named.segments.truncate(1);
    named.segments[0].files = vec![vectors(2)];
    named.segments[0].tombstones = None;
    manifest::publish(shard, &named).unwrap();
    manifest::publish(shard, &Manifest { applied_index: 2, ..named.clone() }).unwrap();
    assert_eq!(unreferenced(shard, &[]).unwrap(), Default::default());

    // Torn manifest and half-written vectors under their temporary names, a segment never published, an old blob.
    fs::copy(shard.join("MANIFEST-0000000000000002"), shard.join("MANIFEST-0000000000000003.77-0.tmp"))
        .unwrap();
    fs::write(segment_folder(shard, 2).join("codes.77-1.tmp"), b"half").unwrap();
    vectors(3);
    vectors(4);
    write_blob(shard, "state-0", 1, b"old").unwrap();
    fs::write(shard.join("LOCK"), b"another program's").unwrap();

    assert_eq!(manifest::load(shard).unwrap().unwrap().manifest.applied_index, 2);
    let garbage = unreferenced(shard, &[4]).unwrap();
    let relative: Vec<_> =
        garbage.files.iter().map(|path| path.strip_prefix(shard).unwrap().to_str().unwrap()).collect();
    assert_eq!(
        relative,
        [
            "MANIFEST-0000000000000003.77-0.tmp",
            "segment-0000000000000002/codes.77-1.tmp",
            "segment-0000000000000003/vectors",
            "state-0"
        ]
    );
    assert_eq!(garbage.folders, [segment_folder(shard, 3)]);
    assert_eq!(garbage.bytes, garbage.files.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>());
    assert!(segue_storage_format::VectorFile::open(&garbage.files[2], Verify::Full).is_ok());
}

/// A published name is replaced whole: a writer that stops half way leaves the old file as it was.
#[test]
fn an_abandoned_writer_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    write_blob(folder.path(), "state", 1, b"old").unwrap();
    let before = fs::read(folder.path().join("state")).unwrap();
    let mut writer = segue_storage_format::SegmentFileWriter::create(
        folder.path(),
        "state",
        segue_storage_format::FileKind::Blob,
    )
    .unwrap();
    writer.put_slice("payload", &vec![1u8; 1 << 20]).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    drop(writer);
    assert_eq!(fs::read(folder.path().join("state")).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
