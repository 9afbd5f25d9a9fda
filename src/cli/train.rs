//! `segue train`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Subcommand;
use serde_json::{Value, json};

use super::args::OutputArgs;
use super::output::{count, note, print, print_json};
use crate::error::Result;
use crate::eval::hold_out::HoldOut;
use crate::eval::metrics::RankingReport;
use crate::train::{
    AlsModel, AlsParams, Durations, Interactions, PlaysShape, SweepReport, WeightParams, read_interactions,
    train_als,
};
use crate::types::Timestamp;

const EXAMPLES: &str = "\
FILE is Parquet: listening events, play counts or bare pairs, told apart by their columns
(docs/DATA.md). DIR gets user_cf.parquet, track_cf.parquet and gram.json. The result depends on the
rows, the parameters and the seed alone, never on the order of the rows or the number of threads.

Examples:
  segue train als --plays plays.parquet --tracks tracks.parquet --out ./model
  segue generation load ./model --activate --data ./segue-data
  segue train als --plays plays.parquet --hold-out --lambda 0.02  (how good? writes nothing)";

/// List length that a hold-out is judged at.
const HOLD_OUT_K: usize = 10;

/// Train vectors of listeners and tracks.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct TrainArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Implicit alternating least squares (Rendle et al., RecSys 2022)
    #[command(after_help = EXAMPLES)]
    Als(AlsArgs),
}

/// What to train on, and how.
#[derive(Debug, Clone, clap::Args)]
struct AlsArgs {
    /// What was played: events, counts or pairs
    #[arg(long, value_name = "FILE")]
    plays: PathBuf,
    /// The folder to write into; created when it does not exist
    #[arg(long, value_name = "DIR", required_unless_present = "hold_out", conflicts_with = "hold_out")]
    out: Option<PathBuf>,
    /// Tracks with their lengths, to weigh events by the share heard [default: 180 s each]
    #[arg(long, value_name = "FILE")]
    tracks: Option<PathBuf>,
    /// Dimension of the vectors, 1 to 1,024
    #[arg(long, value_name = "N", default_value_t = AlsParams::default().dim)]
    dim: usize,
    /// Weight of every pair, observed or not: larger gives more popular, safer lists
    #[arg(long, value_name = "X", default_value_t = AlsParams::default().alpha0)]
    alpha0: f64,
    /// Regularisation
    #[arg(long, value_name = "X", default_value_t = AlsParams::default().lambda)]
    lambda: f64,
    /// Exponent of the regularisation's scaling by frequency, 0 to 1
    #[arg(long, value_name = "X", default_value_t = AlsParams::default().nu)]
    nu: f64,
    /// Confidence that one unit of interaction weight adds
    #[arg(long, value_name = "X", default_value_t = AlsParams::default().alpha)]
    alpha: f64,
    /// Passes over the data
    #[arg(long, value_name = "COUNT", default_value_t = AlsParams::default().sweeps)]
    sweeps: u32,
    /// Seed of the first vectors
    #[arg(long, value_name = "NUMBER", default_value_t = AlsParams::default().seed)]
    seed: u64,
    /// Threads; the result does not depend on them [default: all processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Days after which an event counts half
    #[arg(long, value_name = "DAYS", default_value_t = WeightParams::HALF_LIFE_DAYS_DEFAULT)]
    half_life_days: f64,
    /// The time age is measured from; later events are left out [default: the newest event]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
    /// Leave out tracks with fewer listeners
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    min_listeners: usize,
    /// Train on four fifths of the pairs, chosen by a hash of their ids, judge on the last, and write nothing
    #[arg(long)]
    hold_out: bool,
}

/// What was read.
struct Input {
    shape: PlaysShape,
    data: Interactions,
    seconds: f64,
}

impl TrainArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// `InvalidField` names a wrong parameter, column or row; `Io` when a file cannot be read or written.
    pub fn run(self) -> Result<()> {
        let Command::Als(args) = self.command;
        let params = args.params();
        params.validate()?;
        let input = args.read()?;
        match &args.out {
            Some(out) => train(&params, &input, out, self.output.json),
            None => hold_out(&params, &input, self.output.json),
        }
    }
}

impl AlsArgs {
    fn params(&self) -> AlsParams {
        AlsParams {
            dim: self.dim,
            alpha0: self.alpha0,
            lambda: self.lambda,
            nu: self.nu,
            alpha: self.alpha,
            sweeps: self.sweeps,
            seed: self.seed,
            threads: self.threads,
        }
    }

