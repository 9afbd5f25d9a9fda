//! The listener of a request: their state, and what is derived from it, kept between requests while it stands still.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::exclusions::ExclusionSets;
use super::facts::{HeardEvent, TrackFacts};
use super::folded_in::FoldedIn;
use super::profile::{ProfileContext, SESSION_SILENCE_MIN, Session, TasteProfile};
use super::reader::Reader;
use super::request::RequestContext;
use super::signals::{HALF_LIFE_DAYS, Signal, signal};
use super::sources::TastePoints;
use crate::error::{Error, Result};
use crate::filter::RuleClass;
use crate::storage::track_shard::KeyMap;
use crate::storage::user_shard::{PlayRecord, UserView};
use crate::types::{ArtistKey, HOUR_MS, PlayAction, Timestamp, TrackRef, UserId};

/// Listeners kept in the cache.
const CACHED_MAX: usize = 4_096;
/// Favourites kept of a listener: what medoids are chosen from (PIPELINE.md §11).
const FAVORITES_MAX: usize = 50;

/// A track the listener likes, and how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Favorite {
    /// Which track.
    pub track: TrackRef,
    /// Sum of its events' weights, decayed.
    pub weight: f64,
}

/// What the stages know of a listener at one moment.
pub struct Listener {
    /// The stored state.
    pub state: Arc<UserView>,
    /// Events up to the moment, newest first, each with the place of its track in `facts`.
    history: Vec<(PlayRecord, usize)>,
    facts: Vec<TrackFacts>,
    /// Taste of the last 90 days.
    pub profile: TasteProfile,
    /// The best liked tracks, best first.
    pub favorites: Vec<Favorite>,
    /// Plays up to the moment: maturity.
    pub plays: u32,
    /// What they must not, or need not, be shown again.
    pub(super) exclusions: ExclusionSets,
    /// The points their taste is asked with, by space.
    pub(super) points: TastePoints,
    /// The vector they were given last, if it had to be solved.
    pub(super) folded_in: FoldedIn,
}

/// What a listener's derived state depends on, besides the stored state itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    /// Version of the catalogue.
    epoch: u64,
    /// The hour of the request, rounded up: windows and decay move by the hour.
    hour: i64,
    /// Events of the future, which do not count.
    future: usize,
    utc_offset_min: i32,
}

impl Key {
    fn of(reader: &Reader<'_>, state: &UserView, as_of: Timestamp, context: &RequestContext) -> Self {
        Self {
            epoch: reader.catalogue_epoch(),
            hour: as_of.0.div_euclid(HOUR_MS) + 1,
            future: state.plays.partition_point(|play| play.at > as_of),
            utc_offset_min: context.utc_offset_min,
        }
    }
}

/// A listener's stored state, what the rest depends on, and what was derived.
type Entries = HashMap<UserId, (Arc<UserView>, Key, Arc<Listener>)>;

/// Derived state of active listeners.
#[derive(Default)]
pub struct ListenerCache {
    entries: Mutex<Entries>,
}

impl ListenerCache {
    /// What was derived of this very state, if it is kept.
    fn find(&self, user: &UserId, state: &Arc<UserView>, key: &Key) -> Option<Arc<Listener>> {
        let entries = self.entries.lock();
        let (of, known, listener) = entries.get(user)?;
        (Arc::ptr_eq(of, state) && known == key).then(|| Arc::clone(listener))
    }
}

impl Listener {
    /// Loads the listener of a request, and keeps what was derived.
    ///
    /// # Errors
    /// `NotFound` for an unknown user; damaged files.
    pub fn load(
        reader: &Reader<'_>,
        user: &UserId,
        as_of: Timestamp,
        context: &RequestContext,
    ) -> Result<Arc<Self>> {
        let state =
            reader.users.view(user).map_err(Error::from)?.ok_or_else(|| Error::not_found("user", user))?;
        let key = Key::of(reader, &state, as_of, context);
        if let Some(known) = reader.caches.listeners.find(user, &state, &key) {
            return Ok(known);
        }
        let listener = Arc::new(Self::derive(reader, Arc::clone(&state), &key)?);
        if !reader.is_whole() {
            return Ok(listener);
        }
        let mut entries = reader.caches.listeners.entries.lock();
        if entries.len() >= CACHED_MAX {
            entries.clear();
        }
        entries.insert(user.clone(), (state, key, Arc::clone(&listener)));
        Ok(listener)
    }

    /// As [`Listener::load`], keeping nothing that is not kept already.
    ///
    /// # Errors
    /// As [`Listener::load`].
    pub fn load_once(
        reader: &Reader<'_>,
        user: &UserId,
        as_of: Timestamp,
        context: &RequestContext,
    ) -> Result<Arc<Self>> {
        let state = reader.users.view_once(user).map_err(Error::from)?;
        let state = state.ok_or_else(|| Error::not_found("user", user))?;
        let key = Key::of(reader, &state, as_of, context);
        match reader.caches.listeners.find(user, &state, &key) {
            Some(known) => Ok(known),
            None => Ok(Arc::new(Self::derive(reader, state, &key)?)),
        }
    }

