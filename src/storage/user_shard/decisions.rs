//! What listeners decide by feedback: tracks hidden, artists blocked and followed, and the undoing of each.
//!
//! The newest decision about a thing holds, by the time of the events and not of their arrival: a telephone that was off
//! for a day must not undo what was decided on it meanwhile. So the time of the newest decision is kept for each thing
//! a listener ever decided about.

use std::collections::HashMap;

use super::command::{EventTrack, ResolvedEvent};
use super::engine::Engine;
use super::error::Result;
use super::keys;
use super::rows::{UserRecord, add};
use super::value::{self, damaged};
use crate::types::{Action, Timestamp, TrackId, TrackRef, key_of};

/// What a decision is about. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Matter {
    /// Whether a track is hidden.
    Hidden = 0,
    /// Whether an artist is blocked.
    Blocked = 1,
    /// Whether an artist is followed.
    Followed = 2,
}

/// Whether an action is a decision.
pub(super) fn is_decision(action: Action) -> bool {
    matter(action).is_some()
}

fn matter(action: Action) -> Option<Matter> {
    match action {
        Action::HideTrack | Action::UnhideTrack => Some(Matter::Hidden),
        Action::BlockArtist | Action::UnblockArtist => Some(Matter::Blocked),
        Action::FollowArtist | Action::UnfollowArtist => Some(Matter::Followed),
        Action::Play
        | Action::Skip
        | Action::Repeat
        | Action::Save
        | Action::Unsave
        | Action::Search
        | Action::Served => None,
    }
}

/// The newest decisions of one listener that an entry has met.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    met: HashMap<Vec<u8>, Decision>,
}

#[derive(Debug, Clone, Copy)]
struct Decision {
    at: Timestamp,
    is_new: bool,
}

impl Decisions {
    /// Takes note of a decision made at `at`; whether none that is newer is known. Of two of one time the later in the log holds.
    ///
    /// * `prefix`: of the listener's keys.
    pub(super) fn decide(
        &mut self,
        engine: &Engine,
        prefix: &[u8],
        event: &ResolvedEvent,
        at: Timestamp,
    ) -> Result<bool> {
        let Some(matter) = matter(event.action) else { return Ok(false) };
        let Some(thing) = matter.thing(event) else { return Ok(false) };
        let key = keys::decision(prefix, matter as u8, key_of(thing));
        let newest = match self.met.get(&key) {
            Some(decision) => Some(decision.at),
            None => {
                let stored = engine.get(&key)?;
                stored.map(|value| decode(&value).map_err(|what| damaged(&key, what))).transpose()?
            }
        };
        if newest.is_some_and(|newest| at < newest) {
            return Ok(false);
        }
        self.met.insert(key, Decision { at, is_new: newest != Some(at) });
        Ok(true)
    }

    /// The rows to be written.
    pub(super) fn changed(self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let changed = self.met.into_iter().filter(|(_, decision)| decision.is_new);
        changed.map(|(key, decision)| (key, value::seal(&decision.at.0.to_le_bytes())))
    }
}

/// Reads the time of a decision.
pub(super) fn decode(stored: &[u8]) -> std::result::Result<Timestamp, &'static str> {
    value::open_fixed::<8>(stored).map(|bytes| Timestamp(i64::from_le_bytes(bytes)))
}

impl Matter {
    /// The id of what an event decides about.
    fn thing(self, event: &ResolvedEvent) -> Option<&str> {
        match self {
            Self::Hidden => track_id(event).map(|id| id.as_str()),
            Self::Blocked | Self::Followed => event.artist.as_ref().map(|id| id.as_str()),
        }
    }
}

/// The track of an event as its sender named it.
fn track_id(event: &ResolvedEvent) -> Option<&TrackId> {
    let unknown = match &event.track {
        Some(EventTrack::Unknown(id)) => Some(id),
        Some(EventTrack::Resolved(_)) | None => None,
    };
    event.track_id.as_ref().or(unknown)
}

/// Edits the record by what a new event says; whether it changed.
pub(super) fn edit_record(record: &mut UserRecord, event: &ResolvedEvent, track: Option<TrackRef>) -> bool {
    let user = &mut record.user;
    match (event.action, track_id(event), &event.artist) {
        (Action::HideTrack, Some(id), _) => record.hide(id.clone(), track),
        (Action::UnhideTrack, Some(id), _) => record.unhide(id),
        (Action::BlockArtist, _, Some(artist)) => add(&mut user.blocked_artists, artist.clone()),
        (Action::UnblockArtist, _, Some(artist)) => user.blocked_artists.retain(|known| known != artist),
        (Action::FollowArtist, _, Some(artist)) => add(&mut user.followed_artists, artist.clone()),
        (Action::UnfollowArtist, _, Some(artist)) => user.followed_artists.retain(|known| known != artist),
        _ => return false,
    }
    true
}
