//! What a cluster costs, and what it does while it changes; servers are processes of this machine.
//!
//! ```text
//! cargo build --release
//! cargo run --release --example bench_cluster -- replication --rounds 3 --seconds 8
//! cargo run --release --example bench_cluster -- bulk --tracks 1000000
//! cargo run --release --example bench_cluster -- grow
//! cargo run --release --example bench_cluster -- spread
//! ```
//!
//! Processor seconds are those of the server processes (user and system, from `/proc/PID/stat`), not the callers'.

mod bulk;
mod figures;
mod grow;
mod replication;
mod reports;
mod servers;
mod spread;

use std::path::PathBuf;

use clap::Parser;
use segue::types::Timestamp;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// 2026-11-01T00:00:00Z, the time of all requests.
const AS_OF: Timestamp = Timestamp(1_793_491_200_000);
/// Where lists are shown.
const SURFACE: &str = "discover_weekly";

#[derive(Parser)]
enum Command {
    Replication(replication::ReplicationArgs),
    Bulk(bulk::BulkArgs),
    Grow(grow::GrowArgs),
    Spread(spread::SpreadArgs),
}

/// Which program runs, and where.
#[derive(clap::Args)]
struct Place {
    /// The server program [default: `segue` beside this program's folder]
    #[arg(long)]
    segue: Option<PathBuf>,
    /// Where the databases are made and removed again
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

impl Place {
    fn folder(&self) -> Outcome<tempfile::TempDir> {
        Ok(tempfile::tempdir_in(&self.folder)?)
    }

    fn program(&self) -> Outcome<PathBuf> {
        servers::program(self.segue.clone())
    }
}

fn main() -> Outcome<()> {
    match Command::parse() {
        Command::Replication(args) => replication::run(args),
        Command::Bulk(args) => bulk::run(&args),
        Command::Grow(args) => grow::run(&args),
        Command::Spread(args) => spread::run(&args),
    }
}
