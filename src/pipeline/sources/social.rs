//! Social: what friends heard to the end or saved in the last 28 days, with consent on both sides.

use std::collections::BTreeMap;

use super::{Note, Retrieved, SourceRequest, depth, may_show, sort_hits};
use crate::error::{Error, Result};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::user_shard::{FriendPlays, PlayRecord};
use crate::types::{PlayAction, TrackRef};

/// How far back friends' listening counts.
const DAYS: i64 = 28;
/// Friends looked at, in the order of the listener's record.
const FRIENDS_MAX: usize = 100;
/// How much more a close friend counts: one who names the listener back.
const CLOSE: f64 = 2.0;
/// How much a save counts against a track heard to the end.
const SAVED: f64 = 1.5;

#[derive(Default, Clone, Copy)]
struct Heard {
    friends: u32,
    close: u32,
    score: f64,
}

/// Up to `depth` tracks that at least two friends or one close friend heard, best first. Nothing unless the listener
/// consents; a friend who does not is not looked at.
///
/// # Errors
/// `Timeout`; damaged files.
pub(super) fn social(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let user = &request.listener.state.user;
    if !user.social_consent {
        return Ok(Vec::new());
    }
    let since = request.as_of.minus_days(DAYS);
    let mut heard: BTreeMap<TrackRef, Heard> = BTreeMap::new();
    let mut elsewhere = Vec::new();
    for friend in user.friends.iter().take(FRIENDS_MAX) {
        reader.deadline.check()?;
        if !reader.users.is_here(friend) {
            elsewhere.push(friend.clone());
            continue;
        }
        // The record first: it is small, and most of what is refused is refused by it.
        let record = reader.users.user(friend).map_err(Error::from)?;
        let Some(record) = record.filter(|record| record.social_consent && record.user_id != user.user_id)
        else {
            continue;
        };
        let is_close = record.friends.contains(&user.user_id);
        let Some(view) = reader.users.view(friend).map_err(Error::from)? else { continue };
        let plays = view.plays.iter().filter(|play| play.at > since && play.at <= request.as_of);
        add(&mut heard, is_close, plays);
    }
    if !elsewhere.is_empty() {
        let days = (since, request.as_of);
        let played = reader.users.friends(&user.user_id, &elsewhere, days, &reader.missing);
        for FriendPlays { is_close, plays } in played.map_err(Error::from)?.into_iter().flatten() {
            add(&mut heard, is_close, plays.iter());
        }
    }
    let is_allowed = may_show(reader, allowed);
    let mut found = Vec::new();
    for (track, heard) in heard {
        if (heard.friends >= 2 || heard.close >= 1) && is_allowed(track) {
            found.push((track, heard.score));
            retrieved.notes.push((Source::Social, track, Note::Friends(heard.friends)));
        }
    }
    sort_hits(reader, &mut found)?;
    found.truncate(depth(spec));
    Ok(found)
}

/// Adds what one friend played.
fn add<'p>(
    heard: &mut BTreeMap<TrackRef, Heard>,
    is_close: bool,
    plays: impl Iterator<Item = &'p PlayRecord>,
) {
    let mut of_friend: BTreeMap<TrackRef, f64> = BTreeMap::new();
    for play in plays {
        let score = match play.action {
            PlayAction::Save => SAVED,
            PlayAction::Play | PlayAction::Repeat if play.completed => 1.0,
            PlayAction::Play | PlayAction::Repeat | PlayAction::Skip => continue,
        };
        let known = of_friend.entry(play.track).or_default();
        *known = known.max(score);
    }
    for (track, score) in of_friend {
        let entry = heard.entry(track).or_default();
        entry.friends += 1;
        entry.close += u32::from(is_close);
        entry.score += score * if is_close { CLOSE } else { 1.0 };
    }
}
