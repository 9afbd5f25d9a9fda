//! Everything a request needs to know of one listener, read once and shared.

use std::{collections::HashMap, ops::ControlFlow};

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::{
    command::{ServedList, ServedTrack, SlotChoice},
    engine::Snapshot,
    error::Result,
    history::{HistoryRow, decode_part, join_time},
    keys,
    rows::UserRecord,
    served::{ServedRow, decode_served},
    value::damaged,
    work::SERVED_DAYS,
};
use crate::types::{Action, PlayAction, Surface, Timestamp, TrackRef, User, UserId};

/// How far back [`UserView::plays`] reaches from its newest event.
pub const PLAYS_DAYS: i64 = 90;
/// How many events [`UserView::plays`] holds at most.
pub const PLAYS_MAX: usize = 10_000;
/// Events of a listener that there is room for from the start.
const PLAYS_USUAL: usize = 1_024;
/// How many outcomes [`UserView::explored_outcomes`] holds at most.
pub const EXPLORED_MAX: usize = 50;

/// One listening event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct PlayRecord {
    /// When.
    pub at: Timestamp,
    /// Which track.
    pub track: TrackRef,
    /// How long, in milliseconds.
    pub listened_ms: u32,
    /// What kind of event.
    pub action: PlayAction,
    /// Whether at least 80 % of the track was heard.
    pub completed: bool,
}

/// A list that was shown to the listener.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ServedRecord {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub surface: Surface,
    /// The impression's id.
    pub impression: String,
    /// What, first to last.
    pub tracks: Vec<ServedTrack>,
    /// How its exploration slots were chosen, by position; empty for lists of before this was kept.
    pub choices: Vec<(u32, SlotChoice)>,
}

/// What became of an exploration slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ExploredOutcome {
    /// When it was shown.
    pub at: Timestamp,
    /// The track.
    pub track: TrackRef,
    /// Whether the listener saved it, or played it for 30 s or to the end, at that time or later.
    pub success: bool,
}

/// Every track the listener ever heard, with the last time, by track.
///
/// Heard is what has a `play`, `skip`, `repeat` or `save` event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Heard {
    /// Ascending, each once.
    pub tracks: Vec<TrackRef>,
    /// The last event on the track in the same place.
    pub last: Vec<Timestamp>,
}

impl Heard {
    /// When a track was last heard.
    #[must_use]
    pub fn last_of(&self, track: TrackRef) -> Option<Timestamp> {
        self.tracks.binary_search(&track).ok().map(|place| self.last[place])
    }

    /// Tracks heard within so many days before `as_of` or after it, ascending; all ever heard when `days` is absent.
    /// A track heard exactly `days` ago is free again.
    pub fn within(&self, as_of: Timestamp, days: Option<u16>) -> impl Iterator<Item = TrackRef> + '_ {
        let since = days.map_or(Timestamp(i64::MIN), |days| as_of.minus_days(days.into()));
        let is_heard = move |last: Timestamp| last > since || since == Timestamp(i64::MIN);
        self.tracks.iter().zip(&self.last).filter(move |(_, last)| is_heard(**last)).map(|(track, _)| *track)
    }

    /// Of events in the order of time.
    fn of(mut events: Vec<(TrackRef, Timestamp)>) -> Self {
        // A stable sort: of equal tracks the last one stays the newest.
        events.sort_by_key(|(track, _)| *track);
        events.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = next.1;
            }
            same
        });
        let (tracks, last) = events.into_iter().unzip();
        Self { tracks, last }
    }
}

