//! What replicas pay for a bulk load of vectors: one node builds the index, the others fetch its files.

use std::time::Instant;

use segue::api::Batch;
use segue::config::Settings;
use segue::generate::{Catalogue, GenerateParams, generate};
use segue::node::LoadKind;
use segue::types::{GenerationId, SpaceName};

use crate::servers::{self, Servers};
use crate::{Outcome, Place};

/// Measure what each of three nodes spends while vectors are loaded into the cluster.
#[derive(clap::Args)]
pub struct BulkArgs {
    #[command(flatten)]
    place: Place,
    /// Tracks, each with a vector
    #[arg(long, default_value_t = 200_000)]
    tracks: u32,
    /// Dimension of the vectors
    #[arg(long, default_value_t = 128)]
    dim: u32,
}

const LOAD: &str = "vectors";
const ROWS_A_CALL: usize = 1_000;

/// Prints processor seconds of each node, and those of the others as shares of the busiest.
pub fn run(args: &BulkArgs) -> Outcome<()> {
    let folder = args.place.folder()?;
    let params = GenerateParams {
        tracks: args.tracks,
        listeners: 1,
        audio_dim: args.dim,
        ..GenerateParams::default()
    };
    let made = generate(&params)?;
    let dirs = ["first", "second", "third"].map(|name| folder.path().join(name));
    eprintln!("making a database of {} tracks", args.tracks);
    servers::fill_tracks(&dirs[0], &made, Settings::default())?;
    let servers = Servers::cluster(&args.place.program()?, &dirs)?;
    let before = servers.cpu_seconds_each()?;
    let start = Instant::now();
    load(&servers, &made)?;
    let loaded = start.elapsed();
    // Files may still be on their way to the third.
    servers.settle()?;
    let after = servers.cpu_seconds_each()?;
    let mut spent: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    spent.sort_unstable_by(|a, b| b.total_cmp(a));
    println!("{} x {} loaded in {:.1} s", args.tracks, args.dim, loaded.as_secs_f64());
    for (place, seconds) in spent.iter().enumerate() {
        println!("node {}: {seconds:.2} processor seconds, {:.1} %", place + 1, 100.0 * seconds / spent[0]);
    }
    Ok(())
}

fn load(servers: &Servers, made: &Catalogue) -> Outcome<()> {
    let client = &servers.clients[0];
    let mut loader = client.loader(LOAD, client.load_progress(LOAD)?);
    let mut rows = made.audio_vectors();
    let mut first_row = 0;
    loop {
        let chunk: Vec<_> = rows.by_ref().take(ROWS_A_CALL).collect();
        if chunk.is_empty() {
            break;
        }
        let count = chunk.len() as u64;
        let batch = Batch::Vectors(SpaceName::new("audio")?, GenerationId::STATIC, chunk);
        loader.push(first_row, batch)?;
        first_row += count;
    }
    loader.flush()?;
    client.finish_load(LOAD, LoadKind::Vectors, &|_| {})?;
    Ok(())
}
