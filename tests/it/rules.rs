//! Hard rules are hard, windows hold unless the reply says otherwise, and lists are full (PIPELINE.md §4).
//!
//! The goal: for every listener on every surface, judge the list by a second, plain reading of the rules over the
//! records that were loaded, which shares no code with the engine's filters.

use std::collections::{HashMap, HashSet};

use segue::Segue;
use segue::pipeline::recipe::{HeardWindow, Recipe, Source, built_in};
use segue::pipeline::request::{
    RecommendRequest, Recommendation, RecommendedTrack, SimilarRequest, TrackFilter,
};
use segue::types::{
    Action, ArtistId, DAY_MS, FeedbackEvent, RecordingId, RegionSet, Surface, Timestamp, Track, TrackId, User,
};

use crate::support::{AS_OF, World, id, seed, small_segments};

/// Every surface with a recipe of its own, and one without.
const SURFACES: [&str; 7] =
    ["radio", "top_mixes", "daily_mix", "discover_weekly", "release_radar", "made_for_you", "anywhere_else"];

/// A loaded database and what was loaded, as the judge sees it.
struct Court {
    _folder: tempfile::TempDir,
    engine: Segue,
    world: World,
    tracks: HashMap<TrackId, Track>,
    heard: HashMap<(String, RecordingId), Timestamp>,
}

impl Court {
    fn new(tracks: u64, users: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
        let world = World::generate(seed(0x51), tracks, users);
        world.load(&engine);
        let by_id = world.tracks.iter().map(|track| (track.track_id.clone(), track.clone())).collect();
        let heard =
            world.last_heard().into_iter().map(|((user, recording), at)| ((user.to_string(), recording), at));
        let heard = heard.collect();
        Self { _folder: folder, engine, tracks: by_id, heard, world }
    }

    fn ask(&self, user: &User, surface: &str) -> Recommendation {
        self.engine.recommend(request(user, surface)).unwrap()
    }

    /// The hard rule that forbids a track to a listener, if any.
    fn forbidden(&self, user: &User, track: &Track) -> Option<&'static str> {
        let blocked_recording = |id: &TrackId| {
            *id == track.track_id
                || self.tracks.get(id).is_some_and(|blocked| blocked.recording_id == track.recording_id)
        };
        if !available(&track.regions, user) {
            Some("region")
        } else if user.filter_explicit && track.explicit != Some(false) {
            Some("explicit")
        } else if track.artists.iter().any(|artist| user.blocked_artists.contains(&artist.id)) {
            Some("blocked artist")
        } else if user.blocked_tracks.iter().any(blocked_recording) {
            Some("blocked track")
        } else {
            None
        }
    }

    /// Whether the recipe's window forbids a track that these sources offered.
    fn inside_window(&self, user: &User, track: &Track, recipe: &Recipe, sources: &[String]) -> bool {
        let Some(last) = self.heard.get(&(user.user_id.to_string(), track.recording_id.clone())) else {
            return false;
        };
        let within = |window: HeardWindow| match window {
            HeardWindow::Allowed => false,
            HeardWindow::Days(days) => last.0 > AS_OF.0 - i64::from(days) * DAY_MS,
            HeardWindow::Ever => true,
        };
        // A source with a stricter window must not be the only one that offered the track.
        within(recipe.heard)
            || (sources == ["collaborative"] && within(recipe.heard_for(Source::Collaborative)))
    }

    /// Recordings that the hard rules and the recipe's release window leave to a listener.
    fn allowed(&self, user: &User, recipe: &Recipe) -> usize {
        let fresh = |track: &&Track| {
            let days = i32::from(recipe.released_within_days);
            days == 0
                || track
                    .release_date
                    .is_some_and(|date| date.0 > AS_OF.day() - days - 1 && date.0 <= AS_OF.day())
        };
        let allowed =
            self.tracks.values().filter(|track| self.forbidden(user, track).is_none()).filter(fresh);
        allowed.map(|track| &track.recording_id).collect::<HashSet<_>>().len()
    }

    /// Everything wrong with a list.
    fn judge(&self, user: &User, recipe: &Recipe, list: &Recommendation) -> Vec<String> {
        let mut faults = Vec::new();
        let mut recordings = HashSet::new();
        for listed in &list.tracks {
            let track = &self.tracks[&listed.track_id];
            let name = || describe(user, &list.recipe, listed);
            if let Some(rule) = self.forbidden(user, track) {
                faults.push(format!("{}: {rule}", name()));
            }
            if !recordings.insert(&track.recording_id) {
                faults.push(format!("{}: recording twice", name()));
            }
            if list.relaxed.is_empty() && self.inside_window(user, track, recipe, &listed.sources) {
                faults.push(format!("{}: inside the window, and nothing said", name()));
            }
        }
        let allowed = self.allowed(user, recipe);
        // A recipe with a release window may stay short where windows of heard tracks hold; all others fill up.
        let full = (recipe.n as usize).min(allowed);
        let short = list.tracks.len() < full && recipe.released_within_days == 0;
        if short || list.tracks.len() > recipe.n as usize {
            let found = list.tracks.len();
            faults.push(format!(
                "{} {}: {found} tracks of {} asked and {allowed} allowed; relaxed {:?}",
                user.user_id, list.recipe, recipe.n, list.relaxed
            ));
        }
        faults
    }
}