    fn read(&self) -> Result<Input> {
        let start = Instant::now();
        let durations = self.tracks.as_deref().map(Durations::read).transpose()?.unwrap_or_default();
        let (shape, data) = read_interactions(&self.plays, &durations, self.half_life_days, self.as_of)?;
        let data = if self.min_listeners > 1 { data.with_listeners(self.min_listeners)? } else { data };
        let seconds = start.elapsed().as_secs_f64();
        note(&format!("{}: {}, read in {seconds:.1} s", self.plays.display(), described(shape, &data)));
        Ok(Input { shape, data, seconds })
    }
}

fn shape_name(shape: PlaysShape) -> &'static str {
    match shape {
        PlaysShape::Events => "events",
        PlaysShape::Counts => "counts",
        PlaysShape::Pairs => "pairs",
    }
}

fn described(shape: PlaysShape, data: &Interactions) -> String {
    format!(
        "{} of {} listeners and {} tracks, {} pairs ({} disliked)",
        shape_name(shape),
        count(data.users().len() as u64),
        count(data.items().len() as u64),
        count(data.pairs() as u64),
        count(data.disliked_pairs() as u64)
    )
}

fn train(params: &AlsParams, input: &Input, out: &Path, json: bool) -> Result<()> {
    let (model, losses, seconds) = sweep(params, &input.data)?;
    let written = model.write(out)?;
    if json {
        let mut document = document(params, input, &losses, seconds);
        document["out"] = json!(out.display().to_string());
        document["user_vectors"] = json!(written.users);
        document["track_vectors"] = json!(written.tracks);
        return print_json(&document);
    }
    let out = out.display();
    print(&format!(
        "trained {} user and {} track vectors of {} dimensions in {seconds:.1} s: {out}\nnext: segue generation load {out} \
         --activate --data ./segue-data\n",
        count(written.users),
        count(written.tracks),
        params.dim
    ))
}

fn hold_out(params: &AlsParams, input: &Input, json: bool) -> Result<()> {
    let parts = HoldOut::split(&input.data)?;
    let (model, losses, seconds) = sweep(params, &parts.train)?;
    let report = parts.judge(&model, HOLD_OUT_K);
    if json {
        let mut document = document(params, input, &losses, seconds);
        document["held_out"] = json!({
            "k": HOLD_OUT_K, "pairs": parts.pairs, "users": report.users, "ndcg": report.ndcg,
            "precision": report.precision, "recall": report.recall, "coverage": report.coverage,
        });
        return print_json(&document);
    }
    print(&judged(&report, parts.pairs))
}

fn judged(report: &RankingReport, pairs: u64) -> String {
    format!(
        "held out      {} pairs of {} listeners\nNDCG@{HOLD_OUT_K}       {:.4}\nprecision     {:.4}\nrecall        \
         {:.4}\ncoverage      {:.4}\n",
        count(pairs),
        count(report.users),
        report.ndcg,
        report.precision,
        report.recall,
        report.coverage
    )
}

/// Trains, and tells loss and time left after every sweep.
fn sweep(params: &AlsParams, data: &Interactions) -> Result<(AlsModel, Vec<f64>, f64)> {
    let start = Instant::now();
    let mut losses = Vec::new();
    let model = train_als(data, params, &mut |report: SweepReport| {
        losses.push(report.loss);
        let spent = start.elapsed().as_secs_f64();
        let left = spent / f64::from(report.sweep) * f64::from(report.sweeps - report.sweep);
        note(&format!(
            "sweep {:>3} of {}  loss {:>14.2}  {spent:>6.1} s, {left:.0} s left",
            report.sweep, report.sweeps, report.loss
        ));
    })?;
    Ok((model, losses, start.elapsed().as_secs_f64()))
}

fn document(params: &AlsParams, input: &Input, losses: &[f64], seconds: f64) -> Value {
    json!({
        "shape": shape_name(input.shape),
        "users": input.data.users().len(),
        "tracks": input.data.items().len(),
        "pairs": input.data.pairs(),
        "disliked_pairs": input.data.disliked_pairs(),
        "dim": params.dim,
        "alpha0": params.alpha0,
        "lambda": params.lambda,
        "nu": params.nu,
        "alpha": params.alpha,
        "seed": params.seed,
        "loss": losses,
        "read_s": input.seconds,
        "seconds": seconds,
    })
}
