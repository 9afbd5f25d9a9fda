//! What replication costs: one server alone, and three servers of one cluster on the same machine, measured in turns.
//!
//! ```text
//! cargo build --release
//! cargo run --release --example bench_replication -- --rounds 3 --seconds 8
//! ```
//!
//! Processor seconds are those of the server processes (user and system, from `/proc/PID/stat`), not the writers'.

mod servers;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Parser;
use segue::api::Client;
use segue::generate::{GenerateParams, generate};
use segue::pipeline::request::RecommendRequest;
use segue::types::{GenerationId, SpaceName, SplitMix64, Surface, Timestamp, UserId, VectorRow};
use servers::Servers;

#[derive(Parser)]
struct Args {
    /// The server program [default: `segue` beside this program's folder]
    #[arg(long)]
    segue: Option<PathBuf>,
    /// Turns: in each, the server alone and then the cluster
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement lasts
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Writers that wait for each answer
    #[arg(long, default_value_t = 16)]
    writers: u64,
    /// Rows a call where the cost of a row is measured
    #[arg(long, default_value_t = 20)]
    batch: u64,
    /// Rows a second offered, one a call, where the time of an answer is measured
    #[arg(long, default_value_t = 1_000)]
    offered: u64,
    /// Tracks of the made-up catalogue
    #[arg(long, default_value_t = 20_000)]
    tracks: u32,
    /// Where the databases are made and removed again
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const LISTENERS: u32 = 1_000;
const DIM: usize = 128;
/// 2026-11-01T00:00:00Z.
const AS_OF: Timestamp = Timestamp(1_793_491_200_000);

/// What is written and asked for.
struct Load {
    args: Args,
    tracks: Vec<String>,
    users: Vec<UserId>,
}

/// One side in one turn.
struct Figures {
    cpu_us_a_row: f64,
    rows_a_second: f64,
    /// Milliseconds.
    acknowledged_p50: f64,
    acknowledged_p99: f64,
    recommend_p50: f64,
    recommend_p99: f64,
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir_in(&args.folder)?;
    let made = generate(&GenerateParams {
        tracks: args.tracks,
        listeners: LISTENERS,
        audio_dim: DIM as u32,
        ..GenerateParams::default()
    })?;
    eprintln!("making a database of {} tracks and {LISTENERS} listeners, twice", args.tracks);
    let dirs = ["alone", "first", "second", "third"].map(|name| folder.path().join(name));
    for dir in &dirs[..2] {
        servers::fill(dir, &made)?;
    }
    let program = servers::program(args.segue.clone())?;
    let alone = Servers::alone(&program, &dirs[0])?;
    let cluster = Servers::cluster(&program, &dirs[1..])?;
    let load = Load {
        tracks: made.tracks().map(|track| track.track_id.to_string()).collect(),
        users: made.users().map(|user| user.user_id).collect(),
        args,
    };
    println!("fsync of 4 KiB here: {:.2} ms (p50)", fsync_p50(&folder.path().join("fsync"))?);
    println!("turn  servers  cpu us/row  rows/s  ack p50 ms  ack p99 ms  recommend p50 ms  p99 ms");
    let mut sides = [Vec::new(), Vec::new()];
    for turn in 1..=load.args.rounds {
        for (side, servers) in [&alone, &cluster].into_iter().enumerate() {
            let figures = load.measure(servers, turn as u64)?;
            println!(
                "{turn:>4}  {:>7}  {:>10.1}  {:>6.0}  {:>10.2}  {:>10.2}  {:>16.2}  {:>6.2}",
                servers.clients.len(),
                figures.cpu_us_a_row,
                figures.rows_a_second,
                figures.acknowledged_p50,
                figures.acknowledged_p99,
                figures.recommend_p50,
                figures.recommend_p99
            );
            sides[side].push(figures);
        }
    }
    let of = |side: usize, what: fn(&Figures) -> f64| median(sides[side].iter().map(what).collect());
    println!(
        "medians: cpu a row {:.2} times; acknowledgement {:+.2} ms; recommend {:+.2} ms",
        of(1, |it| it.cpu_us_a_row) / of(0, |it| it.cpu_us_a_row),
        of(1, |it| it.acknowledged_p50) - of(0, |it| it.acknowledged_p50),
        of(1, |it| it.recommend_p50) - of(0, |it| it.recommend_p50),
    );
    Ok(())
}

impl Load {
    fn measure(&self, servers: &Servers, seed: u64) -> Outcome<Figures> {
        let args = &self.args;
        let recommend = self.recommend(servers, seed)?;
        let paced = self.write(servers, seed, 1, Some(args.offered))?;
        let before = servers.cpu_seconds()?;
        let start = Instant::now();
        let closed = self.write(servers, seed + 1_000, args.batch, None)?;
        let seconds = start.elapsed().as_secs_f64();
        let rows = closed.len() as f64 * args.batch as f64;
        Ok(Figures {
            cpu_us_a_row: 1e6 * (servers.cpu_seconds()? - before) / rows,
            rows_a_second: rows / seconds,
            acknowledged_p50: percentile(&paced, 50),
            acknowledged_p99: percentile(&paced, 99),
            recommend_p50: percentile(&recommend, 50),
            recommend_p99: percentile(&recommend, 99),
        })
    }

