//! Runs `segue bench ann` by itself: `cargo run --release --example bench_ann -- --base base.npy --query query.npy --metric ip`.

use clap::Parser;
use segue::cli::bench_ann::{BenchAnnArgs, run};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    bench: BenchAnnArgs,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse().bench;
    let report = run(&args)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}
