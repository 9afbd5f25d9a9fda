//! What a list promises, checked against the records in the database instead of against the code that made the list.

use std::collections::HashSet;

use crate::Segue;
use crate::error::{Error, Result};
use crate::generate::Catalogue;
use crate::pipeline::request::Recommendation;
use crate::types::{ArtistId, Play, RecordingId, Timestamp, Track, TrackId, User};

/// What the listener has just said.
#[derive(Debug, Clone, Default)]
pub struct Feedback {
    /// Artist never to be shown again.
    pub blocked: Option<ArtistId>,
    /// Tracks that were skipped.
    pub skipped: Vec<TrackId>,
}

/// Everything a list is held against.
pub struct Promises<'a> {
    /// The database.
    pub db: &'a Segue,
    /// What may be in a list at all.
    pub catalogue: &'a Catalogue,
    /// The listener's record.
    pub user: &'a User,
    /// What they played.
    pub plays: &'a [Play],
    /// The time of the request.
    pub as_of: Timestamp,
    /// Days in which what was heard does not come back.
    pub heard_days: f64,
    /// Tracks asked for.
    pub asked: usize,
}

impl Promises<'_> {
    /// Checks a list.
    ///
    /// # Errors
    /// `Internal` lists every promise that is broken.
    pub fn check(&self, list: &Recommendation, feedback: &Feedback) -> Result<()> {
        let tracks: Vec<Track> =
            list.tracks.iter().map(|listed| self.db.track(&listed.track_id)).collect::<Result<_>>()?;
        let broken = self.broken(&tracks, !list.relaxed.is_empty(), feedback);
        if broken.is_empty() {
            return Ok(());
        }
        Err(Error::Internal(format!(
            "the list of {} breaks a promise: {}",
            self.user.user_id,
            broken.join("; ")
        )))
    }

    /// Every broken promise in words.
    pub fn broken(&self, tracks: &[Track], relaxed: bool, feedback: &Feedback) -> Vec<String> {
        let mut broken = Vec::new();
        let heard = self.heard();
        let mut recordings = HashSet::new();
        for track in tracks {
            let id = &track.track_id;
            let mut say = |what: &str| broken.push(format!("{id} {what}"));
            if self.against_rules(track) {
                say("is against the listener's rules");
            }
            if track.artists.iter().any(|artist| feedback.blocked.as_ref() == Some(&artist.id)) {
                say("is by the artist just blocked");
            }
            if !relaxed && feedback.skipped.contains(id) {
                say("was just skipped");
            }
            if !relaxed && heard.contains(&track.recording_id) {
                say("was heard in the window");
            }
            if !recordings.insert(&track.recording_id) {
                say("is there twice");
            }
        }
        let possible = self.possible(feedback);
        if tracks.len() < possible {
            broken.push(format!("the list has {} tracks and could have {possible}", tracks.len()));
        }
        broken
    }

    /// Whether a hard rule of the listener's record forbids a track.
    fn against_rules(&self, track: &Track) -> bool {
        let user = self.user;
        !track.regions.allows(user.region)
            || user.filter_explicit && track.explicit != Some(false)
            || track.artists.iter().any(|artist| user.blocked_artists.contains(&artist.id))
            || user.blocked_tracks.contains(&track.track_id)
    }

    /// Recordings heard in the window.
    fn heard(&self) -> HashSet<RecordingId> {
        let recent = |play: &&Play| self.as_of.days_since(play.played_at) < self.heard_days;
        let recording = |play: &Play| self.db.track(&play.track_id).map(|track| track.recording_id);
        self.plays.iter().filter(recent).filter_map(|play| recording(play).ok()).collect()
    }

    /// How many recordings may be shown, counted up to what was asked for.
    fn possible(&self, feedback: &Feedback) -> usize {
        let mut recordings = HashSet::new();
        for track in self.catalogue.tracks() {
            if recordings.len() == self.asked {
                break;
            }
            let blocked = track.artists.iter().any(|artist| feedback.blocked.as_ref() == Some(&artist.id));
            if !blocked && !self.against_rules(&track) {
                recordings.insert(track.recording_id);
            }
        }
        recordings.len()
    }
}
