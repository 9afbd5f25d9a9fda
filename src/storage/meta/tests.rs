#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use super::*;
use crate::{
    ErrorKind,
    storage::codec,
    storage::entry::{AppliedAt, LogEntry},
    types::{Entity, GenerationId, Metric, SpaceName, SpaceSpec, Timestamp},
};

const FULL: GenerationContents = GenerationContents { users: 7, user_dim: 2, tracks: 9, track_dim: 2 };

fn gram() -> GramData {
    GramData {
        dim: 2,
        gram: vec![1.0, 0.5, 0.5, 2.0],
        alpha0: 0.05,
        lambda: 0.03,
        nu: 1.0,
        alpha: 1.0,
        tracks: 9,
        half_life_days: 62.4,
        reference_time: Timestamp(5),
    }
}

fn create() -> MetaCommand {
    MetaCommand::CreateGeneration { dim: 2, gram: Some(gram()) }
}

fn activate(id: u32) -> MetaCommand {
    MetaCommand::ActivateGeneration { id: GenerationId(id), contents: FULL }
}

fn set_key(key: &[u8], replace: bool) -> MetaCommand {
    MetaCommand::SetKey { name: "impression".to_owned(), key: key.to_vec(), replace }
}

fn states(state: &MetaState) -> Vec<(u32, GenerationState)> {
    state.generations().map(|info| (info.id.0, info.state)).collect()
}

fn open(dir: &Path) -> MetaStore {
    MetaStore::open(dir).unwrap().store
}

fn run(store: &MetaStore, command: &MetaCommand) -> MetaReply {
    let data = command.encode().unwrap();
    let entry = LogEntry { index: store.applied().index + 1, term: 2, data: &data };
    MetaReply::decode(&store.apply(&[entry]).unwrap()[0]).unwrap()
}

#[test]
fn generations_are_created_activated_and_rolled_back() {
    use GenerationState::{Active, Building, Retired};
    let mut state = MetaState::default();
    for number in 1..=3 {
        let MetaReply::Generation(info) = state.apply(create()) else { panic!() };
        assert_eq!((info.id, info.state, info.fold_in), (GenerationId(number), Building, true));
    }
    assert!(matches!(state.apply(MetaCommand::RollbackGeneration), MetaReply::Conflict(_)));
    let MetaReply::Generation(info) = state.apply(activate(1)) else { panic!() };
    assert_eq!((info.users, info.tracks), (7, 9));
    state.apply(activate(2));
    state.apply(activate(3));
    assert_eq!(states(&state), [(1, Retired), (2, Retired), (3, Active)]);
    assert_eq!(state.previous().unwrap().id, GenerationId(2));
    state.apply(MetaCommand::RollbackGeneration);
    assert_eq!(states(&state), [(1, Retired), (2, Active), (3, Retired)]);
    assert_eq!(state.gram(GenerationId(2)), Some(&gram()));
    state.apply(MetaCommand::RollbackGeneration);
    assert_eq!((state.active().unwrap().id, state.previous()), (GenerationId(1), None));
    let active = MetaCommand::DropGeneration { id: GenerationId(1) };
    assert_eq!(state.apply(active), MetaReply::Conflict("generation is active. generation=`1`".to_owned()));
    assert_eq!(state.apply(MetaCommand::DropGeneration { id: GenerationId(3) }), MetaReply::Done);
    let MetaReply::Generation(info) = state.apply(create()) else { panic!() };
    assert_eq!(info.id, GenerationId(4), "a number is never used twice");
}

#[test]
fn an_incomplete_generation_is_not_activated() {
    let mut state = MetaState::default();
    state.apply(create());
    let before = state.clone();
    for (contents, reason) in [
        (
            GenerationContents { users: 0, user_dim: 0, ..FULL },
            "generation has no user vectors: load them first. generation=`1`",
        ),
        (
            GenerationContents { tracks: 0, ..FULL },
            "generation has no track vectors: load them first. generation=`1`",
        ),
        (
            GenerationContents { track_dim: 3, ..FULL },
            "generation has track vectors of another dimension. generation=`1`, expected=`2`, found=`3`",
        ),
    ] {
        let reply = state.apply(MetaCommand::ActivateGeneration { id: GenerationId(1), contents });
        assert_eq!(reply, MetaReply::Conflict(reason.to_owned()));
    }
    let missing = state.apply(activate(9));
    assert_eq!(missing, MetaReply::NotFound { what: Named::Generation, id: "9".to_owned() });
    assert_eq!(missing.into_result().unwrap_err().to_string(), "generation not found. id=`9`");
    assert_eq!(state, before);
}

#[test]
fn wrong_generations_are_refused_by_field() {
    let mut state = MetaState::default();
    let with = |dim, gram| MetaCommand::CreateGeneration { dim, gram: Some(gram) };
    for (command, expected) in [
        (MetaCommand::CreateGeneration { dim: 0, gram: None }, Field::Dim),
        (MetaCommand::CreateGeneration { dim: 4097, gram: None }, Field::Dim),
        (with(3, gram()), Field::Gram),
        (with(2, GramData { gram: vec![1.0; 3], ..gram() }), Field::Gram),
        (with(2, GramData { gram: vec![f64::NAN; 4], ..gram() }), Field::Gram),
        (with(2, GramData { half_life_days: 0.0, ..gram() }), Field::Gram),
    ] {
        assert!(matches!(state.apply(command), MetaReply::Invalid { field, .. } if field == expected));
    }
    assert_eq!(state, MetaState::default());
}