    fn derive(reader: &Reader<'_>, state: Arc<UserView>, key: &Key) -> Result<Self> {
        let hour_end = Timestamp(key.hour.saturating_mul(HOUR_MS));
        let (history, tracks) = places(&state, key.future);
        let facts = reader.facts(tracks)?;
        let history = in_order(history, &facts);
        let context = ProfileContext {
            as_of: hour_end,
            utc_offset_min: key.utc_offset_min,
            taxonomy_size: reader.taxonomy_size()?,
            half_life_days: HALF_LIFE_DAYS,
            first_seen: state.user.registered_at,
        };
        let events = history.iter().map(|(play, place)| heard(play, &facts[*place]));
        let profile = TasteProfile::from_history(events, &context);
        let favorites = favorites(&history, &facts, hour_end);
        let future_plays =
            state.plays[..key.future].iter().filter(|play| counts_as_play(play)).count() as u64;
        let plays = u32::try_from(state.plays_total.saturating_sub(future_plays)).unwrap_or(u32::MAX);
        let (exclusions, points) = (ExclusionSets::default(), TastePoints::default());
        let folded_in = FoldedIn::default();
        Ok(Self { state, history, facts, profile, favorites, plays, exclusions, points, folded_in })
    }

    /// The listener's events with facts, newest first.
    pub fn events(&self) -> impl Iterator<Item = HeardEvent<'_>> {
        self.history.iter().map(|(play, place)| heard(play, &self.facts[*place]))
    }

    /// Whether a vector that was solved is kept.
    #[cfg(test)]
    pub(crate) fn has_solved_vector(&self) -> bool {
        self.folded_in.is_kept()
    }

    /// What they are doing now.
    #[must_use]
    pub fn session(&self, as_of: Timestamp) -> Session<'_> {
        // Newest first: what lies behind the first silence is not looked at.
        let mut newer = as_of;
        let recent = self.events().skip_while(|event| event.at > as_of).take_while(|event| {
            let silence = newer.0.saturating_sub(event.at.0);
            newer = event.at;
            silence <= SESSION_SILENCE_MIN * 60_000
        });
        Session::from_history(recent, as_of)
    }

    /// Who hears the same tracks by region and explicit filter.
    #[must_use]
    pub fn rule_class(&self) -> RuleClass {
        RuleClass::Listener {
            region: self.state.user.region,
            filter_explicit: self.state.user.filter_explicit,
        }
    }

    /// Blocked artists as keys.
    pub fn blocked_artists(&self) -> impl Iterator<Item = ArtistKey> + '_ {
        self.state.user.blocked_artists.iter().map(|id| ArtistKey::of(id.as_str()))
    }

    /// Heard tracks, longest not heard first: the order in which the window gives way.
    #[must_use]
    pub fn heard_oldest_first(&self) -> Vec<(Timestamp, TrackRef)> {
        let heard = &self.state.heard;
        let mut rows: Vec<(Timestamp, TrackRef)> =
            heard.last.iter().copied().zip(heard.tracks.iter().copied()).collect();
        rows.sort_unstable();
        rows
    }

    /// Tracks of served lists, longest not served first: the order in which that window gives way.
    #[must_use]
    pub fn served_oldest_first(&self) -> Vec<(Timestamp, TrackRef)> {
        let lists = self.state.served.iter().rev();
        lists.flat_map(|list| list.tracks.iter().map(|shown| (list.at, shown.track))).collect()
    }
}

/// The events from the newest that counts on, each with the place of its track in the list of tracks, which stand there
/// in the order of their newest events.
fn places(state: &UserView, future: usize) -> (Vec<(PlayRecord, usize)>, Vec<TrackRef>) {
    let mut place_of: KeyMap<usize> = KeyMap::default();
    let mut tracks = Vec::new();
    let mut history = Vec::with_capacity(state.plays.len().saturating_sub(future));
    for play in state.plays.iter().skip(future) {
        let place = *place_of.entry(spread(play.track)).or_insert(tracks.len());
        if place == tracks.len() {
            tracks.push(play.track);
        }
        history.push((*play, place));
    }
    (history, tracks)
}

/// A number of its own for each track, with bits that a map of keys can use.
fn spread(track: TrackRef) -> u64 {
    track.packed().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Events at the same moment by the keys of their tracks: the order they are stored in goes by places.
fn in_order(mut history: Vec<(PlayRecord, usize)>, facts: &[TrackFacts]) -> Vec<(PlayRecord, usize)> {
    for same in history.chunk_by_mut(|a, b| a.0.at == b.0.at).filter(|same| same.len() > 1) {
        same.sort_by_key(|(_, place)| facts[*place].key);
    }
    history
}

fn heard<'a>(play: &PlayRecord, facts: &'a TrackFacts) -> HeardEvent<'a> {
    HeardEvent { at: play.at, listened_ms: play.listened_ms, action: play.action, facts }
}

fn counts_as_play(play: &PlayRecord) -> bool {
    matches!(play.action, PlayAction::Play | PlayAction::Repeat)
}

/// Tracks by the sum of what their events say, best first, ties by key; tracks mostly skipped are no favourites.
fn favorites(history: &[(PlayRecord, usize)], facts: &[TrackFacts], as_of: Timestamp) -> Vec<Favorite> {
    let mut weights = vec![0.0; facts.len()];
    for (play, place) in history {
        let age_days = as_of.days_since(play.at);
        let duration_ms = facts[*place].duration_ms;
        weights[*place] += match signal(play.action, play.listened_ms, duration_ms, age_days, HALF_LIFE_DAYS)
        {
            Signal::Like(weight) => weight,
            Signal::Dislike(weight) => -weight,
        };
    }
    let mut liked: Vec<(&TrackFacts, f64)> =
        facts.iter().zip(weights).filter(|(_, weight)| *weight > 0.0).collect();
    liked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.key.cmp(&b.0.key)));
    liked.truncate(FAVORITES_MAX);
    liked.into_iter().map(|(facts, weight)| Favorite { track: facts.track, weight }).collect()
}
