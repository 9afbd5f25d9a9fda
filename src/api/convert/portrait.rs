//! What is known of a listener.

use super::common::required;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::portrait::Portrait;
use crate::types::Timestamp;

impl From<Portrait> for pb::ListenerPortrait {
    fn from(portrait: Portrait) -> Self {
        let span = |(from, to)| pb::Span { from, to };
        let mood = |(energy, valence, danceability)| pb::Mood { energy, valence, danceability };
        Self {
            user: Some(portrait.user.into()),
            as_of_ms: portrait.as_of.0,
            plays_total: portrait.plays_total,
            plays: portrait.plays,
            saved: portrait.saved,
            genres: shares_to_proto(portrait.genres),
            artists: shares_to_proto(portrait.artists),
            morning_genres: shares_to_proto(portrait.morning_genres),
            evening_genres: shares_to_proto(portrait.evening_genres),
            tempo_bpm: portrait.tempo_bpm.map(span),
            energy: portrait.energy.map(span),
            valence: portrait.valence,
            danceability: portrait.danceability,
            acousticness: portrait.acousticness.map(Vec::from).unwrap_or_default(),
            hours: portrait.hours.map(Vec::from).unwrap_or_default(),
            weekdays: portrait.weekdays.map(Vec::from).unwrap_or_default(),
            peak_hours: portrait.peak_hours.into_iter().map(u32::from).collect(),
            profile_age_days: portrait.profile_age_days,
            diversity: portrait.diversity,
            mood: portrait.mood.map(mood),
            explored_shown: portrait.explored.0,
            explored_taken: portrait.explored.1,
        }
    }
}

impl TryFrom<pb::ListenerPortrait> for Portrait {
    type Error = Error;
    fn try_from(proto: pb::ListenerPortrait) -> Result<Self> {
        let hour = |hour| u8::try_from(hour).map_err(|_| Error::invalid("peak_hours", "an hour is 0 to 23"));
        Ok(Self {
            user: required("user", proto.user)?.try_into()?,
            as_of: Timestamp(proto.as_of_ms),
            plays_total: proto.plays_total,
            plays: proto.plays,
            saved: proto.saved,
            genres: shares(proto.genres),
            artists: shares(proto.artists),
            morning_genres: shares(proto.morning_genres),
            evening_genres: shares(proto.evening_genres),
            tempo_bpm: proto.tempo_bpm.map(|span| (span.from, span.to)),
            energy: proto.energy.map(|span| (span.from, span.to)),
            valence: proto.valence,
            danceability: proto.danceability,
            acousticness: all_or_none("acousticness", proto.acousticness)?,
            hours: all_or_none("hours", proto.hours)?,
            weekdays: all_or_none("weekdays", proto.weekdays)?,
            peak_hours: proto.peak_hours.into_iter().map(hour).collect::<Result<_>>()?,
            profile_age_days: proto.profile_age_days,
            diversity: proto.diversity,
            mood: proto.mood.map(|mood| (mood.energy, mood.valence, mood.danceability)),
            explored: (proto.explored_shown, proto.explored_taken),
        })
    }
}

fn shares_to_proto(shares: Vec<(String, f64)>) -> Vec<pb::Share> {
    shares.into_iter().map(|(name, share)| pb::Share { name, share }).collect()
}

fn shares(proto: Vec<pb::Share>) -> Vec<(String, f64)> {
    proto.into_iter().map(|share| (share.name, share.share)).collect()
}

/// A histogram of `N` shares; an empty one is unknown.
fn all_or_none<const N: usize>(field: &'static str, shares: Vec<f64>) -> Result<Option<[f64; N]>> {
    if shares.is_empty() {
        return Ok(None);
    }
    let of_length = <[f64; N]>::try_from(shares);
    of_length.map(Some).map_err(|shares| {
        Error::invalid(field, format!("has another length. len=`{}`, expected=`{N}`", shares.len()))
    })
}
