use std::collections::{HashMap, HashSet};

use tempfile::TempDir;

use super::*;
use crate::Error;
use crate::ingest::{PlayTable, Rows, Table, TrackTable, UserTable, VectorTable};

fn share<T>(rows: &[T], test: impl Fn(&T) -> bool) -> f64 {
    rows.iter().filter(|row| test(row)).count() as f64 / rows.len() as f64
}

fn near(what: &str, share: f64, low: f64, high: f64) {
    assert!((low..=high).contains(&share), "{what}: {share} is not in {low}..{high}");
}

#[test]
fn the_same_seed_gives_the_same_rows_and_another_seed_others() {
    let params = GenerateParams { tracks: 500, listeners: 40, plays: 2_000, ..small() };
    let rows = |params: &GenerateParams| {
        let made = generate(params).unwrap();
        let vectors: Vec<_> =
            made.audio_vectors().chain(made.track_vectors()).chain(made.user_vectors()).collect();
        (
            made.tracks().collect::<Vec<_>>(),
            made.users().collect::<Vec<_>>(),
            made.plays().collect::<Vec<_>>(),
            vectors,
        )
    };
    let first = rows(&params);
    assert_eq!(first, rows(&params));
    let other = rows(&GenerateParams { seed: 2, ..params });
    assert!(first.0 != other.0 && first.1 != other.1 && first.2 != other.2 && first.3 != other.3);
    assert_eq!((first.0.len(), first.1.len(), first.2.len(), first.3.len()), (500, 40, 2_000, 1_040));
}

#[test]
fn the_catalogue_is_believable() {
    let params = GenerateParams { tracks: 20_000, ..small() };
    let made = generate(&params).unwrap();
    let tracks: Vec<Track> = made.tracks().collect();
    let today = params.as_of.day();
    near("everywhere", share(&tracks, |t| t.regions == RegionSet::All), 0.82, 0.88);
    let released = |t: &Track| t.release_date.map(|date| today - date.0);
    near("new", share(&tracks, |t| released(t).is_some_and(|age| (0..28).contains(&age))), 0.035, 0.065);
    assert!(tracks.iter().all(|t| released(t).is_none_or(|age| age >= 0)));
    near(
        "versions",
        share(&tracks, |t| t.recording_id.as_str()[1..] != t.track_id.as_str()[1..]),
        0.03,
        0.05,
    );
    near("no genre", share(&tracks, |t| t.genres.is_empty()), 0.06, 0.10);
    near("no popularity", share(&tracks, |t| t.popularity.is_none()), 0.08, 0.12);
    near("explicit", share(&tracks, |t| t.explicit == Some(true)), 0.05, 0.25);
    near("no tempo", share(&tracks, |t| t.audio.tempo.is_none()), 0.01, 0.04);
    near("guests", share(&tracks, |t| t.artists.len() == 2), 0.08, 0.14);
    let distinct = |value: fn(&Track) -> &str| tracks.iter().map(value).collect::<HashSet<_>>().len();
    let artists = distinct(|t| t.artists[0].id.as_str());
    near("tracks an artist", tracks.len() as f64 / artists as f64, 8.0, 16.0);
    assert!(distinct(|t| &t.artists[0].name) * 10 > artists * 9, "artists' names rarely repeat");
    assert!(distinct(|t| &t.title) * 3 > tracks.len(), "titles vary");
    let genres: HashSet<&str> =
        tracks.iter().flat_map(|t| t.genres.iter().map(|tag| tag.genre.as_str())).collect();
    assert_eq!(genres.len(), 60);
}

#[test]
fn versions_share_a_recording_an_artist_and_most_of_a_title() {
    let made = generate(&small()).unwrap();
    let tracks: Vec<Track> = made.tracks().collect();
    let by_id: HashMap<&str, &Track> = tracks.iter().map(|t| (&t.track_id.as_str()[1..], t)).collect();
    let mut versions = 0;
    for track in &tracks {
        let original = by_id[&track.recording_id.as_str()[1..]];
        versions += usize::from(original.track_id != track.track_id);
        assert_eq!(original.artists[0], track.artists[0]);
        assert_eq!(original.recording_id, track.recording_id);
        assert!(track.title.starts_with(&original.title), "{} / {}", track.title, original.title);
    }
    assert!(versions > 100, "{versions}");
}

