//! `segue feedback`.

use serde_json::json;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::output::{print, print_json};
use crate::error::Result;
use crate::types::{Action, ArtistId, EventId, FeedbackEvent, Timestamp, TrackId, UserId};

const EXAMPLES: &str = "\
Actions: play, skip, repeat, save, unsave, hide_track, unhide_track, block_artist, unblock_artist, follow_artist,
unfollow_artist, search, served

Examples:
  segue feedback --user u1 --action play --track t42 --listened-ms 180000 --data ./segue-data
  segue feedback --user u1 --action block_artist --artist a7 --endpoint http://127.0.0.1:7700
  segue feedback --user u1 --action served --impression TOKEN";

/// Record what a listener did.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct FeedbackArgs {
    /// Who
    #[arg(long, value_name = "ID")]
    user: UserId,
    /// What
    #[arg(long, value_name = "NAME")]
    action: Action,
    /// The track, for actions on tracks
    #[arg(long, value_name = "ID")]
    track: Option<TrackId>,
    /// The artist, for actions on artists
    #[arg(long, value_name = "ID")]
    artist: Option<ArtistId>,
    /// How long it was heard [default for play: the whole track]
    #[arg(long, value_name = "N")]
    listened_ms: Option<u32>,
    /// When, such as 2026-11-01T00:00:00Z [default: now]
    #[arg(long, value_name = "RFC3339")]
    at: Option<Timestamp>,
    /// The event's own identity: the same one is recorded once
    #[arg(long, value_name = "ID")]
    event_id: Option<EventId>,
    /// What was searched for, with `search`
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// The token of the list that was shown, with `served`
    #[arg(long, value_name = "TOKEN")]
    impression: Option<String>,
    /// Which positions of that list were shown, from 0 [default: all]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    positions: Vec<u32>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

impl FeedbackArgs {
    fn event(&self) -> FeedbackEvent {
        FeedbackEvent {
            user_id: self.user.clone(),
            action: self.action,
            track_id: self.track.clone(),
            artist_id: self.artist.clone(),
            at: self.at,
            listened_ms: self.listened_ms,
            event_id: self.event_id.clone(),
            query: self.query.clone(),
            impression: self.impression.clone(),
            positions: self.positions.clone(),
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        let event = self.event();
        event.validate()?;
        let backend = Backend::open(&self.backend)?;
        let (accepted, token) = backend.feedback(vec![event])?;
        let new = accepted.first().copied().unwrap_or(false);
        if self.output.json {
            print_json(&json!({ "accepted": new, "token": token }))?;
        } else {
            let outcome = if new { "recorded" } else { "recorded before; nothing changed" };
            print(&format!("{outcome}: {} by {}\n", self.action.as_str(), self.user))?;
        }
        backend.close()
    }
}
