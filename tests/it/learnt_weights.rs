//! Blend weights that are learnt from what was shown: a population whose rewards come mostly from one source.

use std::collections::{BTreeMap, BTreeSet};

use segue::pipeline::recipe::{HeardWindow, RecipePatch, Source, SourceSpec};
use segue::pipeline::request::{RecommendRequest, Recommendation, RecommendedTrack, SourceScore};
use segue::types::{Action, DAY_MS, FeedbackEvent, SplitMix64, Surface, Timestamp, TrackId, User};

use crate::discovery::{Place, event};
use crate::support::{AS_OF, seed};

/// What the population likes, and what else is on offer.
const LIKED: Source = Source::Audio;
const SOURCES: [Source; 4] = [Source::Collaborative, Source::Content, Source::Audio, Source::Trending];
/// The chance that a listener saves a track that the liked source offers, and any other.
const CHANCES: (f64, f64) = (0.8, 0.1);

/// What is asked for: a list by the blend alone, by a recipe that weighs every source alike.
#[derive(Clone, Copy)]
struct Ask {
    length: u32,
    depth: u32,
    heard: HeardWindow,
}

/// Lists of what was never heard, and short offers: few tracks are offered by several sources.
const DISCOVERY: Ask = Ask { length: 10, depth: 30, heard: HeardWindow::Ever };
/// Favourites come back, and what is saved is soon offered by every source.
const FAMILIAR: Ask = Ask { length: 20, depth: 100, heard: HeardWindow::Allowed };

impl Ask {
    fn patch(self, sources: &[Source], learned_weights: bool) -> RecipePatch {
        let spec = |source: &Source| SourceSpec { source: *source, depth: self.depth, weights: [1.0; 3] };
        RecipePatch {
            n: Some(self.length),
            sources: Some(sources.iter().map(spec).collect()),
            learned_weights: Some(learned_weights),
            heard: Some(self.heard),
            exploration_rate: Some(0.0),
            personal_weight: Some(0.0),
            mmr_lambda: Some(1.0),
            artist_cap: Some(0),
            album_cap: Some(0),
            sequence: Some(false),
            ..RecipePatch::default()
        }
    }
}

/// Listeners whom every source has something to offer: they have plays (not half of all there is) and a vector, and do not
/// block almost everybody.
fn population(place: &Place) -> Vec<&User> {
    let users = place.world.users.iter().enumerate();
    let full = |at: usize, user: &User| {
        (1..5).contains(&(at % 6)) && at % 10 != 9 && user.blocked_artists.len() < 10
    };
    users.filter(|(at, user)| full(*at, user)).map(|(_, user)| user).collect()
}

fn at(day: i64) -> Timestamp {
    Timestamp(AS_OF.0 + day * DAY_MS)
}

fn ask(place: &Place, user: &User, day: i64, patch: RecipePatch) -> Recommendation {
    let request = RecommendRequest {
        as_of: Some(at(day)),
        request_id: Some(format!("{day}/{}", user.user_id)),
        explain: true,
        offers: true,
        overrides: patch,
        ..RecommendRequest::new(user.user_id.clone(), Surface::new("anywhere").unwrap())
    };
    place.engine.recommend(request).unwrap()
}

fn offered(list: &Recommendation, source: Source) -> BTreeSet<TrackId> {
    let of = list.offers.iter().filter(|offer| offer.source == source.as_str());
    of.flat_map(|offer| offer.tracks.iter().map(|(track, _)| track.clone())).collect()
}

/// The share of each source in the learnt weights of a listener: told by the tracks of a list so long that every source is in.
fn weights(place: &Place, user: &User, day: i64, asked: Ask) -> BTreeMap<String, f64> {
    let all = Ask { length: 3 * asked.depth, ..asked };
    let list = ask(place, user, day, all.patch(&SOURCES, true));
    let parts = list.tracks.iter().filter_map(|track| track.explanation.as_ref());
    let parts = parts.flat_map(|parts| &parts.sources);
    let found: BTreeMap<String, f64> = parts.map(|part| (part.source.clone(), part.weight)).collect();
    assert!(found.len() == SOURCES.len() && found.values().all(|weight| *weight >= 0.0), "{found:?}");
    let total: f64 = found.values().sum();
    found.into_iter().map(|(name, weight)| (name, weight / total)).collect()
}