fn request(user: &User, surface: &str) -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some(format!("{}-{surface}", user.user_id)),
        ..RecommendRequest::new(user.user_id.clone(), id::<Surface>(surface))
    }
}

fn available(regions: &RegionSet, user: &User) -> bool {
    match regions {
        RegionSet::All => true,
        RegionSet::Only(list) => user.region.is_some_and(|region| list.contains(&region)),
    }
}

fn describe(user: &User, recipe: &str, listed: &RecommendedTrack) -> String {
    format!("{} {recipe} {} from {:?}", user.user_id, listed.track_id, listed.sources)
}

fn recipe_of(surface: &str) -> Recipe {
    let recipes = built_in();
    let named = recipes.iter().find(|recipe| recipe.name == surface);
    named.or_else(|| recipes.iter().find(|recipe| recipe.name == "default")).unwrap().clone()
}

fn event(user: &User, action: Action) -> FeedbackEvent {
    FeedbackEvent {
        user_id: user.user_id.clone(),
        action,
        track_id: None,
        artist_id: None,
        at: Some(AS_OF),
        listened_ms: None,
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    }
}

#[test]
fn no_list_breaks_a_rule_or_stays_short() {
    let court = Court::new(1_500, 80);
    let mut faults = Vec::new();
    let mut listed = 0;
    for user in &court.world.users {
        for surface in SURFACES {
            let list = court.ask(user, surface);
            listed += list.tracks.len();
            faults.extend(court.judge(user, &recipe_of(surface), &list));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults in {listed} tracks, such as\n{}",
        faults.len(),
        faults[..faults.len().min(20)].join("\n")
    );
    assert!(listed > 80 * 7 * 8, "the lists were nearly empty: {listed} tracks");
}

#[test]
fn sealed_segments_obey_the_same_rules() {
    let court = Court::new(1_500, 24);
    court.engine.checkpoint().unwrap();
    let mut faults = Vec::new();
    for user in &court.world.users {
        for surface in SURFACES {
            faults.extend(court.judge(user, &recipe_of(surface), &court.ask(user, surface)));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults, such as\n{}",
        faults.len(),
        faults[..faults.len().min(20)].join("\n")
    );
}

#[test]
fn a_callers_filter_comes_on_top_of_the_rules() {
    let court = Court::new(900, 30);
    for user in &court.world.users {
        let filter = TrackFilter {
            genres: vec!["jazz".to_owned()],
            exclude_artists: vec![id("a1")],
            popularity: Some((10.0, 100.0)),
            ..TrackFilter::default()
        };
        let list = court.engine.recommend(RecommendRequest { filter, ..request(user, "top_mixes") }).unwrap();
        let wanted = |track: &Track| {
            track.genres.iter().any(|tag| tag.genre == "jazz")
                && track.artists.iter().all(|artist| artist.id.as_str() != "a1")
                && track.popularity.is_some_and(|popularity| popularity >= 10.0)
        };
        let mut allowed = HashSet::new();
        for track in
            court.tracks.values().filter(|track| wanted(track) && court.forbidden(user, track).is_none())
        {
            allowed.insert(&track.recording_id);
        }
        for listed in &list.tracks {
            let track = &court.tracks[&listed.track_id];
            assert!(wanted(track), "{}", describe(user, "filter", listed));
            assert_eq!(court.forbidden(user, track), None, "{}", describe(user, "filter", listed));
        }
        assert_eq!(list.tracks.len(), allowed.len().min(30), "{}: relaxed {:?}", user.user_id, list.relaxed);
    }
}

#[test]
fn the_very_next_call_obeys_a_block() {
    let court = Court::new(900, 30);
    for user in &court.world.users {
        let mut blocked: Vec<ArtistId> = Vec::new();
        for surface in SURFACES {
            let Some(first) = court.ask(user, surface).tracks.first().cloned() else { continue };
            let artist = court.tracks[&first.track_id].artists[0].id.clone();
            let block = FeedbackEvent { artist_id: Some(artist.clone()), ..event(user, Action::BlockArtist) };
            court.engine.feedback(vec![block]).unwrap();
            blocked.push(artist);
            for surface in SURFACES {
                for listed in court.ask(user, surface).tracks {
                    let artists = &court.tracks[&listed.track_id].artists;
                    let found = artists.iter().find(|artist| blocked.contains(&artist.id));
                    assert!(found.is_none(), "{}: {found:?} is blocked", describe(user, surface, &listed));
                }
            }
        }
    }
}

#[test]
fn a_hidden_track_takes_its_other_versions_along_and_comes_back_when_unhidden() {
    let court = Court::new(600, 12);
    let mut seen_back = 0;
    for user in &court.world.users {
        let Some(first) = court.ask(user, "top_mixes").tracks.first().cloned() else { continue };
        let hide = FeedbackEvent { track_id: Some(first.track_id.clone()), ..event(user, Action::HideTrack) };
        court.engine.feedback(vec![hide]).unwrap();
        let recording = &court.tracks[&first.track_id].recording_id;
        for surface in SURFACES {
            let list = court.ask(user, surface);
            let back =
                list.tracks.iter().find(|listed| court.tracks[&listed.track_id].recording_id == *recording);
            assert_eq!(back.map(|listed| &listed.track_id), None, "{} {surface}", user.user_id);
        }
        let later = Some(Timestamp(AS_OF.0 + 1));
        let unhide = FeedbackEvent {
            track_id: Some(first.track_id.clone()),
            at: later,
            ..event(user, Action::UnhideTrack)
        };
        court.engine.feedback(vec![unhide]).unwrap();
        let list = court.ask(user, "top_mixes");
        seen_back += usize::from(list.tracks.iter().any(|listed| listed.track_id == first.track_id));
    }
    assert!(seen_back >= 8, "unhiding brought back {seen_back} of 12 tracks");
}

#[test]
fn changes_of_the_catalogue_and_the_listener_are_obeyed_at_once() {
    let court = Court::new(600, 10);
    for user in &court.world.users {
        let list = court.ask(user, "top_mixes");
        let [taken_down, locked, explicit] =
            [0, 1, 2].map(|at| list.tracks.get(at).map(|listed| &court.tracks[&listed.track_id]));
        let (Some(taken_down), Some(locked), Some(explicit)) = (taken_down, locked, explicit) else {
            continue;
        };
        let (known, _) = court.engine.delete_tracks(std::slice::from_ref(&taken_down.track_id)).unwrap();
        assert_eq!(known, 1);
        let locked = Track { regions: RegionSet::Only(Vec::new()), ..locked.clone() };
        let explicit = Track { explicit: Some(true), ..explicit.clone() };
        court.engine.upsert_tracks(vec![locked.clone(), explicit.clone()]).unwrap();
        court.engine.upsert_users(vec![User { filter_explicit: true, ..user.clone() }]).unwrap();
        for surface in SURFACES {
            for listed in court.ask(user, surface).tracks {
                assert_ne!(
                    listed.track_id,
                    taken_down.track_id,
                    "taken down: {}",
                    describe(user, surface, &listed)
                );
                assert_ne!(listed.track_id, locked.track_id, "locked: {}", describe(user, surface, &listed));
                assert_ne!(
                    listed.track_id,
                    explicit.track_id,
                    "explicit: {}",
                    describe(user, surface, &listed)
                );
            }
        }
        // The next listener starts from the catalogue as it was.
        let restored = [taken_down, &court.tracks[&locked.track_id], &court.tracks[&explicit.track_id]];
        court.engine.upsert_tracks(restored.map(Track::clone).to_vec()).unwrap();
    }
}

#[test]
fn similar_obeys_the_rules_of_the_listener_it_is_asked_for() {
    let court = Court::new(900, 30);
    for user in &court.world.users {
        let seed_track = &court.world.tracks[7];
        let similar = SimilarRequest {
            space: Some(crate::support::space("audio")),
            k: 50,
            user_id: Some(user.user_id.clone()),
            as_of: Some(AS_OF),
            ..SimilarRequest::new(vec![(seed_track.track_id.clone(), 1.0)])
        };
        let list = court.engine.similar(similar).unwrap();
        for listed in &list.tracks {
            let track = &court.tracks[&listed.track_id];
            assert_eq!(court.forbidden(user, track), None, "{}", describe(user, "similar", listed));
            assert_ne!(track.recording_id, seed_track.recording_id, "{}", describe(user, "similar", listed));
        }
        let allowed = court.tracks.values().filter(|track| court.forbidden(user, track).is_none());
        let recordings: HashSet<_> = allowed.map(|track| &track.recording_id).collect();
        let other = recordings.len() - usize::from(recordings.contains(&seed_track.recording_id));
        assert!(list.tracks.len() >= other.min(50), "{}: {} of {other}", user.user_id, list.tracks.len());
    }
}

#[test]
fn a_shown_list_stays_away_for_its_weeks() {
    let court = Court::new(1_500, 12);
    for user in &court.world.users {
        let first = court.ask(user, "discover_weekly");
        let shown =
            FeedbackEvent { impression: Some(first.impression.clone()), ..event(user, Action::Served) };
        court.engine.feedback(vec![shown.clone()]).unwrap();
        let next_week = Timestamp(AS_OF.0 + 7 * DAY_MS);
        let again = RecommendRequest { as_of: Some(next_week), ..request(user, "discover_weekly") };
        let again = court.engine.recommend(again).unwrap();
        let recordings: HashSet<_> =
            first.tracks.iter().map(|listed| &court.tracks[&listed.track_id].recording_id).collect();
        let repeated = again
            .tracks
            .iter()
            .filter(|listed| recordings.contains(&court.tracks[&listed.track_id].recording_id))
            .count();
        assert!(
            repeated == 0 || !again.relaxed.is_empty(),
            "{}: {repeated} shown again, and nothing said",
            user.user_id
        );
        let (new, _) = court.engine.feedback(vec![shown]).unwrap();
        assert_eq!(new, [false], "the same impression counts once");
    }
}