#[test]
fn spaces_are_defined_once() {
    let mut state = MetaState::default();
    assert_eq!(state.spaces().count(), 3);
    let lyrics = SpaceSpec {
        name: SpaceName::new("lyrics").unwrap(),
        entity: Entity::Track,
        generational: false,
        metrics: vec![Metric::Cosine],
    };
    assert_eq!(state.apply(MetaCommand::DefineSpace(lyrics.clone())), MetaReply::Done);
    assert_eq!(state.apply(MetaCommand::DefineSpace(lyrics.clone())), MetaReply::Done);
    let other = SpaceSpec { metrics: vec![Metric::L2], ..lyrics.clone() };
    assert!(matches!(state.apply(MetaCommand::DefineSpace(other)), MetaReply::Conflict(_)));
    assert_eq!(state.space(&lyrics.name), Some(&lyrics));
}

#[test]
fn recipe_versions_follow_the_built_in_ones_and_never_change() {
    let mut state = MetaState::default();
    let put = |name: &str, document: &str, built_in| MetaCommand::PutRecipe {
        name: name.to_owned(),
        document: document.to_owned(),
        built_in,
    };
    let version = |reply| match reply {
        MetaReply::Recipe { version, .. } => version,
        other => panic!("{other:?}"),
    };
    assert_eq!(version(state.apply(put("radio", "a", 1))), 2);
    assert_eq!(version(state.apply(put("radio", "b", 1))), 3);
    assert_eq!(version(state.apply(put("mine", "c", 0))), 1);
    let stored: Vec<_> = state.recipes().collect();
    assert_eq!(stored, [("mine", 1, "c"), ("radio", 2, "a"), ("radio", 3, "b")]);
    let activate = |version| MetaCommand::ActivateRecipe { name: "radio".to_owned(), version, built_in: 1 };
    assert_eq!(version(state.apply(activate(3))), 3);
    assert_eq!(version(state.apply(activate(1))), 1, "back to the built-in one");
    assert_eq!(
        state.apply(activate(4)),
        MetaReply::NotFound { what: Named::Recipe, id: "radio@4".to_owned() }
    );
    assert_eq!(state.active_recipes().collect::<Vec<_>>(), [("radio", 1)]);
}

#[test]
fn the_first_key_stays_until_it_is_replaced_on_purpose() {
    let mut state = MetaState::default();
    assert_eq!(state.apply(set_key(b"one", false)), MetaReply::Key(b"one".to_vec()));
    assert_eq!(state.apply(set_key(b"two", false)), MetaReply::Key(b"one".to_vec()));
    assert_eq!(state.apply(set_key(b"two", true)), MetaReply::Key(b"two".to_vec()));
    assert_eq!(state.key("impression"), Some(&b"two"[..]));
    assert!(matches!(state.apply(set_key(b"", true)), MetaReply::Invalid { field: Field::Key, .. }));
}

#[test]
fn the_state_survives_reopening_with_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.applied(), AppliedAt::default());
    for command in [create(), create(), activate(1), set_key(b"k", false)] {
        run(&store, &command);
    }
    assert_eq!((store.applied(), store.durable_index()), (AppliedAt { index: 4, term: 2 }, 3));
    let again = MetaStore::open(dir.path()).unwrap();
    assert_eq!((again.applied, again.repairs.len()), (AppliedAt { index: 4, term: 2 }, 0));
    assert_eq!((again.store.state(), again.store.durable_index()), (store.state(), 3));
    let data = create().encode().unwrap();
    let replayed = again.store.apply(&[LogEntry { index: 4, term: 2, data: &data }]).unwrap();
    assert_eq!(MetaReply::decode(&replayed[0]).unwrap(), MetaReply::Done);
    assert_eq!(again.store.state(), store.state());
}

#[test]
fn an_unreadable_entry_stops_before_anything_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let good = create().encode().unwrap();
    let entry = |index, data| LogEntry { index, term: 1, data };
    let error = store.apply(&[entry(1, &good), entry(2, &[9; 16])]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!((store.applied().index, store.state().generations().count()), (0, 0));
}

