//! What makes a command a mistake of its caller. Checked before anything is done, the same on every replica.

use super::command::{
    EventOrigin, EventTrack, LoadStep, PlayBatch, ResolvedEvent, STATISTICS_BYTES_MAX, ShownSlot,
    TimedEvents, UserCommand, UserOp,
};
use crate::types::{Action, UserId};

const LOAD_ID_BYTES_MAX: usize = 256;

/// Why a command is refused, if it is.
pub(super) fn command(command: &UserCommand) -> Option<String> {
    command.load.as_ref().and_then(load).or_else(|| op(&command.op))
}

fn load(step: &LoadStep) -> Option<String> {
    if step.load_id.is_empty() || step.load_id.len() > LOAD_ID_BYTES_MAX {
        return Some(format!("load_id must have 1 to 256 bytes. bytes=`{}`", step.load_id.len()));
    }
    (step.first_row > step.rows_done).then(|| {
        format!(
            "load step ends before it starts. first_row=`{}`, rows_done=`{}`",
            step.first_row, step.rows_done
        )
    })
}

fn op(op: &UserOp) -> Option<String> {
    match op {
        UserOp::Nothing | UserOp::DropGeneration { .. } | UserOp::ResolveTracks(_) => None,
        // What they need depends on the state.
        UserOp::Split(_) => None,
        UserOp::UpsertUsers(users) => users.iter().find_map(|row| user(&row.user_id)),
        UserOp::DeleteUsers(users) | UserOp::DeleteVectors { users, .. } => users.iter().find_map(user),
        UserOp::Record(events) => self::events(events),
        UserOp::RecordShown(events, slots) => self::events(events).or_else(|| shown(events, slots)),
        UserOp::RecordByTime(timed) => {
            self::events(&timed.events).or_else(|| shown(&timed.events, &timed.slots))
        }
        UserOp::RecordLists(listed) => {
            let TimedEvents { events, slots, .. } = &listed.timed;
            self::events(events).or_else(|| shown(events, slots)).or_else(|| origins(events, &listed.origins))
        }
        UserOp::PutStatistics(bytes) => (bytes.len() > STATISTICS_BYTES_MAX)
            .then(|| format!("statistics are too large. bytes=`{}`", bytes.len())),
        UserOp::RecordPlays(batch) => plays(batch),
        UserOp::UpsertVectors { rows, .. } => vectors(rows),
    }
}

/// Ids were checked where they came in; an id with a zero byte would break the order of keys.
fn user(id: &UserId) -> Option<String> {
    UserId::new(id.as_str()).err().map(|e| e.to_string())
}

fn events(events: &[ResolvedEvent]) -> Option<String> {
    let mut rows = events.iter().enumerate();
    rows.find_map(|(row, e)| event(e).map(|reason| format!("row {row}: {reason}")))
}

fn shown(events: &[ResolvedEvent], slots: &[ShownSlot]) -> Option<String> {
    slots.iter().find_map(|slot| {
        let list = events.get(slot.event as usize).and_then(|event| event.served.as_ref());
        let is_there = list.is_some_and(|list| (slot.position as usize) < list.tracks.len());
        let is_sound =
            slot.choice.propensity > 0.0 && slot.choice.propensity <= 1.0 && slot.choice.source < 64;
        (!is_there || !is_sound)
            .then(|| format!("shown slot is malformed. event=`{}`, position=`{}`", slot.event, slot.position))
    })
}

fn origins(events: &[ResolvedEvent], origins: &[EventOrigin]) -> Option<String> {
    origins.iter().find_map(|EventOrigin { event, origin }| {
        let list = events.get(*event as usize).and_then(|event| event.served.as_ref());
        let is_sound = |tracks: usize| origin.positions.is_empty() || origin.positions.len() == tracks;
        let is_malformed = list.is_none_or(|list| !is_sound(list.tracks.len()));
        is_malformed.then(|| format!("what a list was made by is malformed. event=`{event}`"))
    })
}

fn event(event: &ResolvedEvent) -> Option<String> {
    let has_id = event.track_id.is_some() || matches!(event.track, Some(EventTrack::Unknown(_)));
    let missing = match event.action {
        Action::Play | Action::Skip | Action::Repeat | Action::Save | Action::Unsave => {
            event.track.is_none().then_some("track")
        }
        Action::HideTrack | Action::UnhideTrack => (!has_id).then_some("track_id"),
        Action::BlockArtist | Action::UnblockArtist | Action::FollowArtist | Action::UnfollowArtist => {
            event.artist.is_none().then_some("artist")
        }
        Action::Search => event.query.is_none().then_some("query"),
        Action::Served => event.served.is_none().then_some("served"),
    };
    user(&event.user).or_else(|| missing.map(|field| format!("{} needs {field}", event.action.as_str())))
}

fn plays(batch: &PlayBatch) -> Option<String> {
    let rows = batch.plays.iter().chain(batch.unknown.iter().map(|(_, play)| play));
    batch.users.iter().find_map(user).or_else(|| {
        let users = batch.users.len();
        rows.map(|play| play.user as usize)
            .find(|user| *user >= users)
            .map(|user| format!("play names a user that is not in the batch. user=`{user}`, users=`{users}`"))
    })
}

fn vectors(rows: &[(UserId, Vec<f32>)]) -> Option<String> {
    let dim = rows.first().map_or(0, |(_, vector)| vector.len());
    rows.iter().enumerate().find_map(|(row, (id, vector))| {
        let reason = user(id)
            .or_else(|| vector.is_empty().then(|| "vector is empty".to_owned()))
            .or_else(|| {
                (vector.len() != dim).then(|| {
                    format!("vector has a wrong dimension. expected=`{dim}`, found=`{}`", vector.len())
                })
            })
            .or_else(|| {
                let place = vector.iter().position(|x| !x.is_finite())?;
                Some(format!("vector has a component that is not a number. component=`{place}`"))
            })?;
        Some(format!("row {row}: {reason}"))
    })
}
