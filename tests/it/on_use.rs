//! A node serves before its files are read. Damage in what the start has left for later is never part of an answer: whoever is the
//! first to use it, or the thread that reads everything, finds it, and from then on nothing is answered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segue::config::Settings;
use segue::pipeline::request::{RecommendRequest, SearchRequest};
use segue::types::{Metric, SplitMix64, Surface};
use segue::{Error, ErrorKind, Segue};

use crate::support::{AS_OF, DIM, STATIC, World, id, seed, small_segments, space};

/// A directory with indexed segments.
fn build(dir: &Path) {
    let (engine, _) = Segue::open(dir, small_segments()).unwrap();
    World::generate(51, 2_400, 12).load(&engine);
    engine.checkpoint().unwrap();
    engine.shutdown().unwrap();
}

/// Nothing is read but what is used.
fn only_on_use() -> Settings {
    let mut settings = small_segments();
    settings.storage.verify_on_open = false;
    settings.storage.index_in_memory = false;
    settings
}

/// Question, and its answer as text.
type Answers = Vec<(String, segue::Result<String>)>;

fn ask(engine: &Segue) -> Answers {
    let mut answers: Answers = Vec::new();
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    for at in 0..DIM {
        let mut vector = vec![0.1; DIM];
        vector[at] = 1.0;
        let request = SearchRequest {
            vector: Some(vector),
            metric: Some(Metric::Cosine),
            ..SearchRequest::new(space("audio"))
        };
        answers.push((format!("near axis {at}"), engine.search(request).map(|list| text(&list.tracks))));
    }
    for number in 0..12 {
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some("fixed".to_owned()),
            ..RecommendRequest::new(id(format!("u{number}")), id::<Surface>("discover_weekly"))
        };
        let list = engine.recommend(request).map(|list| text(&(list.tracks, list.relaxed, list.degraded)));
        answers.push((format!("list of u{number}"), list));
    }
    for number in (0..2_400).step_by(60) {
        let id_of = format!("t{number}");
        let track = engine.track(&id(id_of.clone())).map(|track| text(&track));
        answers.push((format!("track {number}"), track));
        let vector = engine.vector(&space("audio"), Some(STATIC), &id_of).map(|vector| text(&vector));
        answers.push((format!("vector {number}"), vector));
    }
    answers
}

fn open(dir: &Path, settings: Settings) -> segue::Result<Segue> {
    Segue::open(dir, settings).map(|(engine, _)| engine)
}

/// The files a start leaves for later, the largest of each kind.
fn later(dir: &Path) -> BTreeMap<&'static str, PathBuf> {
    let mut found = BTreeMap::<&str, (u64, PathBuf)>::new();
    for folder in std::fs::read_dir(dir.join("tracks-0")).unwrap().map(|entry| entry.unwrap().path()) {
        for file in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap()) {
            let (name, bytes) =
                (file.file_name().to_string_lossy().into_owned(), file.metadata().unwrap().len());
            let kind = ["graph", "vectors", "columns"].into_iter().find(|kind| name.starts_with(kind));
            let Some(kind) = kind else { continue };
            if found.get(kind).is_none_or(|(known, _)| *known < bytes) {
                found.insert(kind, (bytes, file.path()));
            }
        }
    }
    found.into_iter().map(|(kind, (_, path))| (kind, path)).collect()
}

#[test]
fn answers_are_the_same_before_and_after_everything_was_read() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path());
    let engine = open(folder.path(), small_segments()).unwrap();
    let first = ask(&engine);
    engine.wait_until_warm().unwrap();
    assert_eq!(engine.warm_up_left(), 0);
    let text = |answers: &Answers| {
        answers.iter().map(|(what, it)| (what.clone(), it.as_ref().unwrap().clone())).collect::<Vec<_>>()
    };
    assert_eq!(text(&first), text(&ask(&engine)));
    engine.shutdown().unwrap();
    drop(engine);
    let engine = open(folder.path(), only_on_use()).unwrap();
    assert_eq!(engine.warm_up_left(), 0, "nothing is read in the background");
    assert_eq!(text(&first), text(&ask(&engine)));
}

#[test]
fn damage_in_what_was_left_for_later_is_named_and_never_part_of_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    build(dir);
    let expected = ask(&open(dir, small_segments()).unwrap());
    let files = later(dir);
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), ["columns", "graph", "vectors"]);
    let mut rng = SplitMix64::new(seed(0x0_5E));
    let (mut on_use, mut unharmed) = (BTreeMap::<&str, u64>::new(), 0);
    for (kind, path) in &files {
        let bytes = std::fs::read(path).unwrap();
        let name = path.display().to_string();
        let is_named =
            |error: &Error| error.kind() == ErrorKind::Corrupt && error.to_string().contains(&name);
        for _ in 0..6 {
            let mut damaged = bytes.clone();
            damaged[rng.below(bytes.len() as u64) as usize] ^= 1 << rng.below(8);
            std::fs::write(path, damaged).unwrap();
            // Used only where a request needs it.
            match open(dir, only_on_use()) {
                Err(error) => assert!(is_named(&error), "{name}: {error}"),
                Ok(engine) => {
                    let mut refused = false;
                    for ((what, answer), (_, right)) in ask(&engine).iter().zip(&expected) {
                        match answer {
                            Err(error) => assert!(is_named(error), "{name}: {what}: {error}"),
                            Ok(answer) => {
                                assert!(!refused, "{name}: {what} was answered after damage was found");
                                assert_eq!(Some(answer), right.as_ref().ok(), "{name}: {what}");
                            }
                        }
                        refused |= answer.is_err();
                    }
                    *on_use.entry(*kind).or_default() += u64::from(refused);
                    unharmed += u64::from(!refused);
                    assert_eq!(engine.damage().is_some(), refused);
                    assert_eq!(engine.ready().is_err(), refused);
                }
            }
            // And read to the end.
            let found = open(dir, small_segments()).and_then(|engine| engine.wait_until_warm());
            assert!(found.as_ref().is_err_and(is_named), "{name}: {found:?}");
        }
        std::fs::write(path, &bytes).unwrap();
    }
    eprintln!("found by a request: {on_use:?}; needed by none: {unharmed}");
    assert!(on_use.len() == 3 && on_use.values().all(|count| *count > 0), "{on_use:?}");
    let whole = open(dir, small_segments()).unwrap();
    whole.wait_until_warm().unwrap();
}
