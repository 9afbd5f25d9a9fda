//! What recipes do beyond nearness: releases, neighbours, rules of editors, friends, what is learnt from all listeners.

use std::collections::HashSet;

use segue::Segue;
use segue::pipeline::recipe::{
    Diversity, EditorialRule, RecipePatch, RuleCondition, RuleEffect, RuleTracks, Source, SourceSpec,
};
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{
    Action, Artist, DAY_MS, Date, FeedbackEvent, Surface, Timestamp, Track, TrackId, User, UserId,
};

use crate::support::{AS_OF, World, id, small_segments, track};

pub struct Place {
    pub folder: tempfile::TempDir,
    pub engine: Segue,
    pub world: World,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
        let world = World::generate(0xD15C, 1_200, 60);
        world.load(&engine);
        Self { folder, engine, world }
    }

    pub fn ask(&self, user: &str, surface: &str, overrides: RecipePatch) -> Recommendation {
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some(format!("{user}/{surface}")),
            explain: true,
            overrides,
            ..RecommendRequest::new(id(user), Surface::new(surface).unwrap())
        };
        self.engine.recommend(request).unwrap()
    }
}

/// A recipe of one source, without exploration.
pub fn only(source: Source) -> RecipePatch {
    let sources = vec![SourceSpec { source, depth: 100, weights: [1.0; 3] }];
    RecipePatch { sources: Some(sources), exploration_rate: Some(0.0), ..RecipePatch::default() }
}

pub fn event(user: &str, action: Action, at: Timestamp) -> FeedbackEvent {
    FeedbackEvent {
        user_id: id(user),
        action,
        track_id: None,
        artist_id: None,
        at: Some(at),
        listened_ms: None,
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    }
}

#[test]
fn a_radar_shows_followed_artists_first_and_then_their_neighbours_and_nothing_else() {
    let place = Place::new();
    let tracks = place.world.by_id();
    let mut seen = 0;
    for user in &place.world.users {
        let list = place.ask(user.user_id.as_str(), "release_radar", RecipePatch::default());
        let reasons: Vec<&str> = list.tracks.iter().map(|track| track.reason.as_str()).collect();
        if !list.tracks.iter().any(|track| track.sources.contains(&"new_releases".to_owned())) {
            continue;
        }
        seen += 1;
        for (track, reason) in list.tracks.iter().zip(&reasons) {
            let released = tracks[&track.track_id].release_date.unwrap();
            assert!((AS_OF.day() - 28..=AS_OF.day()).contains(&released.0), "{}", track.track_id);
            let said = reason.trim_start_matches("exploration: ");
            assert!(
                said.starts_with("new from ") || said.starts_with("new, by an artist close to "),
                "{reason}"
            );
            let follows =
                tracks[&track.track_id].artists.iter().any(|a| user.followed_artists.contains(&a.id));
            assert_eq!(follows, said.ends_with("whom you follow"), "{reason}");
        }
        let shorter = list.degraded.iter().any(|word| word.contains("no more were released within 28 days"));
        assert_eq!(list.tracks.len() < 30, shorter, "{:?}", list.degraded);
    }
    assert!(seen > 30, "only {seen} listeners had releases");
}

#[test]
fn adjacent_artists_are_strangers_near_known_ones_without_their_hits() {
    let place = Place::new();
    let tracks = place.world.by_id();
    let mut listed = 0;
    for user in place.world.users.iter().filter(|user| user.blocked_artists.len() < 10) {
        let list = place.ask(user.user_id.as_str(), "anywhere", only(Source::AdjacentArtists));
        for track in list.tracks.iter().filter(|track| track.sources == ["adjacent_artists"]) {
            assert!(track.reason.starts_with("by an artist close to Artist "), "{}", track.reason);
            let artist = &tracks[&track.track_id].artists;
            let by: Vec<_> =
                place.world.tracks.iter().filter(|t| t.artists.iter().any(|a| artist.contains(a))).collect();
            let better = by.iter().filter(|t| t.popularity > tracks[&track.track_id].popularity).count();
            assert!(better > 0, "a hit: {}", track.track_id);
            listed += 1;
        }
    }
    assert!(listed > 200, "{listed}");
}

#[test]
fn what_was_learnt_survives_a_restart_and_gives_the_same_bytes() {
    let place = Place::new();
    let surfaces = ["discover_weekly", "daily_mix", "release_radar", "radio"];
    // A start adds an entry of its own to the logs; what a list says of them is left out.
    let all = |place: &Place| -> Vec<Recommendation> {
        let users = place.world.users.iter().take(20);
        users
            .flat_map(|user| {
                surfaces.map(|surface| {
                    let list = place.ask(user.user_id.as_str(), surface, RecipePatch::default());
                    Recommendation { applied: Vec::new(), ..list }
                })
            })
            .collect()
    };
    let before = all(&place);
    assert!(
        before
            .iter()
            .any(|list| list.tracks.iter().any(|t| t.sources.contains(&"adjacent_artists".to_owned())))
    );
    assert!(
        before
            .iter()
            .any(|list| list.tracks.iter().any(|t| t.sources.contains(&"genre_exploration".to_owned())))
    );
    place.engine.shutdown().unwrap();
    let Place { folder, engine, world } = place;
    drop(engine);
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    let place = Place { folder, engine, world };
    assert_eq!(all(&place), before);
}

