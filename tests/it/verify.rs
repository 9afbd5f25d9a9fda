//! `segue verify` names every damaged file, changes nothing, and sees what does not fit together; `segue inspect` prints
//! every kind of file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use segue::node::{DirectoryReport, verify};
use segue::types::SplitMix64;
use segue::{ErrorKind, Segue};

use crate::support::{STATIC, World, seed, small_segments, space};

/// A directory with every kind of file: sealed and logged rows, tables of listeners, staged vectors, an orderly stop.
fn build(dir: &Path, seed: u64) {
    let (engine, _) = Segue::open(dir, small_segments()).unwrap();
    let world = World::generate(seed, 2_400, 12);
    world.load(&engine);
    engine.checkpoint().unwrap();
    // Replaced rows give tombstones; the last ones stay in the log.
    engine.upsert_tracks(world.tracks[..100].to_vec()).unwrap();
    engine.checkpoint().unwrap();
    engine.upsert_tracks(world.tracks[100..120].to_vec()).unwrap();
    engine.upsert_users(world.users.clone()).unwrap();
    engine.load_vectors("open", 0, &space("audio"), STATIC, world.audio_vectors[..50].to_vec()).unwrap();
    engine.load_vectors("open", 50, &space("audio"), STATIC, world.audio_vectors[50..80].to_vec()).unwrap();
    engine.shutdown().unwrap();
}

/// Every file with its bytes; locks have none. Left out are lists of tables that the user store uses no more and removes
/// when it is opened next.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    let tree = dir.join("users-0/tree");
    if let Some(current) = found.get(&tree.join("current")) {
        let current = tree.join(format!("v{}", u64::from_le_bytes(current[..8].try_into().unwrap())));
        let is_list = |file: &Path| {
            file.parent() == Some(&*tree) && file.file_name().unwrap().to_string_lossy().starts_with('v')
        };
        found.retain(|file, _| !is_list(file) || *file == current);
    }
    found
}

fn check(dir: &Path) -> DirectoryReport {
    verify(dir, &mut |_| {}).unwrap()
}

fn damage(dir: &Path) -> Vec<String> {
    check(dir).checked.damage.iter().map(ToString::to_string).collect()
}

/// The kind of a file, so that each is known to be among those that were damaged.
fn kind(dir: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
    let stem: String = inside.chars().filter(|letter| !letter.is_ascii_digit()).collect();
    [
        "tombstones",
        "columns",
        "postings",
        "vectors",
        "rows",
        "codes",
        "graph",
        "state",
        "MANIFEST",
        "raftlog",
        "stage",
        "tables",
        "tree/v",
    ]
    .into_iter()
    .find(|known| inside.contains(known))
    .map_or(stem, ToOwned::to_owned)
}

#[test]
fn a_flipped_byte_in_any_file_is_found_in_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    build(dir, 31);
    let before = files(dir);
    let report = check(dir);
    assert_eq!(report.checked.damage, []);
    assert_eq!((report.notes, files(dir) == before), (Vec::<String>::new(), true), "verify changes nothing");
    let with_content: Vec<_> = before.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    assert_eq!(report.checked.files, with_content.len() as u64, "every file is read: {:?}", before.keys());
    assert_eq!(report.checked.bytes, with_content.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());

    let mut rng = SplitMix64::new(seed(0x7E51));
    let mut kinds = BTreeMap::<String, u64>::new();
    for (file, bytes) in with_content {
        for _ in 0..3 {
            let mut damaged = bytes.clone();
            let at = rng.below(bytes.len() as u64) as usize;
            damaged[at] ^= 1 << rng.below(8);
            std::fs::write(file, &damaged).unwrap();
            let found = check(dir).checked.damage;
            assert!(
                found.iter().any(|damage| damage.file == *file),
                "byte {at} of {}: {found:?}",
                file.display()
            );
        }
        std::fs::write(file, bytes).unwrap();
        *kinds.entry(kind(dir, file)).or_default() += 1;
    }
    for wanted in [
        "identity",
        "closed",
        "raftlog",
        "MANIFEST",
        "state",
        "columns",
        "postings",
        "vectors",
        "rows",
        "codes",
        "graph",
        "tombstones",
        "meta/meta-",
        "tables",
        "tree/v",
        "users-/tree/current",
        "stage",
    ] {
        assert!(kinds.contains_key(wanted), "no {wanted} among {kinds:?}");
    }
    assert_eq!(damage(dir), Vec::<String>::new());
}

