//! Files of earlier versions, which must open for ever.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use super::tests::{activate, create, open, put_experiment, run, set_key, states};
use super::*;

/// A folder of golden files.
fn golden(version: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage/meta/golden").join(version)
}

/// What the golden files of versions 2 and 3 hold; version 2 without experiments and of one track shard.
fn golden_store(dir: &Path, experiments: bool) -> MetaStore {
    let store = open(dir);
    let document = "{\"name\":\"radio\"}".to_owned();
    let put = MetaCommand::PutRecipe { name: "radio".to_owned(), document, built_in: 1 };
    let use_it = MetaCommand::ActivateRecipe { name: "radio".to_owned(), version: 2, built_in: 1 };
    let count = MetaCommand::SetUserShards { count: 5 };
    let mut commands = vec![create(), activate(1), set_key(b"key", false), put, use_it, count];
    if experiments {
        commands.insert(0, MetaCommand::SetTrackShards { count: 3 });
        commands.push(put_experiment("home", "{\"name\":\"a\"}", &[("radio", 2)]));
        commands.push(MetaCommand::StopExperiment { surface: "home".to_owned() });
        commands.push(put_experiment("home", "{\"name\":\"b\"}", &[]));
        commands.push(put_experiment("radio", "{\"name\":\"c\"}", &[]));
    }
    for command in commands {
        assert!(matches!(
            run(&store, &command),
            MetaReply::Done
                | MetaReply::Generation(_)
                | MetaReply::Key(_)
                | MetaReply::Recipe { .. }
                | MetaReply::Experiment { .. }
        ));
    }
    store
}

#[test]
fn a_state_of_version_1_opens_and_is_of_one_user_shard() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden("v1").join("meta-0"), dir.path().join("meta-0")).unwrap();
    let opened = MetaStore::open(dir.path()).unwrap();
    let state = opened.store.state();
    assert_eq!((opened.applied.index, state.spaces().count(), state.user_shards()), (13, 3, None));
    assert_eq!(states(&state), [(1, GenerationState::Building)]);
    assert_eq!(state.recipes().map(|(name, version, _)| (name, version)).collect::<Vec<_>>(), [("radio", 2)]);
    assert_eq!(state.active_recipes().collect::<Vec<_>>(), [("radio", 2)]);
    assert_eq!(state.key("impression").unwrap().len(), 32);
    // As a snapshot, too; and it goes on from there in today's version.
    let file = segue_storage_format::BlobFile::open(
        &golden("v1").join("meta-0"),
        segue_storage_format::Verify::Full,
    );
    let words = file.unwrap().payload_up_to(1).unwrap().to_vec();
    let other = tempfile::tempdir().unwrap();
    let store = open(other.path());
    store.install(&words, opened.applied).unwrap();
    assert_eq!(store.state(), state);
    run(&store, &create());
    assert_eq!(open(other.path()).state().generations().count(), 2);
}

#[test]
fn a_state_of_version_2_opens_and_has_no_experiments() {
    let (dir, made) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::copy(golden("v2").join("meta-0"), dir.path().join("meta-0")).unwrap();
    let store = open(dir.path());
    assert_eq!(*store.state(), *golden_store(made.path(), false).state());
    assert_eq!((store.state().user_shards(), store.state().experiments().count()), (Some(5), 0));
    assert_eq!(
        run(&store, &put_experiment("radio", "a", &[("radio", 2)])),
        MetaReply::Experiment { version: 1 }
    );
    assert_eq!(*open(dir.path()).state(), *store.state(), "it goes on in today's version");
}

#[test]
fn a_state_that_version_2_can_hold_is_written_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    golden_store(dir.path(), false);
    // Six entries, written in turns: the last is in the second file.
    assert_eq!(fs::read(golden("v2").join("meta-0")).unwrap(), fs::read(dir.path().join("meta-1")).unwrap());
}

