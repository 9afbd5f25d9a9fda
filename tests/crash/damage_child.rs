//! The process that opens damaged directories: answers every question it can and says what it found, as one line.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Mutex;

use segue::pipeline::request::{RecommendRequest, SearchRequest};
use segue::types::{Metric, Surface, key_of};
use segue::{Error, Segue};
use serde::{Deserialize, Serialize};

use crate::child;
use crate::support::{AS_OF, DIM, STATIC, id, small_segments, space};

/// Question → digest of the answer.
pub type Answers = BTreeMap<String, u64>;

/// An error as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub kind: String,
    pub message: String,
}

/// What came of one directory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Why it did not open.
    pub error: Option<Failure>,
    /// What the start said it dropped or repaired.
    pub repairs: Vec<String>,
    pub answers: Answers,
    /// Questions that were refused.
    pub errors: BTreeMap<String, Failure>,
    /// Panics of any thread, caught ones too.
    pub panics: Vec<String>,
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Opens the directory once a line of input.
pub fn serve() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut panics) = PANICS.lock() {
            panics.push(info.to_string().replace('\n', " "));
        }
    }));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let on_use = line == "used";
        let mut found = std::panic::catch_unwind(|| look(on_use)).unwrap_or_default();
        found.panics = std::mem::take(&mut *PANICS.lock().expect("the hook does not panic"));
        let line = serde_json::to_string(&found).expect("plain data");
        println!("{line}");
        std::io::stdout().flush().expect("the parent listens");
    }
}

fn failure(error: &Error) -> Failure {
    Failure { kind: format!("{:?}", error.kind()), message: error.to_string() }
}

fn look(on_use: bool) -> Found {
    let mut found = Found::default();
    let mut settings = small_segments();
    if on_use {
        settings.storage.verify_on_open = false;
        settings.storage.index_in_memory = false;
    }
    let (engine, report) = match Segue::open(&child::dir(), settings) {
        Ok(opened) => opened,
        Err(error) => return Found { error: Some(failure(&error)), ..found },
    };
    found.repairs = report.repairs;
    records(&engine, &mut found);
    vectors(&engine, &mut found);
    lists(&engine, &mut found);
    // Closing a damaged directory may fail; that is no answer.
    let _ = engine.shutdown();
    found
}

fn note<T: std::fmt::Debug>(found: &mut Found, what: String, answer: segue::Result<T>) {
    match answer {
        Ok(answer) => drop(found.answers.insert(what, key_of(&format!("{answer:?}")))),
        // Missing is an answer, too: that of the keys which are not there.
        Err(error) if error.kind() == segue::ErrorKind::NotFound => {}
        Err(error) => drop(found.errors.insert(what, failure(&error))),
    }
}

fn records(engine: &Segue, found: &mut Found) {
    for number in 0..260 {
        note(found, format!("track t{number}"), engine.track(&id(format!("t{number}"))));
    }
    for number in 0..12 {
        note(found, format!("user u{number}"), engine.user(&id(format!("u{number}"))));
    }
    let listed = engine.list_tracks(None, 1_000).map(|(tracks, _)| tracks);
    note(found, "list of tracks".to_owned(), listed);
    note(found, "list of users".to_owned(), engine.list_users(None, 1_000));
    // How far a load has come may be less after damage: it goes on from there.
    if let Err(error) = engine.load_progress("open") {
        found.errors.insert("progress of a load".to_owned(), failure(&error));
    }
    note(found, "list of generations".to_owned(), engine.generations());
    note(found, "list of recipes".to_owned(), engine.recipes());
}

fn vectors(engine: &Segue, found: &mut Found) {
    for number in 0..200 {
        let id = format!("t{number}");
        note(found, format!("audio {id}"), engine.vector(&space("audio"), Some(STATIC), &id));
        note(found, format!("track_cf {id}"), engine.vector(&space("track_cf"), None, &id));
    }
    for number in 0..12 {
        let id = format!("u{number}");
        note(found, format!("user_cf {id}"), engine.vector(&space("user_cf"), None, &id));
    }
}

fn lists(engine: &Segue, found: &mut Found) {
    for number in 0..12 {
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some("fixed".to_owned()),
            ..RecommendRequest::new(id(format!("u{number}")), id::<Surface>("discover_weekly"))
        };
        let list = engine.recommend(request).map(|list| (list.tracks, list.relaxed, list.degraded));
        note(found, format!("list for u{number}"), list);
    }
    for at in 0..DIM {
        let mut vector = vec![0.1; DIM];
        vector[at] = 1.0;
        for exact in [true, false] {
            let request = SearchRequest {
                vector: Some(vector.clone()),
                metric: Some(Metric::Cosine),
                exact,
                ..SearchRequest::new(space("audio"))
            };
            let answer = engine.search(request).map(|list| list.tracks);
            note(found, format!("list near axis {at}, exact {exact}"), answer);
        }
    }
}