#[test]
fn a_rule_of_an_editor_adds_boosts_buries_and_pins_and_is_named() {
    let place = Place::new();
    let tracks = place.world.by_id();
    let rule = |effect, weight| EditorialRule {
        name: "jazz hour".to_owned(),
        when: RuleCondition::default(),
        tracks: RuleTracks { genres: vec!["jazz".to_owned()], ..RuleTracks::default() },
        effect,
        weight,
    };
    let jazz = |editorial: Vec<EditorialRule>, user: &User| {
        let mut patch =
            RecipePatch { editorial: Some(editorial), exploration_rate: Some(0.0), ..RecipePatch::default() };
        let spec = |source, weight| SourceSpec { source, depth: 100, weights: [weight; 3] };
        patch.sources =
            Some(vec![spec(Source::Audio, 1.0), spec(Source::Trending, 1.0), spec(Source::Rules, 0.0)]);
        let list = place.ask(user.user_id.as_str(), "anywhere", patch);
        let is_jazz = |track: &&segue::pipeline::request::RecommendedTrack| {
            tracks[&track.track_id].genres.iter().any(|tag| tag.genre == "jazz")
        };
        let named = list.tracks.iter().filter(|track| track.reason == "editors' choice: jazz hour").count();
        (list.tracks.iter().filter(is_jazz).count(), named)
    };
    let (mut plain, mut boosted, mut buried, mut pinned) = (0, 0, 0, 0);
    for user in place.world.users.iter().filter(|user| user.blocked_artists.len() < 10) {
        plain += jazz(Vec::new(), user).0;
        boosted += jazz(vec![rule(RuleEffect::Boost, 1.0)], user).0;
        buried += jazz(vec![rule(RuleEffect::Bury, 1.0)], user).0;
        pinned += usize::from(jazz(vec![rule(RuleEffect::Pin, 1.0)], user).0 > 0);
    }
    assert!(buried < plain && plain < boosted, "{buried} {plain} {boosted}");
    let listeners = place.world.users.iter().filter(|user| user.blocked_artists.len() < 10).count();
    assert!(pinned * 10 >= listeners * 9, "{pinned} of {listeners}");
}

#[test]
fn friends_are_looked_at_only_with_consent_on_both_sides() {
    let place = Place::new();
    let (me, friend) = (place.world.users[2].clone(), place.world.users[3].clone());
    let shared: TrackId = id("t7");
    let heard = FeedbackEvent {
        track_id: Some(shared.clone()),
        listened_ms: Some(400_000),
        ..event(friend.user_id.as_str(), Action::Play, Timestamp(AS_OF.0 - 3 * DAY_MS))
    };
    place.engine.feedback(vec![heard]).unwrap();
    let offered = |mine: bool, theirs: bool, mutual: bool| {
        let open = |user: &User, consent, friends: Vec<UserId>| User {
            social_consent: consent,
            friends,
            region: None,
            filter_explicit: false,
            blocked_artists: Vec::new(),
            blocked_tracks: Vec::new(),
            ..user.clone()
        };
        let back = if mutual { vec![me.user_id.clone()] } else { Vec::new() };
        let users = vec![open(&me, mine, vec![friend.user_id.clone()]), open(&friend, theirs, back)];
        place.engine.upsert_users(users).unwrap();
        let list = place.ask(me.user_id.as_str(), "top_mixes", only(Source::Social));
        list.tracks.iter().filter(|track| track.sources == ["social"]).count()
    };
    assert!(offered(true, true, true) > 0);
    assert_eq!((offered(false, true, true), offered(true, false, true)), (0, 0));
    assert_eq!(offered(true, true, false), 0, "one friend who is not close is not enough");
}

#[test]
fn a_determinantal_list_is_more_varied_and_obeys_the_same_caps() {
    let place = Place::new();
    let tracks = place.world.by_id();
    for user in place.world.users.iter().filter(|user| user.blocked_artists.len() < 10).take(12) {
        let patch = RecipePatch { diversity: Some(Diversity::Dpp), ..RecipePatch::default() };
        let list = place.ask(user.user_id.as_str(), "top_mixes", patch);
        assert_eq!(list.tracks.len(), 30);
        if list.relaxed.iter().all(|words| !words.contains("artist cap")) {
            let mut counts = std::collections::HashMap::new();
            for track in &list.tracks {
                *counts.entry(&tracks[&track.track_id].artists[0].id).or_insert(0) += 1;
            }
            assert!(counts.values().all(|count| *count <= 2), "{counts:?}");
        }
    }
}

