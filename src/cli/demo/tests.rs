//! That a broken promise is found: a check that never fails would show nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::promises::{Feedback, Promises};
use crate::Segue;
use crate::config::Settings;
use crate::generate::{Catalogue, GenerateParams, generate};
use crate::types::{RegionSet, Track, User};

/// A small catalogue in a database, one of its listeners, and tracks that this listener may hear.
fn with_promises(test: impl FnOnce(&Promises<'_>, &[Track])) {
    let params = GenerateParams { tracks: 400, listeners: 20, plays: 2_000, ..GenerateParams::default() };
    let catalogue = generate(&params).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.storage.disk_reserve_bytes = 0;
    let (db, _) = Segue::open(folder.path(), settings).unwrap();
    db.upsert_tracks(catalogue.tracks().collect()).unwrap();
    let mut user: User = catalogue.users().next().unwrap();
    user.filter_explicit = true;
    let plays = catalogue.plays_by(0);
    let promises = Promises {
        db: &db,
        catalogue: &catalogue,
        user: &user,
        plays: &plays,
        as_of: params.as_of,
        heard_days: 28.0,
        asked: 5,
    };
    let fine = allowed(&catalogue, &promises);
    test(&promises, &fine);
    db.shutdown().unwrap();
}

/// Five tracks of different recordings that break nothing.
fn allowed(catalogue: &Catalogue, promises: &Promises<'_>) -> Vec<Track> {
    let mut found: Vec<Track> = Vec::new();
    for track in catalogue.tracks() {
        found.push(track);
        let problems = promises.broken(&found, false, &Feedback::default());
        if problems.iter().any(|problem| !problem.starts_with("the list has")) {
            found.pop();
        }
        if found.len() == 5 {
            return found;
        }
    }
    panic!("fewer than five tracks are allowed")
}

#[test]
fn a_list_that_keeps_its_promises_passes() {
    with_promises(|promises, fine| {
        assert_eq!(promises.broken(fine, false, &Feedback::default()), Vec::<String>::new());
    });
}

#[test]
fn every_kind_of_broken_promise_is_named() {
    with_promises(|promises, fine| {
        let with = |track: Track| {
            let mut list = fine.to_vec();
            list[0] = track;
            promises.broken(&list, false, &Feedback::default()).join("; ")
        };
        let locked = Track { regions: RegionSet::Only(Vec::new()), ..fine[0].clone() };
        assert!(with(locked).ends_with("is against the listener's rules"));
        let explicit = Track { explicit: None, ..fine[0].clone() };
        assert!(with(explicit).ends_with("is against the listener's rules"));
        assert!(with(fine[1].clone()).ends_with("is there twice"));
        let newest = promises.plays.last().unwrap();
        assert!(promises.as_of.days_since(newest.played_at) < 28.0);
        let heard = promises.db.track(&newest.track_id).unwrap();
        assert!(with(heard).contains("was heard in the window"));
        let short = promises.broken(&fine[..4], false, &Feedback::default());
        assert_eq!(short, ["the list has 4 tracks and could have 5"]);
    });
}

#[test]
fn disobeying_the_listener_is_named() {
    with_promises(|promises, fine| {
        let track = &fine[2];
        let blocked = Feedback { blocked: Some(track.artists[0].id.clone()), skipped: Vec::new() };
        assert!(promises.broken(fine, false, &blocked)[0].ends_with("is by the artist just blocked"));
        let skipped = Feedback { blocked: None, skipped: vec![track.track_id.clone()] };
        assert_eq!(promises.broken(fine, false, &skipped), [format!("{} was just skipped", track.track_id)]);
    });
}
