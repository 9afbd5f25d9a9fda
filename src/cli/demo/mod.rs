//! `segue demo`: a made-up catalogue, vectors trained for it, a database in a directory of its own, and three listeners who
//! are recommended music, object, and are obeyed.
//!
//! | step | where |
//! |---|---|
//! | the directory, temporary or kept | `place` |
//! | generate, train, load | `build` |
//! | who is shown, and what they like | `listener` |
//! | lists before and after feedback | `session` |
//! | that every list keeps its promises | `promises` |
//! | how it looks | `show` |
//!
//! What is shown is a function of seed and sizes but for the times it took. A broken promise is an error, and the exit status
//! says so. Absent on purpose: anything a caller could not do with the other commands; their names stand beside each step.

mod build;
mod listener;
mod place;
mod promises;
mod session;
mod show;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Instant;

use super::generate::PLAYS_PER_LISTENER;
use super::output::print;
use crate::error::Result;
use crate::generate::GenerateParams;
use place::Place;

const EXAMPLES: &str = "\
Examples:
  segue demo
  segue demo --seed 7 --tracks 20000 --listeners 1000
  segue demo --keep ./demo-data                      (then: segue serve --data ./demo-data)";

/// See it work: make up a catalogue, train vectors, load them, recommend.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// Decides everything that is left to chance
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Tracks, 100 to 200,000,000
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    tracks: u32,
    /// Listeners, at least 1; each has 200 plays on average
    #[arg(long, value_name = "COUNT", default_value_t = 5_000)]
    listeners: u32,
    /// Leave the database in this new directory, its files in DIR/files [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl DemoArgs {
    fn params(&self) -> GenerateParams {
        GenerateParams {
            tracks: self.tracks,
            listeners: self.listeners,
            plays: PLAYS_PER_LISTENER * u64::from(self.listeners),
            seed: self.seed,
            ..GenerateParams::default()
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// `InvalidField` for sizes out of range or a directory in use; `Internal` names a promise that was broken; those of the
    /// disk.
    pub fn run(self) -> Result<()> {
        let params = self.params();
        params.validate()?;
        let place = Place::new(self.keep.as_deref())?;
        let outcome = demonstrate(&params, &place);
        place.unless_interrupted();
        outcome
    }
}

fn demonstrate(params: &GenerateParams, place: &Place) -> Result<()> {
    let start = Instant::now();
    print(&show::title(params))?;
    let built = build::build(params, place)?;
    let listeners = listener::choose(&built.catalogue);
    for number in &listeners {
        session::run(&built, *number)?;
    }
    let shown = listeners.first().map(|number| built.user_id(*number)).transpose()?;
    built.backend.close()?;
    print(&show::farewell(place, shown.as_ref(), start.elapsed()))
}