#[test]
fn plays_follow_zipf_repeat_and_grow_towards_the_present() {
    let params = small();
    let made = generate(&params).unwrap();
    let plays: Vec<Play> = made.plays().collect();
    assert_eq!(plays.len(), 60_000);
    let mut counts: HashMap<&str, u32> = HashMap::new();
    plays.iter().for_each(|play| *counts.entry(play.track_id.as_str()).or_default() += 1);
    let mut sorted: Vec<u32> = counts.values().copied().collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let top: u32 = sorted[..sorted.len() / 100].iter().sum();
    near("plays of the top 1 %", f64::from(top) / 60_000.0, 0.06, 0.35);
    let pairs: HashSet<(&str, &str)> =
        plays.iter().map(|p| (p.user_id.as_str(), p.track_id.as_str())).collect();
    near("plays a pair", 60_000.0 / pairs.len() as f64, 1.5, 4.0);
    near("last 90 days", share(&plays, |p| params.as_of.days_since(p.played_at) < 90.0), 0.4, 0.7);
    near("skips", share(&plays, |p| p.action == PlayAction::Skip), 0.06, 0.18);
    near("saves", share(&plays, |p| p.action == PlayAction::Save), 0.02, 0.06);
    assert!(plays.iter().all(|p| p.played_at < params.as_of));
    assert!(plays.iter().all(|p| p.action != PlayAction::Skip || p.listened_ms < 30_000));
    let ordered =
        |pair: &[Play]| pair[0].user_id != pair[1].user_id || pair[0].played_at <= pair[1].played_at;
    assert!(plays.windows(2).all(ordered));
}

#[test]
fn listeners_play_what_they_may_and_newcomers_nothing() {
    let params = GenerateParams { listeners: 2_000, ..small() };
    let made = generate(&params).unwrap();
    let tracks: HashMap<TrackId, Track> = made.tracks().map(|t| (t.track_id.clone(), t)).collect();
    let users: HashMap<UserId, User> = made.users().map(|u| (u.user_id.clone(), u)).collect();
    let mut active = HashSet::new();
    let mut too_early = 0;
    for play in made.plays() {
        let (user, track) = (&users[&play.user_id], &tracks[&play.track_id]);
        assert!(track.regions.allows(user.region), "{play:?}");
        assert!(!(user.filter_explicit && track.explicit == Some(true)), "{play:?}");
        assert!(!user.blocked_artists.contains(&track.artists[0].id), "{play:?}");
        assert!(user.registered_at.unwrap() <= play.played_at, "{play:?}");
        too_early += u32::from(track.release_date.is_some_and(|date| date.start() > play.played_at));
        active.insert(play.user_id);
    }
    assert_eq!(too_early, 0);
    near("without plays", 1.0 - active.len() as f64 / 2_000.0, 0.004, 0.03);
    let blocking = users.values().filter(|user| !user.blocked_artists.is_empty()).count();
    assert!(blocking > 1_000, "{blocking}");
}

fn read<T: Table>(path: &std::path::Path) -> Vec<T::Row> {
    let mut rows = Rows::<T>::open(path).unwrap();
    let mut all = Vec::new();
    loop {
        let batch = rows.next_batch(8_192).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch.into_iter().map(|(_, row)| row.unwrap()));
    }
}

#[test]
fn the_files_hold_what_the_streams_give() {
    let folder = TempDir::new().unwrap();
    let params = GenerateParams { tracks: 10_000, listeners: 100, plays: 5_000, ..small() };
    let made = generate(&params).unwrap();
    let mut last = HashMap::new();
    let files = made
        .write(folder.path(), WriteOptions { vectors: true }, &mut |p| {
            last.insert(p.file, (p.rows, p.total));
        })
        .unwrap();
    let names: Vec<_> = files.iter().map(|file| (file.name, file.rows)).collect();
    let want = [
        ("tracks", 10_000),
        ("users", 100),
        ("plays", 5_000),
        ("track_audio", 10_000),
        ("track_cf", 10_000),
        ("user_cf", 100),
    ];
    assert_eq!(names, want);
    assert!(want.iter().all(|(name, rows)| last[name] == (*rows, *rows)));
    let path = |name: &str| folder.path().join(format!("{name}.parquet"));
    assert!(read::<TrackTable>(&path("tracks")).into_iter().eq(made.tracks()));
    assert!(read::<UserTable>(&path("users")).into_iter().eq(made.users()));
    assert!(read::<PlayTable>(&path("plays")).into_iter().eq(made.plays()));
    assert!(read::<VectorTable>(&path("track_audio")).into_iter().eq(made.audio_vectors()));
    assert!(read::<VectorTable>(&path("user_cf")).into_iter().eq(made.user_vectors()));
}

#[test]
fn parameters_out_of_range_are_named() {
    for (params, name) in [
        (GenerateParams { tracks: 99, ..small() }, "tracks"),
        (GenerateParams { listeners: 0, ..small() }, "listeners"),
        (GenerateParams { genres: 61, ..small() }, "genres"),
        (GenerateParams { audio_dim: 8, ..small() }, "audio_dim"),
        (GenerateParams { cf_dim: 2_000, ..small() }, "cf_dim"),
        (GenerateParams { as_of: Timestamp(0), ..small() }, "as_of"),
        (GenerateParams { as_of: Timestamp(i64::MAX), ..small() }, "as_of"),
    ] {
        match generate(&params) {
            Err(Error::InvalidField { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn the_smallest_catalogues_work() {
    for genres in [4, 60] {
        let params = GenerateParams { tracks: 100, listeners: 1, plays: 50, genres, ..small() };
        let made = generate(&params).unwrap();
        assert_eq!((made.tracks().count(), made.users().count(), made.plays().count()), (100, 1, 50));
        let none = generate(&GenerateParams { plays: 0, ..params }).unwrap();
        assert_eq!(none.plays().count(), 0);
    }
}
