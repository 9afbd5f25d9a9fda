//! What is learnt from all listeners: how long a play counts, how much is kept, and that order does not matter.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::Path;

use super::engine::{LoadKind, Segue};
use super::tests::{settings_without_reserve, track};
use crate::pipeline::recipe::{RecipePatch, Source, SourceSpec};
use crate::pipeline::request::RecommendRequest;
use crate::pipeline::statistics::{Statistics, TIME_TO_LIVE_DAYS};
use crate::storage::user_shard::Missing;
use crate::types::{
    Artist, ArtistId, ArtistKey, DAY_MS, GenreKey, GenreTag, Play, PlayAction, SplitMix64, Surface,
    Timestamp, Track, User, UserId,
};

/// 2026-11-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_793_491_200_000);

fn open(folder: &Path) -> Segue {
    Segue::open(folder, settings_without_reserve()).unwrap().0
}

/// A track by an artist of its own, in a genre of its own.
fn of_its_own(number: u64) -> Track {
    let name = format!("a{number}");
    Track {
        artists: vec![Artist { id: ArtistId::new(name.clone()).unwrap(), name }],
        genres: vec![GenreTag { genre: format!("g{number}"), confidence: 1.0 }],
        ..track(number)
    }
}

fn listener(number: u64) -> User {
    User::unknown(UserId::new(format!("u{number}")).unwrap())
}

fn play(user: u64, number: u64, at: Timestamp) -> Play {
    Play {
        user_id: listener(user).user_id,
        track_id: track(number).track_id,
        played_at: at,
        listened_ms: 90_000,
        action: PlayAction::Play,
    }
}

fn load(engine: &Segue, name: &str, plays: Vec<Play>) {
    engine.load_plays(name, 0, plays).unwrap();
    engine.finish_load(name, LoadKind::Plays, &|_| {}).unwrap();
}

/// What is learnt now, without the number of entries it was learnt from.
fn learnt(engine: &Segue) -> Statistics {
    engine.refresh_statistics().unwrap();
    let node = engine.inner();
    let learnt = node.caches.statistics.get(node.users.shards.statistics());
    assert_eq!(learnt.unreadable, None);
    Statistics { applied: 0, ..Statistics::clone(&learnt.statistics) }
}

fn artist(number: u64) -> ArtistKey {
    ArtistKey::of(&format!("a{number}"))
}

/// Goal: co-listening forgets. Five listeners heard tracks 0 and 1 and left; five others heard 2 and 3 and go on.
#[test]
fn plays_older_than_the_time_to_live_leave_what_is_learnt_whoever_they_are_of() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    engine.upsert_tracks((0..5).map(of_its_own).collect()).unwrap();
    engine.upsert_users((0..10).map(listener).collect()).unwrap();
    let day = |days: i64| Timestamp(NOW.0 + days * DAY_MS + 12 * 3_600_000);
    let both = |users: std::ops::Range<u64>, tracks: [u64; 2], days: i64| -> Vec<Play> {
        users
            .flat_map(|user| tracks.map(|number| play(user, number, Timestamp(day(days).0 + number as i64))))
            .collect()
    };
    let known = |statistics: &Statistics| -> Vec<bool> {
        let heard_with = |number: u64| {
            let of = statistics.artist(artist(number)).map(|artist| artist.heard_with.len());
            let genre =
                statistics.genre(GenreKey::of(&format!("g{number}"))).map(|genre| genre.adjacent.len());
            assert_eq!(of, genre, "artists and genres are of the same plays");
            of == Some(1)
        };
        (0..4).map(heard_with).collect()
    };
    load(&engine, "left", both(0..5, [0, 1], 0));
    load(&engine, "stay", both(5..10, [2, 3], 60));
    assert_eq!(known(&learnt(&engine)), [true; 4]);
    // The last day on which the first ones count, and the first on which they do not: half a day is left over each.
    let last = i64::from(TIME_TO_LIVE_DAYS) - 1;
    load(&engine, "goes on", vec![play(9, 4, day(last))]);
    let before = learnt(&engine);
    assert_eq!(known(&before), [true; 4]);
    load(&engine, "goes on further", vec![play(9, 4, day(last + 1))]);
    let after = learnt(&engine);
    assert_eq!(known(&after), [false, false, true, true]);
    assert_eq!(
        (after.artist(artist(0)), after.artist(artist(1))),
        (None, None),
        "nobody hears them any more"
    );
    assert_eq!(after.listeners, 10, "everybody was looked at");
    // The whole ages by the time of the request.
    let alive = |days: i64| after.are_alive(day(last + 1 + days));
    assert_eq!((alive(0), alive(90), alive(91)), (true, true, false));
    assert!(!Statistics::default().are_alive(NOW));
}