    /// Milliseconds of each call that writes `batch` vectors of 128 dimensions; without a rate as fast as answers come.
    /// Writers are spread over the servers, as clients behind a load balancer are.
    fn write(&self, servers: &Servers, seed: u64, batch: u64, rate: Option<u64>) -> Outcome<Vec<f64>> {
        let args = &self.args;
        let all = Mutex::new(Vec::new());
        let end = Instant::now() + Duration::from_secs(args.seconds);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..args.writers)
                .map(|writer| {
                    let client = &servers.clients[writer as usize % servers.clients.len()];
                    let all = &all;
                    let pause = rate.map(|rate| Duration::from_secs_f64(args.writers as f64 / rate as f64));
                    scope.spawn(move || -> Outcome<()> {
                        let mut rng = SplitMix64::new(seed << 8 | writer);
                        let mut times = Vec::new();
                        // Writers begin at different moments of their common pace.
                        let mut due = Instant::now() + pause.unwrap_or_default().mul_f64(rng.uniform());
                        while due < end {
                            std::thread::sleep(due.saturating_duration_since(Instant::now()));
                            let rows = (0..batch).map(|_| self.row(&mut rng)).collect();
                            // Late by as much as this writer has fallen behind, which a caller would notice.
                            let start = if pause.is_some() { due } else { Instant::now() };
                            client.upsert_vectors(&SpaceName::new("audio")?, GenerationId::STATIC, rows)?;
                            times.push(1e3 * start.elapsed().as_secs_f64());
                            due = pause.map_or_else(Instant::now, |pause| due + pause);
                        }
                        all.lock().map_err(|_| "a writer panicked")?.append(&mut times);
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|it| it.join().map_err(|_| "a writer panicked")?)
        })?;
        Ok(all.into_inner()?)
    }

    fn row(&self, rng: &mut SplitMix64) -> VectorRow {
        let vector = (0..DIM).map(|_| rng.uniform() as f32 - 0.5).collect();
        VectorRow { id: self.tracks[rng.below(self.tracks.len() as u64) as usize].clone(), vector }
    }

    /// Milliseconds of each list, one after the other, asked of the servers in turn.
    fn recommend(&self, servers: &Servers, seed: u64) -> Outcome<Vec<f64>> {
        let mut rng = SplitMix64::new(seed);
        let mut times = Vec::new();
        let mut ask = |client: &Client| -> Outcome<f64> {
            let user = self.users[rng.below(self.users.len() as u64) as usize].clone();
            let request = RecommendRequest {
                as_of: Some(AS_OF),
                ..RecommendRequest::new(user, Surface::new("discover_weekly")?)
            };
            let start = Instant::now();
            client.recommend(request)?;
            Ok(1e3 * start.elapsed().as_secs_f64())
        };
        for client in servers.clients.iter().cycle().take(300) {
            ask(client)?;
        }
        let end = Instant::now() + Duration::from_secs(self.args.seconds);
        for client in servers.clients.iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            times.push(ask(client)?);
        }
        Ok(times)
    }
}

fn fsync_p50(path: &std::path::Path) -> Outcome<f64> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(percentile(&times, 50))
}

fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn median(values: Vec<f64>) -> f64 {
    percentile(&values, 50)
}
