//! `segue bench`.

use clap::Subcommand;

use super::bench_ann::{self, BenchAnnArgs};
use super::bench_recommend::BenchRecommendArgs;
use super::output::{print, print_json};
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  segue bench ann --base base.npy --query query.npy --metric cosine --k 10 --json
  segue bench recommend --data ./segue-data --surface discover_weekly --concurrency 1 --seconds 10 --json
  segue bench recommend --endpoint http://127.0.0.1:7700 --surface radio --concurrency 16 --seconds 30";

/// Measure speed.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// The vector index: recall against rate, on vectors of your own
    Ann(BenchAnnArgs),
    /// Finished lists: rate, latency, short lists
    Recommend(BenchRecommendArgs),
}

impl BenchArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the benchmark.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Ann(args) => ann(&args),
            Command::Recommend(args) => args.run(),
        }
    }
}

fn ann(args: &BenchAnnArgs) -> Result<()> {
    let report = bench_ann::run(args)?;
    if args.json { print_json(&report) } else { print(&report.table()) }
}
