//! The listener of a request: their state, and what is derived from it, kept between requests while it stands still.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::facts::{HeardEvent, TrackFacts};
use super::profile::{ProfileContext, Session, TasteProfile};
use super::reader::Reader;
use super::recipe::HeardWindow;
use super::request::RequestContext;
use super::signals::{HALF_LIFE_DAYS, Signal, signal};
use crate::error::{Error, Result};
use crate::filter::RuleClass;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::segment::PostingField;
use crate::storage::user_shard::{PlayRecord, UserView};
use crate::types::{ArtistKey, HOUR_MS, PlayAction, ShardId, Timestamp, TrackRef, UserId};

/// Listeners kept in the cache.
const CACHED_MAX: usize = 4_096;
/// Favourites kept of a listener: what medoids are chosen from.
const FAVORITES_MAX: usize = 200;

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
}

/// What a listener's derived state depends on, besides the stored state itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    /// Sum of the shards' catalogue epochs.
    epoch: u64,
    /// The hour of the request, rounded up: windows and decay move by the hour.
    hour: i64,
    /// Events of the future, which do not count.
    future: usize,
    utc_offset_min: i32,
}

/// A listener's stored state, what the rest depends on, and what was derived.
type Entries = HashMap<UserId, (Arc<UserView>, Key, Arc<Listener>)>;

/// Derived state of active listeners.
#[derive(Default)]
pub struct ListenerCache {
    entries: Mutex<Entries>,
}

impl Listener {
    /// Loads the listener of a request.
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
        let key = Key {
            epoch: reader.catalogue_epoch(),
            hour: as_of.0.div_euclid(HOUR_MS) + 1,
            future: state.plays.partition_point(|play| play.at > as_of),
            utc_offset_min: context.utc_offset_min,
        };
        let cache = &reader.caches.listeners.entries;
        if let Some((of, known, listener)) = cache.lock().get(user)
            && Arc::ptr_eq(of, &state)
            && *known == key
        {
            return Ok(Arc::clone(listener));
        }
        let listener = Arc::new(Self::derive(reader, Arc::clone(&state), &key)?);
        let mut entries = cache.lock();
        if entries.len() >= CACHED_MAX {
            entries.clear();
        }
        entries.insert(user.clone(), (state, key, Arc::clone(&listener)));
        Ok(listener)
    }

    fn derive(reader: &Reader<'_>, state: Arc<UserView>, key: &Key) -> Result<Self> {
        let hour_end = Timestamp(key.hour.saturating_mul(HOUR_MS));
        let mut places: BTreeMap<TrackRef, usize> = BTreeMap::new();
        let mut facts = Vec::new();
        let mut history = Vec::new();
        for play in state.plays.iter().skip(key.future) {
            let place = match places.get(&play.track) {
                Some(place) => *place,
                None => {
                    facts.extend(reader.facts([play.track])?);
                    places.insert(play.track, facts.len() - 1);
                    facts.len() - 1
                }
            };
            history.push((*play, place));
        }
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
        Ok(Self { state, history, facts, profile, favorites, plays })
    }

    /// The listener's events with facts, newest first.
    pub fn events(&self) -> impl Iterator<Item = HeardEvent<'_>> {
        self.history.iter().map(|(play, place)| heard(play, &self.facts[*place]))
    }

    /// What they are doing now.
    #[must_use]
    pub fn session(&self, as_of: Timestamp) -> Session<'_> {
        Session::from_history(self.events(), as_of)
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

    /// Ordinals of one shard that must never be shown: blocked artists (any artist of a track), blocked tracks with all
    /// versions of their recordings.
    ///
    /// # Errors
    /// Damaged files.
    pub fn blocked(&self, view: &TrackView) -> Result<RoaringBitmap> {
        let mut blocked = RoaringBitmap::new();
        for artist in self.blocked_artists() {
            blocked |= view.postings(PostingField::Artist, artist.0)?;
        }
        let by_id = self.state.user.blocked_tracks.iter().filter_map(|id| view.ordinal_of(id.as_str()));
        let hidden =
            self.state.hidden.iter().filter(|track| track.shard == view.shard).map(|track| track.ordinal.0);
        by_id.chain(hidden).for_each(|ordinal| blocked.extend(view.versions(ordinal)));
        Ok(blocked)
    }

    /// Ordinals of one shard heard inside the window, with all versions of their recordings if `versions`.
    #[must_use]
    pub fn heard(
        &self,
        view: &TrackView,
        as_of: Timestamp,
        window: HeardWindow,
        versions: bool,
    ) -> RoaringBitmap {
        let days = match window {
            HeardWindow::Allowed => return RoaringBitmap::new(),
            HeardWindow::Days(days) => Some(days),
            HeardWindow::Ever => None,
        };
        let heard = &self.state.heard;
        let from = heard.tracks.partition_point(|track| track.shard < view.shard);
        let since = days.map_or(Timestamp(i64::MIN), |days| as_of.minus_days(i64::from(days)));
        let rows = heard.tracks[from..].iter().zip(&heard.last[from..]);
        rows.take_while(|(track, _)| track.shard == view.shard)
            .filter(|(_, last)| **last > since)
            .flat_map(|(track, _)| view.versions(track.ordinal.0).take(if versions { usize::MAX } else { 1 }))
            .collect()
    }

    /// Ordinals of one shard in lists served in the last `weeks`, with all versions of their recordings.
    #[must_use]
    pub fn served(&self, view: &TrackView, as_of: Timestamp, weeks: u16) -> RoaringBitmap {
        if weeks == 0 {
            return RoaringBitmap::new();
        }
        let tracks = self.state.served_within(as_of, weeks.saturating_mul(7));
        tracks
            .filter(|track| track.shard == view.shard)
            .flat_map(|track| view.versions(track.ordinal.0))
            .collect()
    }

    /// Heard tracks of a shard, longest not heard first: the order in which the window gives way.
    #[must_use]
    pub fn heard_oldest_first(&self, shard: ShardId) -> Vec<(Timestamp, u32)> {
        let heard = &self.state.heard;
        let mut rows: Vec<(Timestamp, u32)> = heard
            .tracks
            .iter()
            .zip(&heard.last)
            .filter(|(track, _)| track.shard == shard)
            .map(|(track, last)| (*last, track.ordinal.0))
            .collect();
        rows.sort_unstable();
        rows
    }
}

fn heard<'a>(play: &PlayRecord, facts: &'a TrackFacts) -> HeardEvent<'a> {
    HeardEvent { at: play.at, listened_ms: play.listened_ms, action: play.action, facts }
}

fn counts_as_play(play: &PlayRecord) -> bool {
    matches!(play.action, PlayAction::Play | PlayAction::Repeat)
}

/// Tracks by the sum of what their events say, best first, ties by track; tracks mostly skipped are no favourites.
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
    let mut favorites: Vec<Favorite> = facts
        .iter()
        .zip(weights)
        .filter(|(_, weight)| *weight > 0.0)
        .map(|(facts, weight)| Favorite { track: facts.track, weight })
        .collect();
    favorites.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.track.cmp(&b.track)));
    favorites.truncate(FAVORITES_MAX);
    favorites
}
