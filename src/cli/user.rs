//! `segue user`.

use clap::Subcommand;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::output::{print, print_json};
use crate::error::Result;
use crate::pipeline::logged::{LoggedList, MadeBy};
use crate::pipeline::portrait::Portrait;
use crate::pipeline::request::RequestContext;
use crate::types::{Timestamp, UserId, counted};

const EXAMPLES: &str = "\
Examples:
  segue user show u1
  segue user show u1 --as-of 2026-11-01T00:00:00Z --json --data ./segue-data
  segue user lists u1 --limit 3";

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
    /// Lists that were reported as served to one listener, newest first: what each was made by, and how its slots were chosen
    Lists {
        /// Who
        #[arg(value_name = "ID")]
        user: UserId,
        /// Those shown until this moment [default: now]
        #[arg(long, value_name = "RFC3339")]
        until: Option<Timestamp>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
}

impl UserArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        match self.command {
            Command::Show { user, as_of, utc_offset } => {
                let context = RequestContext { utc_offset_min: utc_offset, ..RequestContext::default() };
                let portrait = backend.portrait(&user, as_of.unwrap_or_else(Timestamp::now), &context)?;
                if self.output.json { print_json(&portrait)? } else { print(&text(&portrait))? }
            }
            Command::Lists { user, until, limit } => {
                let until = until.unwrap_or_else(Timestamp::now);
                let lists = backend.logged_lists(&user, until, limit as usize)?;
                if self.output.json { print_json(&lists)? } else { print(&lists_text(&user, &lists))? }
            }
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

/// Logged lists as lines for a terminal.
fn lists_text(user: &UserId, lists: &[LoggedList]) -> String {
    if lists.is_empty() {
        return format!("nothing was reported as served to {user}; see `segue feedback --help`\n");
    }
    lists.iter().map(list_text).collect::<Vec<_>>().join("\n")
}

fn list_text(list: &LoggedList) -> String {
    let mut lines = vec![format!("{}  {}, request {}", list.at, list.surface, list.request_id)];
    match &list.made_by {
        Some(made_by) => lines.push(format!("  by {}", made_by_text(made_by))),
        None => lines.push("  what it was made by was not kept".to_owned()),
    }
    for slot in &list.slots {
        let mut words = vec![slot.source.clone().unwrap_or_else(|| "source unknown".to_owned())];
        if slot.explored {
            words.push(format!("explored by {}", slot.arm.as_deref().unwrap_or("an unknown arm")));
            words.extend(slot.propensity.map(|p| format!("propensity {p:.4}")));
        }
        lines.push(format!(
            "{:>4}. {} ({})  {}",
            slot.position + 1,
            slot.title,
            slot.track_id,
            words.join(", ")
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn made_by_text(made_by: &MadeBy) -> String {
    let mut words = vec![made_by.recipe.clone()];
    words.extend(made_by.experiment.as_ref().map(|of| format!("arm {} of {}", of.arm, of.experiment)));
    words.extend(made_by.generation.map(|id| format!("generation {id}")));
    words.push(format!("seed {}", made_by.seed));
    words.push(format!("candidates {:016x}", made_by.candidates_hash));
    words.push(format!("as of {}", made_by.as_of));
    words.join(", ")
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
