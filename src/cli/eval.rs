//! `segue eval`.

use std::path::PathBuf;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::eval_rules::RulesArgs;
use super::output::print_json;
use crate::error::{Error, Result};
use crate::eval::{EvalRequest, evaluate};
use crate::types::Timestamp;

const EXAMPLES: &str = "\
Examples:
  segue eval --data ./segue-data --test split_test.parquet --recipe collaborative_only --as-of 2026-11-01T00:00:00Z
  segue eval --data ./segue-data --test split_test.parquet --recipe default --rules off --k 20 --json
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
    /// List length that is judged
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    k: u32,
    /// The time of the requests [default: now]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
    /// on: hard rules hold, heard recordings are masked, disallowed items leave the test; off: only heard tracks are masked
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    rules: String,
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
        if let Some(EvalCommand::Rules(rules)) = self.command {
            rules.run(&engine, self.output.json)?;
            return engine.shutdown();
        }
        let Some(test) = self.test else { return Err(Error::invalid("test", "must be given")) };
        let request = EvalRequest {
            recipe: self.recipe,
            k: self.k,
            as_of: self.as_of.unwrap_or_else(Timestamp::now),
            rules: self.rules == "on",
        };
        let report = evaluate(&engine, &test, &request)?;
        if self.output.json {
            return print_json(&report);
        }
        println!("users        {}", report.users);
        println!("NDCG@{:<7} {:.4}", request.k, report.ndcg);
        println!("precision    {:.4}", report.precision);
        println!("recall       {:.4}", report.recall);
        println!("coverage     {:.4}", report.coverage);
        println!("violations   {}", report.violations);
        println!("short lists  {}", report.short_lists);
        Ok(())
    }
}