#[test]
fn every_flipped_byte_and_truncation_is_repaired_from_the_file_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for command in [create(), create(), activate(1)] {
        run(&store, &command);
    }
    let newest = dir.path().join("meta-0");
    let bytes = fs::read(&newest).unwrap();
    let check = |damaged: &[u8], what: &str| {
        fs::write(&newest, damaged).unwrap();
        let opened = MetaStore::open(dir.path()).unwrap();
        assert_eq!((opened.applied.index, opened.repairs.len()), (2, 2), "{what}");
        assert_eq!(opened.store.state().active(), None, "{what}");
    };
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x41;
        check(&damaged, &format!("byte {place}"));
    }
    for length in (0..bytes.len()).step_by(97) {
        check(&bytes[..length], &format!("length {length}"));
    }
    // The log replays the third entry over the repaired state, and the damaged file is the one written.
    let repaired = open(dir.path());
    run(&repaired, &activate(1));
    assert_eq!((repaired.state(), fs::read(&newest).unwrap()), (store.state(), bytes.clone()));
    fs::write(&newest, b"").unwrap();
    fs::write(dir.path().join("meta-1"), b"").unwrap();
    let error = MetaStore::open(dir.path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn the_number_of_user_shards_is_decided_once() {
    let mut state = MetaState::default();
    let set = |count| MetaCommand::SetUserShards { count };
    for wrong in [0, 65, u16::MAX] {
        let reply = state.apply(set(wrong));
        assert!(matches!(reply, MetaReply::Invalid { field: Field::UserShards, .. }), "{reply:?}");
    }
    assert_eq!(state.user_shards(), None);
    assert_eq!(state.apply(set(4)), MetaReply::Done);
    assert_eq!(state.apply(set(4)), MetaReply::Done);
    assert!(matches!(state.apply(set(3)), MetaReply::Conflict(_)));
    assert_eq!(state.user_shards(), Some(4));
}

#[test]
fn the_number_of_track_shards_is_decided_once_and_first() {
    let mut state = MetaState::default();
    let set = |count| MetaCommand::SetTrackShards { count };
    for wrong in [0, 1, 65, u16::MAX] {
        let reply = state.apply(set(wrong));
        assert!(matches!(reply, MetaReply::Invalid { field: Field::TrackShards, .. }), "{reply:?}");
    }
    let mut decided_later = state.clone();
    assert_eq!((state.apply(set(4)), state.apply(set(4))), (MetaReply::Done, MetaReply::Done));
    assert!(matches!(state.apply(set(3)), MetaReply::Conflict(_)));
    assert_eq!(state.track_shards(), Some(4));
    // Who decided about user shards without a word about track shards has one.
    decided_later.apply(MetaCommand::SetUserShards { count: 2 });
    assert!(matches!(decided_later.apply(set(2)), MetaReply::Conflict(_)));
    assert_eq!(decided_later.track_shards(), None);
}

#[test]
fn entries_that_version_1_knows_are_written_as_it_wrote_them() {
    let version = |command: MetaCommand| codec::version(&command.encode().unwrap()).unwrap();
    let shards = [MetaCommand::SetUserShards { count: 2 }, MetaCommand::SetTrackShards { count: 2 }];
    assert_eq!((version(create()), shards.map(version)), (1, [2, 3]));
}

/// A folder of golden files.
fn golden(version: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage/meta/golden").join(version)
}

/// What the golden file of version 2 holds.
fn golden_store(dir: &Path) -> MetaStore {
    let store = open(dir);
    let document = "{\"name\":\"radio\"}".to_owned();
    let put = MetaCommand::PutRecipe { name: "radio".to_owned(), document, built_in: 1 };
    let use_it = MetaCommand::ActivateRecipe { name: "radio".to_owned(), version: 2, built_in: 1 };
    let last = MetaCommand::SetUserShards { count: 5 };
    for command in [create(), activate(1), set_key(b"key", false), put, use_it, last] {
        assert!(!matches!(run(&store, &command), MetaReply::Conflict(_)));
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

/// `SEGUE_WRITE_GOLDEN=1` writes the file anew: only for a new version.
#[test]
fn the_golden_state_of_version_2_is_what_todays_writer_writes() {
    let (path, dir) = (golden("v2").join("meta-0"), tempfile::tempdir().unwrap());
    let store = golden_store(dir.path());
    // Six entries, written in turns: the last is in the second file.
    let written = fs::read(dir.path().join("meta-1")).unwrap();
    if std::env::var_os("SEGUE_WRITE_GOLDEN").is_some() {
        fs::write(&path, &written).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), written);
    let copy = tempfile::tempdir().unwrap();
    fs::copy(&path, copy.path().join("meta-0")).unwrap();
    assert_eq!(*open(copy.path()).state(), *store.state());
    assert_eq!(store.state().user_shards(), Some(5));
}

#[test]
fn a_state_with_several_track_shards_is_of_version_3_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for command in
        [MetaCommand::SetTrackShards { count: 3 }, MetaCommand::SetUserShards { count: 5 }, create()]
    {
        assert!(!matches!(run(&store, &command), MetaReply::Conflict(_)));
    }
    let (at, words) = store.snapshot().unwrap();
    assert_eq!(codec::version(&words).unwrap(), 3);
    let (again, other) = (open(dir.path()), tempfile::tempdir().unwrap());
    let taken = open(other.path());
    taken.install(&words, at).unwrap();
    for opened in [again, taken, open(other.path())] {
        assert_eq!(opened.state(), store.state());
        assert_eq!((opened.state().track_shards(), opened.state().user_shards()), (Some(3), Some(5)));
    }
}
