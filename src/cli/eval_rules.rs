//! `segue eval rules`.

use super::output::{count, print, print_json};
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::eval::{RulesReport, RulesRequest, check_rules};
use crate::node::Segue;
use crate::types::Timestamp;

const EXAMPLES: &str = "\
Every list is checked against the stored records, not by the filters that made it. Exit status 0 only when nothing is wrong:
no broken rule, no repeat inside a window that the reply does not name, no list that is short while tracks remain.

Examples:
  segue eval rules --data ./segue-data --as-of 2026-11-01T00:00:00Z
  segue eval rules --data ./segue-data --surface discover_weekly --users 200 --probe-blocks 20 --json";

/// Ask for the lists of all listeners and look for broken rules.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct RulesArgs {
    /// The time of the requests [default: now]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
    /// Only this surface (repeatable) [default: every built-in surface and the default recipe]
    #[arg(long = "surface", value_name = "NAME")]
    surfaces: Vec<String>,
    /// At most so many listeners, evenly taken from all [default: all]
    #[arg(long, value_name = "COUNT")]
    users: Option<usize>,
    /// For so many listeners, block an artist, ask again at once, and take the block back; this writes
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    probe_blocks: usize,
}

impl RulesArgs {
    /// Runs the check in-process.
    ///
    /// # Errors
    /// `Conflict` when something is wrong (it is printed first); those of the database.
    pub fn run(self, engine: &Segue, json: bool) -> Result<()> {
        let request = RulesRequest {
            as_of: self.as_of.unwrap_or_else(Timestamp::now),
            surfaces: self.surfaces,
            users_max: self.users,
            probes: self.probe_blocks,
        };
        let bar = Progress::lists("rules");
        let report = check_rules(engine, &request, &|done, total| bar.at_list(done as u64, total as u64))?;
        drop(bar);
        if json {
            print_json(&report)?
        } else {
            print(&text(&report))?
        }
        if report.wrong == 0 {
            return Ok(());
        }
        Err(Error::Conflict(format!("lists break rules: {} findings", report.wrong)))
    }
}

fn text(report: &RulesReport) -> String {
    let (violations, repeats, short) = (&report.violations, &report.window_repeats, &report.short_lists);
    let shapes = &report.shapes;
    let hard = [
        ("region", violations.region),
        ("explicit", violations.explicit),
        ("blocked artist", violations.blocked_artist),
        ("blocked track", violations.blocked_track),
        ("taken down", violations.taken_down),
        ("release window", violations.release_window),
        ("shown right after a block", violations.after_block),
    ];
    let soft = [
        ("heard inside the window", repeats.heard),
        ("served inside the window", repeats.served),
        ("two versions of a recording", repeats.recording),
        ("over an artist's cap", shapes.artist_cap),
        ("over an album's cap", shapes.album_cap),
        ("one artist too close", shapes.artist_gap),
        ("explored in the first three", shapes.explored_first),
        ("short while tracks remain", short.while_tracks_remain),
        ("short and not said", short.unannounced),
        ("failed requests", report.errors),
    ];
    let mut text = format!(
        "{} listeners, {} lists, {} tracks; surfaces {}\n",
        count(report.users),
        count(report.lists),
        count(report.tracks),
        report.surfaces.join(", ")
    );
    for (name, value) in hard.into_iter().chain(soft) {
        text.push_str(&format!("{name:<28} {}\n", count(value)));
    }
    text.push_str(&format!(
        "allowed: {} lists relaxed something and said so, {} announced repeats, {} short lists, {} blocks tried\n",
        count(report.relaxed_lists),
        count(repeats.announced),
        count(short.total),
        count(report.probes)
    ));
    for example in &report.examples {
        text.push_str(&format!(
            "WRONG {} for {} on {}: {}\n",
            example.rule, example.user_id, example.surface, example.detail
        ));
    }
    text
}