/// A listener as of one applied index. Immutable, shared, cached.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct UserView {
    /// The record in force: what upserts and feedback said of blocks, follows and the rest, in log order, the last
    /// word holding. Hidden tracks are among [`User::blocked_tracks`].
    pub user: User,
    /// Places of those blocked tracks that were hidden by feedback, sorted.
    pub hidden: Vec<TrackRef>,
    /// Plays, skips, saves and repeats, newest first: those of the [`PLAYS_DAYS`] before the newest, at most
    /// [`PLAYS_MAX`]. The others are read by [`UserShards::plays_until`](super::UserShards::plays_until).
    pub plays: Vec<PlayRecord>,
    /// Every track ever heard.
    pub heard: Heard,
    /// Tracks in the library, sorted: saved and not unsaved since, by event time.
    pub saved: Vec<TrackRef>,
    /// Lists shown in the 84 days before the newest one, newest first.
    pub served: Vec<ServedRecord>,
    /// Plays and repeats ever: the listener's maturity.
    pub plays_total: u64,
    /// The newest exploration slots shown and what became of them, newest first, at most [`EXPLORED_MAX`].
    pub explored_outcomes: Vec<ExploredOutcome>,
}

impl UserView {
    /// Skipped tracks, newest first.
    pub fn skips(&self) -> impl Iterator<Item = &PlayRecord> + '_ {
        self.plays.iter().filter(|play| play.action == PlayAction::Skip)
    }

    /// Tracks of the lists shown within so many days before `as_of` or after it, with repetitions.
    pub fn served_within(&self, as_of: Timestamp, days: u16) -> impl Iterator<Item = TrackRef> + '_ {
        let since = as_of.minus_days(days.into());
        self.served
            .iter()
            .take_while(move |list| list.at > since)
            .flat_map(|list| list.tracks.iter().map(|served| served.track))
    }

    /// Memory in use, roughly.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let served: usize = self
            .served
            .iter()
            .map(|list| 128 + size_of_val(list.tracks.as_slice()) + size_of_val(list.choices.as_slice()))
            .sum();
        let user = &self.user;
        let texts = user.blocked_artists.len()
            + user.blocked_tracks.len()
            + user.followed_artists.len()
            + user.friends.len()
            + user.onboarding_artists.len()
            + user.onboarding_genres.len();
        size_of::<Self>()
            + size_of_val(self.plays.as_slice())
            + size_of_val(self.heard.tracks.as_slice())
            + size_of_val(self.heard.last.as_slice())
            + size_of_val(self.saved.as_slice())
            + served
            + texts * 64
    }
}

