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

pub(super) fn create() -> MetaCommand {
    MetaCommand::CreateGeneration { dim: 2, gram: Some(gram()) }
}

pub(super) fn activate(id: u32) -> MetaCommand {
    MetaCommand::ActivateGeneration { id: GenerationId(id), contents: FULL }
}

pub(super) fn set_key(key: &[u8], replace: bool) -> MetaCommand {
    MetaCommand::SetKey { name: "impression".to_owned(), key: key.to_vec(), replace }
}

pub(super) fn put_experiment(surface: &str, document: &str, needs: &[(&str, u32)]) -> MetaCommand {
    let needs = needs.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect();
    MetaCommand::PutExperiment { surface: surface.to_owned(), document: document.to_owned(), needs }
}

pub(super) fn states(state: &MetaState) -> Vec<(u32, GenerationState)> {
    state.generations().map(|info| (info.id.0, info.state)).collect()
}

pub(super) fn open(dir: &Path) -> MetaStore {
    MetaStore::open(dir).unwrap().store
}

pub(super) fn run(store: &MetaStore, command: &MetaCommand) -> MetaReply {
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
fn experiments_are_versions_of_their_surface_and_commands_may_come_twice() {
    let mut state = MetaState::default();
    let begun = |version| MetaReply::Experiment { version };
    let stop = || MetaCommand::StopExperiment { surface: "radio".to_owned() };
    let runs = |state: &MetaState| {
        state
            .experiments()
            .filter(|found| found.3)
            .map(|found| (found.0.to_owned(), found.1))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        state.apply(stop()).into_result().unwrap_err().to_string(),
        "experiment not found. id=`radio`"
    );
    assert_eq!(
        state.apply(put_experiment("radio", "a", &[("radio", 2)])),
        MetaReply::NotFound { what: Named::Recipe, id: "radio@2".to_owned() }
    );
    let put = MetaCommand::PutRecipe { name: "radio".to_owned(), document: "d".to_owned(), built_in: 1 };
    state.apply(put);
    for _ in 0..2 {
        assert_eq!(state.apply(put_experiment("radio", "a", &[("radio", 2)])), begun(1));
    }
    for _ in 0..2 {
        assert_eq!(state.apply(put_experiment("radio", "b", &[])), begun(2));
    }
    assert_eq!(state.apply(put_experiment("home", "a", &[])), begun(1));
    assert_eq!(runs(&state), [("home".to_owned(), 1), ("radio".to_owned(), 2)]);
    for _ in 0..2 {
        assert_eq!(state.apply(stop()), begun(2));
    }
    assert_eq!(runs(&state), [("home".to_owned(), 1)]);
    assert_eq!(state.apply(put_experiment("radio", "b", &[])), begun(2), "begun again");
    assert_eq!(state.apply(put_experiment("radio", "a", &[])), begun(3), "not the newest: a new version");
    let before = state.clone();
    let long = "x".repeat((64 << 10) + 1);
    for (surface, document, wrong) in [("", "a", Field::Surface), ("radio", long.as_str(), Field::Experiment)]
    {
        let reply = state.apply(put_experiment(surface, document, &[]));
        assert!(matches!(reply, MetaReply::Invalid { field, .. } if field == wrong), "{reply:?}");
    }
    assert_eq!(state, before);
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
    let stop = MetaCommand::StopExperiment { surface: "radio".to_owned() };
    assert_eq!((version(put_experiment("radio", "a", &[])), version(stop)), (3, 3));
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