/// Goal: what is popular in a region is what was played there in the seven days before the request, whatever the day it is
/// asked for, and nothing is left of a day that is 35 days behind the newest one.
#[test]
fn what_is_popular_in_a_region_ages_by_the_time_of_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    engine.upsert_tracks((0..3).map(of_its_own).collect()).unwrap();
    let from = |number: u64, region: &str| User { region: Some(region.parse().unwrap()), ..listener(number) };
    engine.upsert_users(vec![from(0, "DE"), from(1, "SE"), from(2, "DE"), from(3, "SE")]).unwrap();
    let at = |day: i64| Timestamp(NOW.0 + day * DAY_MS + 12 * 3_600_000);
    // Ten plays each on one day: track 0 in one region, track 1 in the other. Nobody who asks has played any.
    let plays = (0..10).flat_map(|n| [0, 1].map(|one| play(one, one, Timestamp(at(0).0 + n * 60_000))));
    load(&engine, "day 0", plays.collect());
    let scores = |user: u64, day: i64| -> [f64; 2] {
        let spec = SourceSpec { source: Source::Trending, depth: 50, weights: [1.0; 3] };
        let overrides = RecipePatch { sources: Some(vec![spec]), ..RecipePatch::default() };
        let request = RecommendRequest {
            as_of: Some(Timestamp(at(day).0 + 3_600_000)),
            offers: true,
            overrides,
            ..RecommendRequest::new(listener(user).user_id, Surface::new("anywhere").unwrap())
        };
        let list = engine.recommend(request).unwrap();
        [0, 1].map(|number| {
            let mut offered = list.offers.iter().flat_map(|offer| &offer.tracks);
            offered.find(|(id, _)| *id == track(number).track_id).map_or(0.0, |(_, score)| *score)
        })
    };
    for day in 0..10 {
        let now = if day < 7 { 1.0 } else { 0.0 };
        assert_eq!((scores(2, day), scores(3, day)), ([now, 0.0], [0.0, now]), "day {day}");
    }
    assert_eq!(scores(2, -1), [0.0; 2], "not yet");
    // A request of another day of the past finds what is still counted: it is not asked of what was kept in memory.
    let counts = |day: i32| {
        let (node, day) = (engine.inner(), (NOW.0 / DAY_MS) as i32 + day);
        node.users.shards.trend_counts(None, day, day, &Missing::default()).unwrap().len()
    };
    load(&engine, "day 34", vec![play(0, 2, at(34))]);
    assert_eq!((counts(0), counts(34)), (2, 1), "the oldest day that is kept");
    load(&engine, "day 35", vec![play(0, 2, at(35))]);
    assert_eq!((counts(0), counts(34), counts(35)), (0, 1, 1));
}

