//! All commands.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::output::print_error;
use super::{
    batch, bench, cluster, contents, demo, estimate, eval, experiment, explain, feedback, generate,
    generation, inspect, load, recipe, recommend, search, serve, similar, train, user, verify,
};
use crate::error::Result;

const AFTER_HELP: &str = "\
Query and admin commands take either --endpoint http://HOST:PORT (a running `segue serve`; also SEGUE_ENDPOINT) or
--data DIR (the database in that directory, opened in-process). --json prints one JSON document on standard output.

Examples:
  segue demo
  segue serve --data ./segue-data
  segue load tracks tracks.parquet --endpoint http://127.0.0.1:7700
  segue recommend --user u1 --surface discover_weekly --endpoint http://127.0.0.1:7700";

/// Segue, a vector database for music recommendation.
#[derive(Debug, Parser)]
#[command(name = "segue", version, about, after_help = AFTER_HELP, max_term_width = 100)]
pub struct App {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work: make up a catalogue, train, load, recommend
    Demo(demo::DemoArgs),
    /// Serve a database over gRPC
    Serve(serve::ServeArgs),
    /// Make up a catalogue with listeners and plays
    Generate(generate::GenerateArgs),
    /// Train vectors of listeners and tracks
    Train(train::TrainArgs),
    /// Load a Parquet file of tracks, users, plays or vectors
    Load(load::LoadArgs),
    /// A finished list for one listener
    Recommend(recommend::RecommendArgs),
    /// Tracks like some tracks
    Similar(similar::SimilarArgs),
    /// The most popular tracks under a filter, or those nearest to a vector
    Search(search::SearchArgs),
    /// The stored tracks, listeners or vectors, page by page
    List(contents::ListArgs),
    /// Why a track is, or is not, in a listener's list
    Explain(explain::ExplainArgs),
    /// Record what a listener did
    Feedback(feedback::FeedbackArgs),
    /// Lists for all listeners, a Parquet file a partition
    Batch(batch::BatchArgs),
    /// Judge a recipe on held-out listening
    Eval(eval::EvalArgs),
    /// Measure speed
    Bench(bench::BenchArgs),
    /// Print what a file of the database holds
    Inspect(inspect::InspectArgs),
    /// Check every checksum and cross-reference of a database that is not running
    Verify(verify::VerifyArgs),
    /// See and change the nodes of a cluster
    Cluster(cluster::ClusterArgs),
    /// Memory and disk a database of some size needs
    Estimate(estimate::EstimateArgs),
    /// Create, fill, activate and roll back embedding generations
    Generation(generation::GenerationArgs),
    /// Record, taste and session of a listener
    User(user::UserArgs),
    /// List, show, compare, store and activate recipes
    Recipe(recipe::RecipeArgs),
    /// Try recipes on parts of a surface's listeners, and in the shadow of what is served
    Experiment(experiment::ExperimentArgs),
}

impl App {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, to be printed by the caller.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Demo(args) => args.run(),
            Command::Serve(args) => args.run(),
            Command::Generate(args) => args.run(),
            Command::Train(args) => args.run(),
            Command::Load(args) => args.run(),
            Command::Recommend(args) => args.run(),
            Command::Similar(args) => args.run(),
            Command::Search(args) => args.run(),
            Command::List(args) => args.run(),
            Command::Explain(args) => args.run(),
            Command::Feedback(args) => args.run(),
            Command::Batch(args) => args.run(),
            Command::Eval(args) => args.run(),
            Command::Bench(args) => args.run(),
            Command::Inspect(args) => args.run(),
            Command::Verify(args) => args.run(),
            Command::Cluster(args) => args.run(),
            Command::Estimate(args) => args.run(),
            Command::Generation(args) => args.run(),
            Command::User(args) => args.run(),
            Command::Recipe(args) => args.run(),
            Command::Experiment(args) => args.run(),
        }
    }
}

/// Parses and runs one command line; the exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let app = match App::try_parse_from(arguments) {
        Ok(app) => app,
        Err(usage) => {
            // Help and version are answers and go to standard output with status 0; clap knows which is which.
            let _ = usage.print();
            return u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match app.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}