/// Compares the last file a store wrote with the golden one; a store on a copy of that. `SEGUE_WRITE_GOLDEN=1` writes it anew:
/// only for a new version.
fn compare(version: &str, written: &Path) -> (tempfile::TempDir, MetaStore) {
    let (path, written) = (golden(version).join("meta-0"), fs::read(written).unwrap());
    if std::env::var_os("SEGUE_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(golden(version)).unwrap();
        fs::write(&path, &written).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), written);
    let copy = tempfile::tempdir().unwrap();
    fs::copy(&path, copy.path().join("meta-0")).unwrap();
    let store = open(copy.path());
    (copy, store)
}

#[test]
fn the_golden_state_of_version_4_is_what_todays_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = golden_store(dir.path(), true);
    let advance = |child, phase| MetaCommand::AdvanceSplit { child, phase };
    for command in [
        MetaCommand::BeginSplit { parent: 1, at: 1_000, founder: 0, instead_of: None },
        advance(5, SplitPhase::Copying),
        advance(5, SplitPhase::Switched),
        MetaCommand::EndSplit { child: 5 },
        MetaCommand::BeginSplit { parent: 5, at: 1_200, founder: 77, instead_of: None },
        advance(6, SplitPhase::Copying),
    ] {
        assert_eq!(run(&store, &command), MetaReply::Done);
    }
    // Seventeen entries, written in turns: the last is in the first file.
    let (_copy, copied) = compare("v4", &dir.path().join("meta-0"));
    let state = copied.state();
    assert_eq!(*state, *store.state());
    assert_eq!(state.user_shard_numbers(), [0, 1, 2, 3, 4, 5, 6]);
    let split = ShardSplit { parent: 5, child: 6, at: 1_200, founder: 77, phase: SplitPhase::Copying };
    assert_eq!(state.user_split(), Some(split));
    assert_eq!(**copied.user_ranges().load(), state.user_ranges());
    assert_eq!(state.user_ranges().shard_of(crate::types::Slot(1_300)), 5);
}

#[test]
fn the_golden_state_of_version_5_is_what_todays_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = golden_store(dir.path(), true);
    let advance = |child, phase| MetaCommand::AdvanceTrackSplit { child, phase };
    for command in [
        MetaCommand::BeginTrackSplit { parent: 1, at: 2_000, founder: 0, instead_of: None },
        advance(3, SplitPhase::Copying),
        advance(3, SplitPhase::Switched),
        MetaCommand::EndTrackSplit { child: 3 },
        MetaCommand::BeginTrackSplit { parent: 3, at: 2_200, founder: 77, instead_of: None },
        advance(4, SplitPhase::Copying),
    ] {
        assert_eq!(run(&store, &command), MetaReply::Done);
    }
    // Seventeen entries, written in turns: the last is in the first file.
    let (_copy, copied) = compare("v5", &dir.path().join("meta-0"));
    let state = copied.state();
    assert_eq!(*state, *store.state());
    assert_eq!(state.track_shard_numbers(), [0, 1, 2, 3, 4]);
    let split = ShardSplit { parent: 3, child: 4, at: 2_200, founder: 77, phase: SplitPhase::Copying };
    assert_eq!((state.track_split(), state.user_split()), (Some(split), None));
    assert_eq!(state.ranges(ShardKind::Tracks).shard_of(crate::types::Slot(2_300)), 3);
}

#[test]
fn the_golden_state_of_version_3_is_what_todays_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = golden_store(dir.path(), true);
    // Eleven entries, written in turns: the last is in the first file.
    let (_copy, copied) = compare("v3", &dir.path().join("meta-0"));
    let state = copied.state();
    assert_eq!(*state, *store.state());
    let found: Vec<_> =
        state.experiments().map(|(surface, version, _, runs)| (surface, version, runs)).collect();
    assert_eq!(found, [("home", 1, false), ("home", 2, true), ("radio", 1, true)]);
    assert_eq!(state.track_shards(), Some(3));
}