/// Goal: what is kept has the stated size, however much is heard: 8,420 artists, each with a genre, of 210 listeners.
#[test]
fn what_is_kept_has_a_size_that_does_not_grow_with_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (listeners, own, common) = (210, 40, 20);
    let tracks: Vec<Track> = (0..common + listeners * own).map(of_its_own).collect();
    tracks.chunks(2_000).for_each(|rows| drop(engine.upsert_tracks(rows.to_vec()).unwrap()));
    engine.upsert_users((0..listeners).map(listener).collect()).unwrap();
    let mut plays = Vec::new();
    for user in 0..listeners {
        // Sixty artists of a listener are paired: twenty that everybody hears and forty of their own. They hear those of
        // the next listener, too, but longer ago: these are not among the sixty.
        let of = |user: u64| common + user * own..common + (user + 1) * own;
        let tracks = (0..common).chain(of(user)).chain(of((user + 1) % listeners)).zip(0..);
        plays.extend(tracks.map(|(number, at)| play(user, number, Timestamp(NOW.0 - 3_600_000 * at))));
    }
    load(&engine, "all", plays);
    let statistics = learnt(&engine);
    assert_eq!((statistics.artists.len(), statistics.genres.len()), (8_192, 4_096));
    let with = |listeners| statistics.artists.iter().filter(|artist| artist.listeners == listeners).count();
    assert_eq!((with(210), with(1)), (20, 8_192 - 20));
    let others = statistics.artists.iter().map(|artist| artist.near.len().max(artist.heard_with.len())).max();
    assert!(others.is_some_and(|others| others <= 16), "{others:?}");
    assert!(statistics.genres.iter().all(|genre| genre.adjacent.len() <= 16));
    let clusters: std::collections::BTreeSet<u16> =
        statistics.genres.iter().map(|genre| genre.cluster).collect();
    assert!(clusters.len() <= 24 && !clusters.contains(&0), "{} clusters", clusters.len());
    let bytes = statistics.encode().unwrap().len();
    assert!(bytes <= crate::storage::user_shard::STATISTICS_BYTES_MAX, "{bytes}");
    // A place that is kept points at something that is kept.
    let places = statistics.artists.iter().flat_map(|artist| &artist.heard_with);
    assert!(places.clone().count() > 0, "what everybody hears goes together");
    assert!(places.clone().all(|(place, _)| (*place as usize) < statistics.artists.len()));
}

/// Goal: the same plays are the same bytes, whatever the order in which tracks, listeners and plays came, and in how many
/// pieces; plays at the very same moment among them.
#[test]
fn the_same_plays_in_another_order_are_the_same_bytes() {
    let mut rng = SplitMix64::new(0x0DE5);
    let tracks: Vec<Track> = (0..120)
        .map(|number| {
            let genre = |name: String, confidence| GenreTag { genre: name, confidence };
            let genres =
                vec![genre(format!("g{}", number % 9), 0.7), genre(format!("h{}", number / 20), 0.35)];
            let name = format!("a{}", number % 30);
            let artists = vec![Artist { id: ArtistId::new(name.clone()).unwrap(), name }];
            Track { genres, artists, ..track(number) }
        })
        .collect();
    let mut plays = Vec::new();
    for user in 0..40 {
        for _ in 0..60 {
            // Whole hours: several plays of a listener are at the same moment.
            let at = Timestamp(NOW.0 - rng.below(24 * 60) as i64 * 3_600_000);
            let action = [PlayAction::Play, PlayAction::Repeat, PlayAction::Save, PlayAction::Skip]
                [rng.below(4) as usize];
            let listened_ms = 1_000 * rng.below(100) as u32;
            plays.push(Play { listened_ms, action, ..play(user, rng.below(120), at) });
        }
    }
    let key = |play: &Play| (play.user_id.clone(), play.track_id.clone(), play.played_at, play.action as u8);
    plays.sort_by_key(key);
    plays.dedup_by_key(|play| key(play));
    let bytes = |tracks: &[Track], pieces: &[&[Play]]| {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path());
        engine.upsert_tracks(tracks.to_vec()).unwrap();
        engine.upsert_users((0..40).map(listener).collect()).unwrap();
        for (number, piece) in pieces.iter().enumerate() {
            engine.load_plays(&format!("piece {number}"), 0, piece.to_vec()).unwrap();
        }
        let statistics = learnt(&engine);
        assert!(statistics.artists.len() == 30 && statistics.events == plays.len() as u64);
        assert!(statistics.artists.iter().all(|artist| !artist.heard_with.is_empty()));
        statistics.encode().unwrap()
    };
    let first = bytes(&tracks, &[&plays]);
    for round in 0..3 {
        let shuffle = |rows: usize, rng: &mut SplitMix64| {
            let mut order: Vec<usize> = (0..rows).collect();
            (1..rows).rev().for_each(|at| order.swap(at, rng.below(at as u64 + 1) as usize));
            order
        };
        let moved: Vec<Track> = shuffle(120, &mut rng).iter().map(|row| tracks[*row].clone()).collect();
        let shuffled: Vec<Play> =
            shuffle(plays.len(), &mut rng).iter().map(|row| plays[*row].clone()).collect();
        let pieces: Vec<&[Play]> = shuffled.chunks(1 + shuffled.len() / (round + 1)).collect();
        assert!(bytes(&moved, &pieces) == first, "order {round}");
    }
}