/// The source that contributed most to a track: the one its reward is put down to.
fn main_source(track: &RecommendedTrack) -> &str {
    let parts = &track.explanation.as_ref().unwrap().sources;
    let said = |part: &SourceScore| part.normalized * part.weight;
    let best = parts.iter().reduce(|best, next| if said(next) > said(best) { next } else { best });
    best.map_or("", |part| &part.source)
}

/// The list is shown; each of its tracks is saved with its chance, and skipped otherwise.
fn shown(
    list: &Recommendation,
    user: &User,
    day: i64,
    chance: impl Fn(&RecommendedTrack) -> f64,
    rng: &mut SplitMix64,
) -> Vec<FeedbackEvent> {
    let user = user.user_id.as_str();
    let served = Timestamp(at(day).0 + 60_000);
    let impression = Some(list.impression.clone());
    let mut events = vec![FeedbackEvent { impression, ..event(user, Action::Served, served) }];
    for (minute, track) in (1..).zip(&list.tracks) {
        let action = if rng.uniform() < chance(track) { Action::Save } else { Action::Skip };
        events.push(FeedbackEvent {
            track_id: Some(track.track_id.clone()),
            listened_ms: Some(5_000),
            ..event(user, action, Timestamp(served.0 + minute * 60_000))
        });
    }
    events
}

/// What ten days of lists brought about.
struct Learnt {
    /// Mean share of the liked source in the learnt weights.
    share: f64,
    /// Mean expected reward of a track of lists by learnt weights, by the recipe's, and by the best source alone.
    learnt: f64,
    default: f64,
    alone: f64,
    /// The mean of the saves of so many tracks has a standard error of `√(p(1−p)/tracks)`: a difference that two of these
    /// hide cannot be told from none.
    noise: f64,
}

/// Five days of lists by the recipe's weights, five by what was learnt so far; then lists are compared by the expected reward
/// of their tracks.
fn simulated(asked: Ask, default_seed: u64) -> Learnt {
    let place = Place::new();
    let mut rng = SplitMix64::new(seed(default_seed));
    let users = population(&place);
    let chance = |track: &TrackId, liked: &BTreeSet<TrackId>| {
        if liked.contains(track) { CHANCES.0 } else { CHANCES.1 }
    };
    for day in 0..10 {
        for user in &users {
            let list = ask(&place, user, day, asked.patch(&SOURCES, day >= 5));
            let liked = offered(&list, LIKED);
            let events = shown(&list, user, day, |track| chance(&track.track_id, &liked), &mut rng);
            place.engine.feedback(events).unwrap();
        }
        place.engine.refresh_statistics().unwrap();
    }
    let mut rewards: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut shares = Vec::new();
    for user in &users {
        let learnt = ask(&place, user, 10, asked.patch(&SOURCES, true));
        let liked = offered(&learnt, LIKED);
        let mut add = |name: &'static str, list: &Recommendation| {
            let tracks = list.tracks.iter().map(|track| chance(&track.track_id, &liked));
            rewards.entry(name).or_default().push(tracks.sum::<f64>() / list.tracks.len() as f64);
        };
        add("learnt", &learnt);
        add("default", &ask(&place, user, 10, asked.patch(&SOURCES, false)));
        for source in SOURCES {
            add(source.as_str(), &ask(&place, user, 10, asked.patch(&[source], false)));
        }
        shares.push(weights(&place, user, 10, asked)[LIKED.as_str()]);
    }
    let mean = |rows: &[f64]| rows.iter().sum::<f64>() / rows.len() as f64;
    let means: BTreeMap<&str, f64> = rewards.iter().map(|(name, rows)| (*name, mean(rows))).collect();
    let alone = SOURCES.map(|source| means[source.as_str()]).into_iter().fold(0.0, f64::max);
    let tracks = asked.length as usize * users.len();
    let noise = 2.0 * (alone * (1.0 - alone) / tracks as f64).sqrt();
    let share = mean(&shares);
    eprintln!("{tracks} tracks, weight of {} {share:.3}, rewards {means:.3?} ± {noise:.3}", LIKED.as_str());
    assert_eq!(alone, means[LIKED.as_str()], "the liked source is the best one");
    Learnt { share, learnt: means["learnt"], default: means["default"], alone, noise }
}

