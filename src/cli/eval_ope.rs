//! `segue eval ope`.

use super::output::{Align, print, print_json, table};
use crate::error::{Error, Result};
use crate::eval::{ExplorationEstimate, explore_otherwise};
use crate::node::Segue;

const EXAMPLES: &str = "\
Every explored slot that was reported as shown carries the probability it was drawn with. From that log this estimates what
exploration would have earned with another share of uniform draws: 1 is chance alone, 0 what was learnt alone. Rewards: a
save 1, at least 80 % played 0.8, at least 30 s 0.5, less 0. No number is printed that the log cannot carry: the mean weight
must be within 0.1 of 1 and the effective sample size above 100; otherwise the exit status is 1 and the message says why.

Examples:
  segue eval ope --data ./segue-data --epsilon 1
  segue eval ope --data ./segue-data --epsilon 0 --json";

/// Estimate what another way to explore would have earned
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct OpeArgs {
    /// Share of uniform draws of the policy that is asked about, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    epsilon: f64,
}

impl OpeArgs {
    /// Runs the estimate in-process.
    ///
    /// # Errors
    /// `InvalidField` for a share that is none; `Conflict` when the log cannot carry an estimate; damaged files.
    pub fn run(self, engine: &Segue, json: bool) -> Result<()> {
        if !(0.0..=1.0).contains(&self.epsilon) {
            return Err(Error::invalid(
                "epsilon",
                format!("must be between 0 and 1. epsilon=`{}`", self.epsilon),
            ));
        }
        let found = explore_otherwise(engine, self.epsilon)?;
        let found = found.map_err(|refusal| Error::Conflict(format!("no estimate: {refusal}")))?;
        if json { print_json(&found) } else { print(&text(&found)) }
    }
}

fn text(found: &ExplorationEstimate) -> String {
    let estimate = &found.estimate;
    let with_error = |(value, error): (f64, f64)| format!("{value:.4} +- {:.4}", 1.96 * error);
    let rows = [
        ("uniform draws", format!("{:.2}", found.epsilon)),
        ("logged draws", estimate.choices.to_string()),
        ("left out", found.left_out.to_string()),
        ("mean weight", format!("{:.3}", estimate.weight_mean)),
        ("sample size", format!("{:.0}", estimate.sample_size)),
        ("reward, as logged", format!("{:.4}", estimate.logged)),
        ("reward, ips", with_error(estimate.ips)),
        ("reward, snips", with_error(estimate.snips)),
        ("reward, dr", with_error(estimate.dr)),
    ];
    let rows: Vec<Vec<String>> = rows.map(|(name, value)| vec![name.to_owned(), value]).into();
    table(&[Align::Left, Align::Right], &rows)
}
