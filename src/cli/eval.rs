//! `segue eval`.

use std::path::PathBuf;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::eval_ope::OpeArgs;
use super::eval_rules::RulesArgs;
use super::eval_shadow::{ShadowArgs, SplitArgs};
use super::output::{Align, print, print_json, table};
use crate::error::{Error, Result};
use crate::eval::{Comparison, Difference, EvalReport, EvalRequest, compare, evaluate};
use crate::node::Segue;
use crate::types::Timestamp;

const EXAMPLES: &str = "\
Examples:
  segue eval --data ./segue-data --test split_test.parquet --recipe collaborative_only --as-of 2026-11-01T00:00:00Z
  segue eval --data ./segue-data --test split_test.parquet --recipe default --rules off --k 20 --json
  segue eval --data ./segue-data --test split_test.parquet --recipe collaborative_only --against default --explore off
  segue eval ope --data ./segue-data --epsilon 1
  segue eval rules --data ./segue-data --as-of 2026-11-01T00:00:00Z --json";

/// Judge a recipe on held-out listening, or every list by the rules.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_negates_reqs = true)]
pub struct EvalArgs {
    #[command(subcommand)]
    command: Option<EvalCommand>,
    /// Parquet file of held-out pairs: user_id, track_id
    #[arg(long, value_name = "FILE", required = true)]
    test: Option<PathBuf>,
    /// The recipe, by name or name@version
    #[arg(long, value_name = "NAME", default_value = "collaborative_only")]
    recipe: String,
    /// Another recipe, judged on the same users, with intervals of the differences
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// List length that is judged
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    k: u32,
    /// The time of the requests [default: now]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
    /// on: hard rules hold, heard recordings are masked, disallowed items leave the test; off: only heard tracks are masked
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    rules: String,
    /// off: no exploration slots, whatever the recipe says
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    explore: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

/// What else can be judged.
#[derive(Debug, Clone, clap::Subcommand)]
enum EvalCommand {
    /// Ask for the lists of all listeners and look for broken rules
    Rules(RulesArgs),
    /// Estimate what another way to explore would have earned
    Ope(OpeArgs),
    /// How much the lists of a second recipe share with those in use
    Shadow(ShadowArgs),
    /// Two parts of the listeners, whether their sizes are sound, and what their lists brought in
    Split(SplitArgs),
}

impl EvalArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of the file.
    pub fn run(self) -> Result<()> {
        let Backend::Local(engine) = Backend::open(&self.backend)? else {
            return Err(Error::invalid(
                "endpoint",
                "evaluation runs in-process: stop the server and use --data DIR",
            ));
        };
        let json = self.output.json;
        match self.command.clone() {
            Some(EvalCommand::Rules(rules)) => rules.run(&engine, json)?,
            Some(EvalCommand::Ope(ope)) => ope.run(&engine, json)?,
            Some(EvalCommand::Shadow(shadow)) => shadow.run(&engine, json)?,
            Some(EvalCommand::Split(split)) => split.run(&engine, json)?,
            None => self.judge(&engine)?,
        }
        engine.shutdown()
    }

    /// Judges one recipe, or two side by side.
    fn judge(self, engine: &Segue) -> Result<()> {
        let Some(test) = self.test else { return Err(Error::invalid("test", "must be given")) };
        let request = EvalRequest {
            recipe: self.recipe,
            k: self.k,
            as_of: self.as_of.unwrap_or_else(Timestamp::now),
            rules: self.rules == "on",
            explore: self.explore == "on",
        };
        if let Some(other) = &self.against {
            let found = compare(engine, &test, &request, other)?;
            return if self.output.json { print_json(&found) } else { print(&both(&found, request.k)) };
        }
        let report = evaluate(engine, &test, &request)?;
        if self.output.json {
            return print_json(&report);
        }
        print(&one(&report, request.k))
    }
}

/// A row of the table: a measure, its name among `eval::MEANS` if it is one, and its value in a report.
type Row = (String, Option<&'static str>, fn(&EvalReport) -> String);

/// What is told of a recipe, in lists of `k`.
fn measures(k: u32) -> Vec<Row> {
    let row = |name: &str, mean, value: fn(&EvalReport) -> String| (name.to_owned(), mean, value);
    vec![
        row("users", None, |r| r.users.to_string()),
        row(&format!("NDCG@{k}"), Some("ndcg"), |r| number(r.ndcg)),
        row("  new listeners", None, |r| {
            r.ndcg_new.map_or_else(String::new, |(x, n)| format!("{x:.4} of {n}"))
        }),
        row("precision", Some("precision"), |r| number(r.precision)),
        row("recall", Some("recall"), |r| number(r.recall)),
        row("coverage", None, |r| number(r.coverage)),
        row("Gini", None, |r| number(r.quality.gini)),
        row("novelty, bits", Some("novelty"), |r| number(r.quality.novelty)),
        row("intra-list distance", Some("intra_list_distance"), |r| number(r.quality.intra_list_distance)),
        row("artist repeats", Some("artist_repeats"), |r| number(r.quality.artist_repeats)),
        row("window repeats", None, |r| r.quality.window_repeats.to_string()),
        row("explored share", Some("explored"), |r| number(r.quality.explored)),
        row("energy-curve error", Some("energy_error"), |r| number(r.quality.energy_error)),
        row("violations", None, |r| r.violations.to_string()),
        row("short lists", None, |r| r.short_lists.to_string()),
        row("relaxed lists", None, |r| r.relaxed_lists.to_string()),
    ]
}

fn number(value: f64) -> String {
    format!("{value:.4}")
}

/// A row a measure, a column a report, and behind them how sure the means are.
fn rows(
    reports: &[&EvalReport],
    k: u32,
    heading: &str,
    sureness: impl Fn(&str) -> Option<String>,
) -> Vec<Vec<String>> {
    let recipes = reports.iter().map(|report| report.recipe.clone());
    let first = ["recipe".to_owned()].into_iter().chain(recipes).chain([heading.to_owned()]).collect();
    let row = |(name, mean, value): Row| -> Vec<String> {
        let values = reports.iter().map(|report| value(report));
        [name].into_iter().chain(values).chain([mean.and_then(&sureness).unwrap_or_default()]).collect()
    };
    std::iter::once(first).chain(measures(k).into_iter().map(row)).collect()
}

/// One recipe as a table.
fn one(report: &EvalReport, k: u32) -> String {
    let interval =
        |mean: &str| report.intervals.get(mean).map(|(low, high)| format!("{low:.4} to {high:.4}"));
    table(&[Align::Left, Align::Right, Align::Right], &rows(&[report], k, "95 % interval", interval))
}

/// Two recipes side by side as a table.
fn both(found: &Comparison, k: u32) -> String {
    let difference = |mean: &str| {
        found.differences.get(mean).map(|Difference { mean, interval }| match interval {
            Some((low, high)) => format!("{mean:+.4} ({low:+.4} to {high:+.4})"),
            None => format!("{mean:+.4}"),
        })
    };
    let reports = [&found.base, &found.other];
    let align = [Align::Left, Align::Right, Align::Right, Align::Right];
    let mut text = table(&align, &rows(&reports, k, "difference (95 % interval)", difference));
    text.push_str(&format!(
        "\nOf two lists of one listener {:.1} % of the tracks are the same.\n",
        100.0 * found.overlap
    ));
    text
}