/// Goal: learnt weights go where the rewards come from, and lists by them are as good as the best source alone.
#[test]
fn weights_learnt_from_what_was_shown_go_to_the_source_whose_tracks_are_liked() {
    let Learnt { share, learnt, default, alone, noise } = simulated(DISCOVERY, 0x1EA4);
    assert!(share > 0.6, "a quarter before, {share:.3} after");
    assert!(learnt > alone - noise, "learnt {learnt:.4}, the best source alone {alone:.4} ± {noise:.4}");
    assert!(learnt > default + noise, "learnt {learnt:.4}, by default {default:.4} ± {noise:.4}");
}

/// A reward is put down to the source that contributed most to a track (docs/adr/0020). Where the others offer the liked tracks,
/// too, they look nearly as good, and weights hardly move: lists get better, not as good as they could be.
#[test]
fn lists_get_better_even_where_every_source_offers_what_is_liked() {
    let Learnt { share, learnt, default, .. } = simulated(FAMILIAR, 0x1EA6);
    assert!(share > 0.25, "a quarter before, {share:.3} after");
    assert!(learnt > default, "learnt {learnt:.4}, by default {default:.4}");
}

/// Goal: a listener who is unlike everybody gets their own weights little by little, by `n/(n+50)` of their impressions;
/// one of whom nothing is known has everybody's.
#[test]
fn a_listener_unlike_everybody_moves_away_from_everybodys_weights_as_they_are_shown_more() {
    let place = Place::new();
    let mut rng = SplitMix64::new(seed(0x1EA5));
    let users = population(&place);
    let (odd, newcomer, others) = (users[0], users[1], &users[2..]);
    let flat = || FAMILIAR.patch(&SOURCES, false);
    for day in 0..4 {
        for user in others {
            let list = ask(&place, user, day, flat());
            let liked = offered(&list, LIKED);
            let chance = |track: &RecommendedTrack| f64::from(u8::from(liked.contains(&track.track_id)));
            place.engine.feedback(shown(&list, user, day, chance, &mut rng)).unwrap();
        }
    }
    place.engine.refresh_statistics().unwrap();
    let before = weights(&place, odd, 4, FAMILIAR);
    for (name, weight) in weights(&place, newcomer, 4, FAMILIAR) {
        assert!((weight - before[&name]).abs() < 1e-9, "{name}: {weight} of everybody, {}", before[&name]);
    }
    // The odd one likes what the trend is the first to offer, and nothing else: their own weights are all the trend's.
    let (mut seen, mut course) = (Vec::new(), Vec::new());
    let is_trend = |track: &RecommendedTrack| main_source(track) == Source::Trending.as_str();
    for day in 4..10 {
        let list = ask(&place, odd, day, flat());
        assert!(list.tracks.iter().any(is_trend), "day {day}");
        let events = shown(&list, odd, day, |track| f64::from(u8::from(is_trend(track))), &mut rng);
        seen.extend(list.tracks.iter().map(|_| events[0].at.unwrap()));
        place.engine.feedback(events).unwrap();
        let now = weights(&place, odd, day + 1, FAMILIAR);
        // Impressions count half after thirty days.
        let n: f64 = seen.iter().map(|shown| (-at(day + 1).days_since(*shown) / 30.0).exp2()).sum();
        for (name, weight) in &now {
            let own = f64::from(u8::from(name == Source::Trending.as_str()));
            let expected = n / (n + 50.0) * own + 50.0 / (n + 50.0) * before[name];
            assert!((weight - expected).abs() < 1e-6, "day {day}, {name}: {weight}, expected {expected}");
        }
        course.push(format!("{:.3}", now["trending"]));
    }
    eprintln!("weight of the trend: {:.3} of everybody, then {}", before["trending"], course.join(" "));
}
