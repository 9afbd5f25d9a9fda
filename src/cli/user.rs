//! `segue user`.

use clap::Subcommand;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::output::{print, print_json};
use crate::error::Result;
use crate::pipeline::portrait::Portrait;
use crate::pipeline::request::RequestContext;
use crate::types::{Timestamp, UserId, counted};

const EXAMPLES: &str = "\
Examples:
  segue user show u1
  segue user show u1 --as-of 2026-11-01T00:00:00Z --json --data ./segue-data";

/// What the database knows of a listener.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct UserArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Record, taste and session of one listener
    Show {
        /// Who
        #[arg(value_name = "ID")]
        user: UserId,
        /// The moment [default: now]
        #[arg(long, value_name = "RFC3339")]
        as_of: Option<Timestamp>,
        /// Minutes to add to UTC for the listener's local time
        #[arg(long, value_name = "MINUTES", default_value_t = 0, allow_negative_numbers = true)]
        utc_offset: i32,
    },
}

impl UserArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        let Command::Show { user, as_of, utc_offset } = self.command;
        let backend = Backend::open(&self.backend)?;
        let context = RequestContext { utc_offset_min: utc_offset, ..RequestContext::default() };
        let portrait = backend.portrait(&user, as_of.unwrap_or_else(Timestamp::now), &context)?;
        if self.output.json {
            print_json(&portrait)?
        } else {
            print(&text(&portrait))?
        }
        backend.close()
    }
}

/// The portrait as lines for a terminal.
fn text(portrait: &Portrait) -> String {
    let user = &portrait.user;
    let mut lines = vec![format!(
        "{}: {}, {} of the last 90 days, {} saved",
        user.user_id,
        counted(u64::from(portrait.plays_total), "play"),
        portrait.plays,
        counted(portrait.saved, "track"),
    )];
    let mut tell = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<16} {value}"));
        }
    };
    tell("region", user.region.map_or_else(|| "unknown".to_owned(), |region| region.to_string()));
    tell("rules", rules(portrait));
    tell("genres", shares(&portrait.genres, 8));
    tell("morning", shares(&portrait.morning_genres, 4));
    tell("evening", shares(&portrait.evening_genres, 4));
    tell("artists", shares(&portrait.artists, 8));
    tell(
        "tempo",
        portrait.tempo_bpm.map_or_else(String::new, |(a, b)| format!("{a:.0} to {b:.0} beats a minute")),
    );
    tell("energy", portrait.energy.map_or_else(String::new, |(a, b)| format!("{a:.2} to {b:.2}")));
    tell("valence", portrait.valence.map_or_else(String::new, |x| format!("{x:.2}")));
    tell("danceability", portrait.danceability.map_or_else(String::new, |x| format!("{x:.2}")));
    let hours: Vec<String> = portrait.peak_hours.iter().map(|hour| format!("{hour}:00")).collect();
    tell("peak hours", hours.join(", "));
    tell("diversity", portrait.diversity.map_or_else(String::new, |x| format!("{x:.2}")));
    tell(
        "known for",
        portrait.profile_age_days.map_or_else(String::new, |days| counted(days.round() as u64, "day")),
    );
    if let Some((Some(energy), ..)) = portrait.mood {
        tell("session", format!("under way, energy {energy:.2}"));
    }
    let (shown, taken) = portrait.explored;
    if shown > 0 {
        tell("exploration", format!("{taken} of the last {shown} explored tracks were taken up"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn rules(portrait: &Portrait) -> String {
    let user = &portrait.user;
    let mut words = Vec::new();
    if user.filter_explicit {
        words.push("no explicit tracks".to_owned());
    }
    for (count, what) in [
        (user.blocked_artists.len(), "artists blocked"),
        (user.blocked_tracks.len(), "tracks hidden"),
        (user.followed_artists.len(), "artists followed"),
        (user.friends.len(), "friends"),
    ] {
        if count > 0 {
            words.push(format!("{count} {what}"));
        }
    }
    words.join(", ")
}

fn shares(list: &[(String, f64)], most: usize) -> String {
    let words: Vec<String> =
        list.iter().take(most).map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect();
    words.join(", ")
}
