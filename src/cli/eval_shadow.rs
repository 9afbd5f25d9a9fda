//! `segue eval shadow` and `segue eval split`: a recipe before, and while, it is tried on listeners.

use super::output::{Align, print, print_json, table};
use crate::error::Result;
use crate::eval::{Part, ShadowReport, ShadowRequest, Split, SplitReport, shadow, split};
use crate::node::Segue;
use crate::types::{Surface, Timestamp};

const SHADOW_EXAMPLES: &str = "\
Both recipes are asked for the same listeners at the same time. Nothing is written or shown.

Examples:
  segue eval shadow --surface daily_mix --shadow daily_mix@2 --data ./segue-data
  segue eval shadow --surface radio --shadow default --k 5 --users 200 --json --data ./segue-data";

const SPLIT_EXAMPLES: &str = "\
A listener's part follows from their id and the salt alone. The sizes of the parts are tested first; parts that are not what
they should be are not compared, and the exit status is 1.

Examples:
  segue eval split --salt radio-2026-11 --data ./segue-data
  segue eval split --salt radio-2026-11 --share 0.1 --surface radio --json --data ./segue-data";

/// How much the lists of a second recipe share with those in use
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = SHADOW_EXAMPLES)]
pub struct ShadowArgs {
    /// Where the lists are shown
    #[arg(long, value_name = "NAME")]
    surface: Surface,
    /// The recipe in use, by name or name@version [default: the surface's]
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
    /// The recipe in its shadow
    #[arg(long, value_name = "NAME")]
    shadow: String,
    /// Places from the top that are compared
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    k: usize,
    /// At most so many listeners
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    users: usize,
    /// The time of the requests [default: now]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
}

/// Two parts of the listeners, whether their sizes are sound, and what their lists brought in
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = SPLIT_EXAMPLES)]
pub struct SplitArgs {
    /// Names the test: the same salt is the same split
    #[arg(long, value_name = "TEXT")]
    salt: String,
    /// Share of the listeners in the second part
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    share: f64,
    /// Only lists of this surface
    #[arg(long, value_name = "NAME")]
    surface: Option<Surface>,
}

impl ShadowArgs {
    /// Runs the comparison in-process.
    ///
    /// # Errors
    /// Those of the requests.
    pub fn run(self, engine: &Segue, json: bool) -> Result<()> {
        let request = ShadowRequest {
            surface: self.surface,
            recipe: self.recipe,
            shadow: self.shadow,
            k: self.k.max(1),
            as_of: self.as_of.unwrap_or_else(Timestamp::now),
            listeners: self.users,
        };
        let report = shadow(engine, &request)?;
        if json { print_json(&report) } else { print(&shadow_text(&report)) }
    }
}

impl SplitArgs {
    /// Runs the check in-process.
    ///
    /// # Errors
    /// `InvalidField`; `Conflict` when the parts are not what they should be (they are printed first); damaged files.
    pub fn run(self, engine: &Segue, json: bool) -> Result<()> {
        let report = split(engine, &Split::new(self.salt, self.share)?, self.surface.as_ref())?;
        if json {
            print_json(&report)?
        } else {
            print(&split_text(&report))?
        }
        if report.is_sound {
            return Ok(());
        }
        Err(crate::error::Error::Conflict(format!(
            "the parts are not what they should be: do not compare them. p=`{:.6}`",
            report.ratio_p
        )))
    }
}

fn interval(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(String::new, |(low, high)| format!(" ({low:.4} to {high:.4})"))
}

fn shadow_text(report: &ShadowReport) -> String {
    let (a, b) = &report.recipes;
    let rows = [
        ("recipes", format!("{a}, {b}")),
        ("listeners", report.listeners.to_string()),
        ("same lists", report.same_lists.to_string()),
        ("short lists", format!("{}, {}", report.short_lists.0, report.short_lists.1)),
        ("relaxed lists", format!("{}, {}", report.relaxed_lists.0, report.relaxed_lists.1)),
    ];
    let overlap = format!("{:.4}{}", report.overlap, interval(report.overlap_interval));
    let mut all = vec![vec![format!("overlap@{}", report.k), overlap]];
    all.extend(rows.map(|(name, value)| vec![name.to_owned(), value]));
    table(&[Align::Left, Align::Left], &all)
}

fn split_text(report: &SplitReport) -> String {
    let row = |name: &str, part: &Part| {
        vec![
            name.to_owned(),
            part.listeners.to_string(),
            part.shown.to_string(),
            format!("{:.4}{}", part.reward, interval(part.reward_interval)),
        ]
    };
    let head = ["part", "listeners", "shown", "reward"].map(str::to_owned).to_vec();
    let rows = [head, row("first", &report.parts[0]), row("second", &report.parts[1])];
    let verdict = if report.is_sound { "sound" } else { "NOT SOUND" };
    let text = table(&[Align::Left, Align::Right, Align::Right, Align::Left], &rows);
    format!("{text}sizes of the parts: {verdict}, p = {:.4}\n", report.ratio_p)
}
