//! `segue eval`.

use std::path::PathBuf;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::eval_ope::OpeArgs;
use super::eval_rules::RulesArgs;
use super::eval_shadow::{ShadowArgs, SplitArgs};
use super::output::{Align, print, print_json, table};
use crate::error::{Error, Result};
use crate::eval::{Comparison, EvalReport, EvalRequest, compare, evaluate};
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
        print(&table(&[Align::Left, Align::Right], &columns(&[&report], request.k)))
    }
}

fn interval(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(String::new, |(low, high)| format!("{low:+.4} to {high:+.4}"))
}

/// A row a measure, a column a report.
fn columns(reports: &[&EvalReport], k: u32) -> Vec<Vec<String>> {
    let row = |name: &str, value: &dyn Fn(&EvalReport) -> String| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(reports.iter().map(|report| value(report))).collect()
    };
    let number = |value: f64| format!("{value:.4}");
    vec![
        row("recipe", &|r| r.recipe.clone()),
        row("users", &|r| r.users.to_string()),
        row(&format!("NDCG@{k}"), &|r| number(r.ndcg)),
        row("  interval", &|r| {
            r.ndcg_interval.map_or_else(String::new, |(a, b)| format!("{a:.4} to {b:.4}"))
        }),
        row("  new listeners", &|r| r.ndcg_new.map_or_else(String::new, |(x, n)| format!("{x:.4} of {n}"))),
        row("precision", &|r| number(r.precision)),
        row("recall", &|r| number(r.recall)),
        row("coverage", &|r| number(r.coverage)),
        row("Gini", &|r| number(r.quality.gini)),
        row("novelty, bits", &|r| format!("{:.2}", r.quality.novelty)),
        row("intra-list distance", &|r| number(r.quality.intra_list_distance)),
        row("artist repeats", &|r| number(r.quality.artist_repeats)),
        row("window repeats", &|r| r.quality.window_repeats.to_string()),
        row("explored share", &|r| number(r.quality.explored)),
        row("energy-curve error", &|r| number(r.quality.energy_error)),
        row("violations", &|r| r.violations.to_string()),
        row("short lists", &|r| r.short_lists.to_string()),
        row("relaxed lists", &|r| r.relaxed_lists.to_string()),
    ]
}

fn both(found: &Comparison, k: u32) -> String {
    let columns = columns(&[&found.base, &found.other], k);
    let mut text = table(&[Align::Left, Align::Right, Align::Right], &columns);
    text.push_str(&format!(
        "\nNDCG difference {:+.4} ({}), distance difference {:+.4} ({}), overlap {:.1} %\n",
        found.ndcg_difference,
        interval(found.ndcg_difference_interval),
        found.distance_difference,
        interval(found.distance_difference_interval),
        100.0 * found.overlap,
    ));
    text
}
