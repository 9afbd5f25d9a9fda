//! The session: what the listener does right now.

use crate::pipeline::facts::{HeardEvent, TrackFacts, finite};
use crate::types::{ArtistKey, PlayAction, Timestamp};

/// The plays a session looks at.
pub const SESSION_PLAYS_MAX: usize = 10;
/// The skips a session looks at.
pub const SESSION_SKIPS_MAX: usize = 5;
/// A session ends after so many minutes without an event.
pub const SESSION_SILENCE_MIN: i64 = 30;
/// More events than this in one session are not looked at.
const EVENTS_MAX: usize = 1_000;

/// The mean sound of a session's plays; a part is absent when no play has the feature.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mood {
    /// 0 to 1.
    pub energy: Option<f64>,
    /// 0 to 1.
    pub valence: Option<f64>,
    /// 0 to 1.
    pub danceability: Option<f64>,
}

/// The last plays and skips without half an hour's silence between them, newest first by event time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session<'a> {
    /// At most 10 plays.
    pub plays: Vec<&'a TrackFacts>,
    /// At most 5 skips, however late in the track.
    pub skips: Vec<&'a TrackFacts>,
    /// Mean of `plays`; absent when there are none.
    pub mood: Option<Mood>,
}

impl<'a> Session<'a> {
    /// The session of a history in any order at `as_of`; empty when the listener has been silent for 30 minutes.
    /// Events after `as_of` do not count, and a late event enters where its time puts it.
    #[must_use]
    pub fn from_history(events: impl IntoIterator<Item = HeardEvent<'a>>, as_of: Timestamp) -> Self {
        let mut events: Vec<HeardEvent<'a>> = events.into_iter().filter(|event| event.at <= as_of).collect();
        events.sort_by_key(|event| std::cmp::Reverse((event.at, event.facts.key, event.action)));
        let mut session = Self::default();
        let mut newer = as_of;
        for event in events.into_iter().take(EVENTS_MAX) {
            if newer.0.saturating_sub(event.at.0) > SESSION_SILENCE_MIN * 60_000 {
                break;
            }
            newer = event.at;
            let (list, max) = match event.action {
                PlayAction::Skip => (&mut session.skips, SESSION_SKIPS_MAX),
                PlayAction::Save if event.listened_ms == 0 => continue, // saved without being played
                PlayAction::Play | PlayAction::Repeat | PlayAction::Save => {
                    (&mut session.plays, SESSION_PLAYS_MAX)
                }
            };
            if list.len() < max {
                list.push(event.facts);
            }
        }
        session.mood = (!session.plays.is_empty()).then(|| mood(&session.plays));
        session
    }

    /// Whether nothing happened in the last half hour.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plays.is_empty() && self.skips.is_empty()
    }

    /// Primary artists of the plays older than the newest three: familiar, and not just heard.
    pub fn earlier_artists(&self) -> impl Iterator<Item = ArtistKey> {
        self.plays.iter().skip(3).filter_map(|facts| facts.primary_artist())
    }
}

fn mood(plays: &[&TrackFacts]) -> Mood {
    let mean = |feature: fn(&TrackFacts) -> Option<f32>| {
        let known: Vec<f64> = plays.iter().filter_map(|facts| finite(feature(facts))).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    Mood {
        energy: mean(|facts| facts.audio.energy),
        valence: mean(|facts| facts.audio.valence),
        danceability: mean(|facts| facts.audio.danceability),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::pipeline::facts::samples::track_of;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn event(facts: &TrackFacts, minutes_ago: i64, action: PlayAction) -> HeardEvent<'_> {
        HeardEvent { at: Timestamp(NOW.0 - minutes_ago * 60_000), listened_ms: 60_000, action, facts }
    }

    #[test]
    fn the_newest_ten_plays_and_five_skips_count_by_event_time() {
        let tracks: Vec<TrackFacts> = (0..40).map(|i| track_of(i, 1, &[], i as f32 / 40.0)).collect();
        let mut events: Vec<HeardEvent<'_>> = tracks
            .iter()
            .zip(1..)
            .map(|(facts, at)| {
                event(facts, at, if at % 2 == 0 { PlayAction::Skip } else { PlayAction::Play })
            })
            .collect();
        let session = Session::from_history(events.clone(), NOW);
        let ids = |list: &[&TrackFacts]| list.iter().map(|facts| facts.track.ordinal.0).collect::<Vec<_>>();
        assert_eq!(ids(&session.plays), (0..10).map(|i| i * 2).collect::<Vec<_>>());
        assert_eq!(ids(&session.skips), [1, 3, 5, 7, 9]);
        assert!((session.mood.unwrap().energy.unwrap() - 9.0 / 40.0).abs() < 1e-6);
        assert_eq!(session.mood.unwrap().valence, None);
        events.reverse();
        events.swap(3, 17);
        assert_eq!(Session::from_history(events, NOW), session, "whatever order they arrived in");
    }

    #[test]
    fn half_an_hour_of_silence_ends_a_session() {
        let (old, new) = (track_of(1, 1, &[], 0.1), track_of(2, 2, &[], 0.9));
        let both = |gap: i64| {
            Session::from_history(
                [event(&old, 10 + gap, PlayAction::Play), event(&new, 10, PlayAction::Play)],
                NOW,
            )
        };
        assert_eq!(both(30).plays.len(), 2);
        assert_eq!(both(31).plays.len(), 1);
        assert!(Session::from_history([event(&new, 31, PlayAction::Play)], NOW).is_empty());
        assert!(Session::from_history([event(&new, -1, PlayAction::Play)], NOW).is_empty(), "the future");
    }

    #[test]
    fn a_late_event_does_not_become_the_newest() {
        let (late, new) = (track_of(1, 1, &[], 0.1), track_of(2, 2, &[], 0.9));
        let session =
            Session::from_history([event(&new, 1, PlayAction::Play), event(&late, 5, PlayAction::Play)], NOW);
        assert_eq!(session.plays[0].track, new.track);
    }

    #[test]
    fn only_skips_give_no_mood() {
        let facts = track_of(1, 1, &[], 0.9);
        let session = Session::from_history([event(&facts, 1, PlayAction::Skip)], NOW);
        assert_eq!((session.mood, session.skips.len()), (None, 1));
    }
}
