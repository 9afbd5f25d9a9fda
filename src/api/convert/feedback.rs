//! What listeners do.

use super::common::unknown_value;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::types::{Action, ArtistId, EventId, FeedbackEvent, Timestamp, TrackId, UserId};

fn action(value: i32) -> Result<Action> {
    match pb::Action::try_from(value) {
        Ok(pb::Action::Play) => Ok(Action::Play),
        Ok(pb::Action::Skip) => Ok(Action::Skip),
        Ok(pb::Action::Repeat) => Ok(Action::Repeat),
        Ok(pb::Action::Save) => Ok(Action::Save),
        Ok(pb::Action::Unsave) => Ok(Action::Unsave),
        Ok(pb::Action::HideTrack) => Ok(Action::HideTrack),
        Ok(pb::Action::UnhideTrack) => Ok(Action::UnhideTrack),
        Ok(pb::Action::BlockArtist) => Ok(Action::BlockArtist),
        Ok(pb::Action::UnblockArtist) => Ok(Action::UnblockArtist),
        Ok(pb::Action::FollowArtist) => Ok(Action::FollowArtist),
        Ok(pb::Action::UnfollowArtist) => Ok(Action::UnfollowArtist),
        Ok(pb::Action::Search) => Ok(Action::Search),
        Ok(pb::Action::Served) => Ok(Action::Served),
        Ok(pb::Action::Unspecified) | Err(_) => Err(unknown_value("action", value)),
    }
}

impl From<Action> for pb::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Play => Self::Play,
            Action::Skip => Self::Skip,
            Action::Repeat => Self::Repeat,
            Action::Save => Self::Save,
            Action::Unsave => Self::Unsave,
            Action::HideTrack => Self::HideTrack,
            Action::UnhideTrack => Self::UnhideTrack,
            Action::BlockArtist => Self::BlockArtist,
            Action::UnblockArtist => Self::UnblockArtist,
            Action::FollowArtist => Self::FollowArtist,
            Action::UnfollowArtist => Self::UnfollowArtist,
            Action::Search => Self::Search,
            Action::Served => Self::Served,
        }
    }
}

impl TryFrom<pb::FeedbackEvent> for FeedbackEvent {
    type Error = Error;
    fn try_from(proto: pb::FeedbackEvent) -> Result<Self> {
        let event = Self {
            user_id: UserId::new(proto.user_id)?,
            action: action(proto.action)?,
            track_id: proto.track_id.map(TrackId::new).transpose()?,
            artist_id: proto.artist_id.map(ArtistId::new).transpose()?,
            at: proto.at_ms.map(Timestamp),
            listened_ms: proto.listened_ms,
            event_id: proto.event_id.map(EventId::new).transpose()?,
            query: proto.query,
            impression: proto.impression,
            positions: proto.positions,
        };
        event.validate()?;
        Ok(event)
    }
}

impl From<FeedbackEvent> for pb::FeedbackEvent {
    fn from(event: FeedbackEvent) -> Self {
        Self {
            user_id: event.user_id.into(),
            action: pb::Action::from(event.action).into(),
            track_id: event.track_id.map(Into::into),
            artist_id: event.artist_id.map(Into::into),
            at_ms: event.at.map(|at| at.0),
            listened_ms: event.listened_ms,
            event_id: event.event_id.map(Into::into),
            query: event.query,
            impression: event.impression,
            positions: event.positions,
        }
    }
}

/// The events of a batch.
pub(crate) fn events(request: pb::RecordRequest, rows_max: u32) -> Result<Vec<FeedbackEvent>> {
    super::rows("events", request.events, rows_max)
}
