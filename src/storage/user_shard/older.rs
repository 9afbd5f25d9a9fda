//! Listening events that a [`UserView`](super::UserView) keeps no more: whoever needs a listener's whole history reads them
//! when it does.

use std::ops::ControlFlow;

use super::{
    elsewhere::Missing,
    error::{Result, UserShardError},
    history::decode_part,
    keys,
    question::{PAGE_BYTES, UserAnswer, UserQuestion, unexpected},
    shard::UserShard,
    shards::UserShards,
    value::damaged,
    view::{PlayRecord, play_of},
};
use crate::storage::codec;
use crate::types::{Timestamp, UserId};

/// Events of one page: it ends with the day on which there are so many.
const PAGE_EVENTS: usize = PAGE_BYTES / size_of::<PlayRecord>();

impl UserShard {
    /// A listener's plays, skips, saves and repeats until a moment, that one included, by day; those of days from
    /// `from_day` on. Besides, the day the next page begins with, if there are more.
    ///
    /// Cost: one range of 24 bytes an event.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn plays_until(
        &self,
        id: &UserId,
        until: Timestamp,
        from_day: i32,
    ) -> Result<(Vec<PlayRecord>, Option<i32>)> {
        page(self, id, (from_day, until), PAGE_EVENTS)
    }
}

impl UserShards {
    /// All plays, skips, saves and repeats of a listener until a moment, that one included, oldest first. `None` when
    /// the shard is on nodes of which none can say it now, or the one that was asked runs a program from before this was;
    /// then it is missing.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn plays_until(
        &self,
        id: &UserId,
        until: Timestamp,
        missing: &Missing,
    ) -> Result<Option<Vec<PlayRecord>>> {
        let place = self.place_of(id);
        let mut plays = Vec::new();
        let mut from_day = Some(i32::MIN);
        while let Some(day) = from_day {
            let (page, next) = match self.at(place) {
                Some(shard) => shard.plays_until(id, until, day)?,
                None => match self
                    .ask(place, &UserQuestion::PlaysUntil { of: id.clone(), until, from_day: day })
                {
                    Ok(UserAnswer::Plays(page, next)) => (page, next),
                    Ok(other) => return Err(unexpected(&other)),
                    Err(error) => {
                        missing.note(place, as_passing(error))?;
                        return Ok(None);
                    }
                },
            };
            plays.extend(page);
            // A holder that names a day again would be asked for ever.
            from_day = next.filter(|next| *next > day);
        }
        plays.sort_by_key(|play| play.at);
        Ok(Some(plays))
    }
}

/// A program that does not know the question calls it unreadable. It will be upgraded.
fn as_passing(error: UserShardError) -> UserShardError {
    match error {
        UserShardError::Elsewhere { source } if codec::is_unreadable(&source) => {
            let reason = format!("a node cannot say what a listener played long ago: {source}");
            UserShardError::Elsewhere { source: Box::new(crate::Error::Unavailable(reason)) }
        }
        error => error,
    }
}

/// A page of at least `most` events, but for the last one.
pub(super) fn page(
    shard: &UserShard,
    id: &UserId,
    (from_day, until): (i32, Timestamp),
    most: usize,
) -> Result<(Vec<PlayRecord>, Option<i32>)> {
    let prefix = keys::user(id);
    let (from, to) = (keys::history(&prefix, from_day, 0), keys::of_user(&prefix, keys::SERVED));
    let mut plays: Vec<PlayRecord> = Vec::new();
    let mut last_day = from_day;
    let mut next = None;
    shard.inner().engine.snapshot().scan(&from, &to, |key, value| {
        let day = keys::history_day(key).ok_or_else(|| damaged(key, "key is malformed"))?;
        if day > until.day() {
            return Ok(ControlFlow::Break(()));
        }
        if day > last_day && plays.len() >= most {
            next = Some(day);
            return Ok(ControlFlow::Break(()));
        }
        last_day = day;
        let (_, rows) = decode_part(value).map_err(|what| damaged(key, what))?;
        for row in rows {
            let play = play_of(day, &row.map_err(|what| damaged(key, what))?);
            plays.extend(play.filter(|play| play.at <= until));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((plays, next))
}