/// Reads a listener; `None` when there is no such user.
///
/// Cost: one range of about `24 bytes × events` and a sort of the listening events.
pub(super) fn read(snapshot: &Snapshot<'_>, id: &UserId) -> Result<Option<UserView>> {
    let prefix = keys::user(id);
    let key = keys::of_user(&prefix, keys::RECORD);
    let Some(stored) = snapshot.get(&key)? else { return Ok(None) };
    let record = UserRecord::decode(&stored).map_err(|what| damaged(&key, what))?;
    let mut history = History { plays: Vec::with_capacity(PLAYS_USUAL), ..History::default() };
    let mut served = Vec::new();
    // Served lists lie behind the history: one range is found sooner than two.
    let (from, to) = (keys::of_user(&prefix, keys::HISTORY), keys::of_user(&prefix, keys::SEARCH));
    snapshot.scan(&from, &to, |key, value| {
        if key.get(prefix.len()) == Some(&keys::SERVED) {
            served.push(read_served(key, value)?);
        } else {
            history.add_part(key, value)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Some(history.into_view(record, newest_served(served))))
}

/// What a history adds up to while it is read in order of days.
#[derive(Default)]
struct History {
    plays: Vec<PlayRecord>,
    library: HashMap<TrackRef, (Timestamp, bool)>,
    plays_total: u64,
}

impl History {
    fn add_part(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let day = keys::history_day(key).ok_or_else(|| damaged(key, "key is malformed"))?;
        let (_, rows) = decode_part(value).map_err(|what| damaged(key, what))?;
        self.plays.reserve(rows.len());
        for row in rows {
            let row = row.map_err(|what| damaged(key, what))?;
            self.add(day, &row);
        }
        Ok(())
    }

    fn add(&mut self, day: i32, row: &HistoryRow) {
        let Some(track) = row.track else { return };
        let at = join_time(day, row.time_ms);
        if matches!(row.action, Action::Save | Action::Unsave) {
            let word = (at, row.action == Action::Save);
            let held = self.library.entry(track).or_insert(word);
            *held = word.max(*held);
        }
        let Some(play) = play_of(day, row) else { return };
        self.plays_total += u64::from(matches!(play.action, PlayAction::Play | PlayAction::Repeat));
        self.plays.push(play);
    }

    fn into_view(mut self, record: UserRecord, served: Vec<ServedRecord>) -> UserView {
        // Parts of a long day overlap in time; the sort is stable, so equal times keep the stored order.
        self.plays.sort_by_key(|play| play.at);
        let heard = Heard::of(self.plays.iter().map(|play| (play.track, play.at)).collect());
        let explored_outcomes = explored_outcomes(&served, &self.plays);
        let mut saved: Vec<TrackRef> =
            self.library.into_iter().filter(|(_, (_, is_saved))| *is_saved).map(|(track, _)| track).collect();
        saved.sort_unstable();
        let mut hidden: Vec<TrackRef> = record.hidden.into_iter().map(|(_, track)| track).collect();
        hidden.sort_unstable();
        UserView {
            user: record.user,
            hidden,
            plays: newest_plays(self.plays),
            heard,
            saved,
            served,
            plays_total: self.plays_total,
            explored_outcomes,
        }
    }
}

/// The listening event that a row of a day is, if it is one.
pub(super) fn play_of(day: i32, row: &HistoryRow) -> Option<PlayRecord> {
    let (track, action) = (row.track?, row.play_action()?);
    let at = join_time(day, row.time_ms);
    Some(PlayRecord { at, track, listened_ms: row.listened_ms, action, completed: row.completed })
}

fn newest_plays(mut ascending: Vec<PlayRecord>) -> Vec<PlayRecord> {
    let Some(newest) = ascending.last().map(|play| play.at) else { return ascending };
    let oldest = newest.minus_days(PLAYS_DAYS);
    let start = ascending.partition_point(|play| play.at < oldest);
    let start = start.max(ascending.len().saturating_sub(PLAYS_MAX));
    let mut plays = ascending.split_off(start);
    plays.shrink_to_fit();
    plays.reverse();
    plays
}

fn read_served(key: &[u8], value: &[u8]) -> Result<ServedRecord> {
    let (at, _) = keys::timed_suffix(key).ok_or_else(|| damaged(key, "key is malformed"))?;
    let ServedRow { list, choices, .. } = decode_served(value).map_err(|what| damaged(key, what))?;
    let ServedList { surface, impression, tracks } = list;
    Ok(ServedRecord { at, surface, impression, tracks, choices })
}

fn newest_served(mut ascending: Vec<ServedRecord>) -> Vec<ServedRecord> {
    ascending.reverse();
    if let Some(newest) = ascending.first().map(|list| list.at) {
        let oldest = newest.minus_days(SERVED_DAYS);
        ascending.truncate(ascending.partition_point(|list| list.at >= oldest));
    }
    ascending
}

fn explored_outcomes(served: &[ServedRecord], plays: &[PlayRecord]) -> Vec<ExploredOutcome> {
    let mut outcomes: Vec<ExploredOutcome> = served
        .iter()
        .flat_map(|list| list.tracks.iter().filter(|slot| slot.explored).map(|slot| (list.at, slot.track)))
        .map(|(at, track)| ExploredOutcome { at, track, success: false })
        .take(EXPLORED_MAX)
        .collect();
    let Some(oldest) = outcomes.last().map(|outcome| outcome.at) else { return outcomes };
    let start = plays.partition_point(|play| play.at < oldest);
    for play in plays[start..].iter().filter(|play| is_success(play)) {
        for outcome in outcomes.iter_mut().filter(|o| o.track == play.track && o.at <= play.at) {
            outcome.success = true;
        }
    }
    outcomes
}

fn is_success(play: &PlayRecord) -> bool {
    match play.action {
        PlayAction::Save => true,
        PlayAction::Play | PlayAction::Repeat => play.completed || play.listened_ms >= 30_000,
        PlayAction::Skip => false,
    }
}