#[test]
fn every_listener_gets_a_sensible_list_whatever_is_known_of_them() {
    let place = Place::new();
    let mut users = vec![User::unknown(id("nobody")), User::unknown(id("chooser"))];
    users[1].onboarding_artists = vec![id("a3")];
    users[1].onboarding_genres = vec!["jazz".to_owned()];
    place.engine.upsert_users(users).unwrap();
    for surface in ["radio", "top_mixes", "daily_mix", "discover_weekly", "made_for_you", "home"] {
        let nobody = place.ask("nobody", surface, RecipePatch::default());
        let chooser = place.ask("chooser", surface, RecipePatch::default());
        assert_eq!((nobody.cold_start.as_str(), chooser.cold_start.as_str()), ("popularity", "onboarding"));
        for list in [&nobody, &chooser] {
            let distinct: HashSet<&TrackId> = list.tracks.iter().map(|track| &track.track_id).collect();
            assert_eq!(distinct.len(), list.tracks.len());
            assert!(list.tracks.len() >= 10 && list.tracks.iter().all(|track| !track.reason.is_empty()));
        }
        // What was named at sign-up has a say in a list that asks by it, as thirty plays have.
        let weight = |list: &Recommendation| {
            let explained = list.tracks.iter().filter_map(|track| track.explanation.as_ref());
            let parts = explained.flat_map(|explanation| &explanation.sources);
            parts.filter(|part| part.source == "collaborative").map(|part| part.weight).fold(0.0, f64::max)
        };
        if ["daily_mix", "made_for_you", "home"].contains(&surface) {
            assert_eq!(weight(&nobody), 0.0, "{surface}");
            assert!(weight(&chooser) >= 0.3, "{surface}: {}", weight(&chooser));
        }
    }
}

#[test]
fn lists_against_the_mean_are_full_keep_the_caps_and_stand_in_the_order_of_relevance() {
    let place = Place::new();
    let tracks = place.world.by_id();
    for user in place.world.users.iter().take(30) {
        let patch = RecipePatch {
            diversity: Some(Diversity::Mean),
            mmr_lambda: Some(0.3),
            long_tail_share: Some(0.0),
            sequence: Some(false),
            exploration_rate: Some(0.0),
            artist_cap: Some(2),
            n: Some(15),
            ..RecipePatch::default()
        };
        let list = place.ask(user.user_id.as_str(), "made_for_you", patch);
        assert_eq!(list.tracks.len(), 15);
        if !list.relaxed.is_empty() {
            continue;
        }
        assert!(list.tracks.is_sorted_by(|a, b| a.score >= b.score), "{}", user.user_id);
        let mut counts = std::collections::HashMap::new();
        for track in &list.tracks {
            *counts.entry(&tracks[&track.track_id].artists[0].id).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| *count <= 2), "{counts:?}");
    }
}

#[test]
fn a_short_radar_holds_every_release_of_a_followed_artist_whatever_the_caps_say() {
    let place = Place::new();
    let artist = Artist { id: id("a-new-band"), name: "A New Band".to_owned() };
    let release = |number: u64| Track {
        artists: vec![artist.clone()],
        album_id: Some(id("debut")),
        release_date: Some(Date(AS_OF.day() - 3)),
        ..track(9_000 + number, 0)
    };
    place.engine.upsert_tracks((0..7).map(release).collect()).unwrap();
    let fan = User { followed_artists: vec![artist.id.clone()], ..User::unknown(id("fan")) };
    place.engine.upsert_users(vec![fan]).unwrap();
    let list = place.ask("fan", "release_radar", RecipePatch::default());
    let theirs = list.tracks.iter().filter(|track| track.artists == ["A New Band"]).count();
    assert_eq!((theirs, list.tracks.len()), (7, 7));
    assert!(list.tracks[..3].iter().all(|track| !track.explored));
    assert!(list.relaxed.iter().any(|words| words.contains("artist cap")), "{:?}", list.relaxed);
    assert!(list.degraded.iter().any(|words| words.contains("no more were released")), "{:?}", list.degraded);
}

#[test]
fn no_list_explores_in_its_first_three_places_however_short_it_is() {
    let place = Place::new();
    let (mut short, mut explored) = (0, 0);
    for user in &place.world.users {
        for surface in ["discover_weekly", "release_radar", "daily_mix", "radio"] {
            let list = place.ask(user.user_id.as_str(), surface, RecipePatch::default());
            short += usize::from(list.tracks.len() < 10);
            explored += list.tracks.iter().filter(|track| track.explored).count();
            let first = list.tracks.iter().take(3);
            assert!(first.clone().all(|track| !track.explored), "{surface} of {}", user.user_id);
        }
    }
    assert!(short >= 5 && explored > 100, "{short} short lists, {explored} explored tracks");
}