#[test]
fn a_missing_or_shortened_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    build(dir, 32);
    for (file, bytes) in files(dir).iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let kind = kind(dir, file);
        // Nothing says that there must be these: an unclean stop, one file of meta state, one manifest, no load.
        if !["closed", "meta/meta-", "MANIFEST", "stage"].contains(&kind.as_str()) {
            std::fs::remove_file(file).unwrap();
            let found = damage(dir);
            let named = found.iter().any(|damage| damage.starts_with(&file.display().to_string()));
            assert!(named, "without {}: {found:?}", file.display());
        }
        std::fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        let report = check(dir);
        let named = report.checked.damage.iter().any(|damage| damage.file == *file)
            || report.notes.iter().any(|note| note.contains(&file.display().to_string()));
        assert!(named, "{} cut by a byte: {:?}", file.display(), report.checked.damage);
        std::fs::write(file, bytes).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (file, bytes) in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}

#[test]
fn whole_files_that_do_not_belong_together_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, mixed) =
        (folder.path().join("one"), folder.path().join("two"), folder.path().join("mixed"));
    build(&one, 33);
    {
        let (engine, _) = Segue::open(&two, small_segments()).unwrap();
        let world = World::generate(34, 300, 12);
        world.load(&engine);
        engine.checkpoint().unwrap();
        engine.shutdown().unwrap();
    }
    assert_eq!((damage(&one), damage(&two)), (Vec::new(), Vec::new()));
    for (part, expected) in [
        // A checkpoint that is ahead of the log.
        ("tracks-0", "group 65536: "),
        // Listeners who heard tracks that this catalogue never had.
        ("users-0", "names a track that does not exist"),
        ("raft", "since the last orderly shutdown"),
    ] {
        let _ = std::fs::remove_dir_all(&mixed);
        copy(&two, &mixed);
        std::fs::remove_dir_all(mixed.join(part)).unwrap();
        copy(&one.join(part), &mixed.join(part));
        let found = damage(&mixed);
        assert!(found.iter().any(|damage| damage.contains(expected)), "{part} of another: {found:?}");
    }
    let _ = std::fs::remove_dir_all(&mixed);
    copy(&two, &mixed);
    std::fs::write(mixed.join("identity"), std::fs::read(one.join("identity")).unwrap()).unwrap();
    let found = damage(&mixed);
    assert!(found.iter().any(|damage| damage.contains("log of another directory")), "{found:?}");
}

#[test]
fn an_open_or_foreign_directory_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = verify(&folder.path().join("nothing"), &mut |_| {}).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotFound);
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    let busy = verify(folder.path(), &mut |_| {}).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Unavailable, "{busy}");
    // Not closed in good order: nothing is damaged, and the next start agrees.
    drop(engine);
    assert_eq!(damage(folder.path()), Vec::<String>::new());
}

fn segue(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_segue")).args(arguments).output().unwrap()
}

#[test]
fn the_commands_print_and_exit_as_scripts_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    build(dir, 35);
    let path = dir.to_string_lossy().into_owned();
    let clean = segue(&["verify", &path, "--json"]);
    assert_eq!(clean.status.code(), Some(0), "{}", String::from_utf8_lossy(&clean.stderr));
    for (file, bytes) in files(dir).iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let name = file.to_string_lossy().into_owned();
        let printed = segue(&["inspect", &name]);
        let text = String::from_utf8_lossy(&printed.stdout);
        assert_eq!(printed.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&printed.stderr));
        assert!(text.lines().count() > 1, "{name}: {text}");
        let json = segue(&["inspect", &name, "--json"]);
        assert!(serde_json::from_slice::<serde_json::Value>(&json.stdout).is_ok(), "{name}");
        if name.ends_with("identity") || name.ends_with(".stage") {
            let mut damaged = bytes.clone();
            damaged[20] ^= 4;
            std::fs::write(file, &damaged).unwrap();
            assert_eq!(segue(&["inspect", &name]).status.code(), Some(1), "{name}");
            let found = segue(&["verify", &path, "--json"]);
            assert_eq!(found.status.code(), Some(1));
            let document: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
            assert_eq!(document["damage"][0]["file"].as_str(), Some(name.as_str()), "{document}");
            assert_eq!(document["damage"][0]["offset"].as_u64(), Some(0), "{document}");
            std::fs::write(file, bytes).unwrap();
        }
    }
}
