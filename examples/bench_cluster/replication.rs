//! What replication costs: processor time a row, time of an acknowledgement, time of a list.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use segue::api::Client;
use segue::generate::{GenerateParams, generate};
use segue::pipeline::request::RecommendRequest;
use segue::types::{GenerationId, SpaceName, SplitMix64, Surface, UserId, VectorRow};

use crate::figures::{median, percentile};
use crate::servers::{self, Servers};
use crate::{AS_OF, Outcome, Place, SURFACE};

/// Measure one server alone and three of one cluster, in turns.
#[derive(clap::Args)]
pub struct ReplicationArgs {
    #[command(flatten)]
    place: Place,
    /// Measure this alone [default: all three]
    #[arg(long)]
    only: Option<What>,
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
}

const LISTENERS: u32 = 1_000;
const DIM: usize = 128;

/// What is written and asked for.
struct Load {
    args: ReplicationArgs,
    tracks: Vec<String>,
    users: Vec<UserId>,
}

/// What is measured, and in this order: rows as fast as answers come have their indexes built afterwards, which would
/// disturb the others.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Milliseconds of lists, one after the other
    Lists,
    /// Milliseconds of acknowledgements at the offered rate
    Acknowledgements,
    /// Processor time of a row, as fast as answers come
    Cost,
}

/// Prints a line a side and turn, then the medians side by side.
pub fn run(args: ReplicationArgs) -> Outcome<()> {
    let folder = args.place.folder()?;
    let made = generate(&GenerateParams {
        tracks: args.tracks,
        listeners: LISTENERS,
        audio_dim: DIM as u32,
        ..GenerateParams::default()
    })?;
    eprintln!("making a database of {} tracks and {LISTENERS} listeners, twice", args.tracks);
    let dirs = ["alone", "first", "second", "third"].map(|name| folder.path().join(name));
    for dir in &dirs[..2] {
        servers::fill(dir, &made, segue::config::Settings::default())?;
    }
    let program = args.place.program()?;
    let alone = Servers::alone(&program, &dirs[0])?;
    let cluster = Servers::cluster(&program, &dirs[1..])?;
    let load = Load {
        tracks: made.tracks().map(|track| track.track_id.to_string()).collect(),
        users: made.users().map(|user| user.user_id).collect(),
        args,
    };
    println!("fsync of 4 KiB here: {:.2} ms (p50)", fsync_p50(&folder.path().join("fsync"))?);
    println!("what              turn  servers       p50       p99   a second");
    for what in [What::Lists, What::Acknowledgements, What::Cost] {
        if load.args.only.is_none_or(|only| only == what) {
            load.compare(what, [&alone, &cluster])?;
        }
    }
    Ok(())
}

impl Load {
    /// Measures both sides in turns.
    fn compare(&self, what: What, sides: [&Servers; 2]) -> Outcome<()> {
        let mut medians = [Vec::new(), Vec::new()];
        for turn in 1..=self.args.rounds {
            for (side, servers) in sides.into_iter().enumerate() {
                let (name, p50, p99, rate) = self.measure(what, servers, turn as u64)?;
                println!(
                    "{name:<16}  {turn:>4}  {:>7}  {p50:>8.2}  {p99:>8.2}  {rate:>9.0}",
                    servers.clients.len()
                );
                medians[side].push(p50);
            }
        }
        let [alone, cluster] = medians.map(median);
        let (difference, times) = (cluster - alone, cluster / alone);
        println!("    medians: {alone:.2} and {cluster:.2}: {difference:+.2}, {times:.2} times");
        Ok(())
    }

    /// A name, the median and the 99th percentile, and how many there were a second.
    fn measure(&self, what: What, servers: &Servers, seed: u64) -> Outcome<(&'static str, f64, f64, f64)> {
        let args = &self.args;
        let figures = |name, times: &[f64]| {
            (name, percentile(times, 50), percentile(times, 99), times.len() as f64 / args.seconds as f64)
        };
        Ok(match what {
            What::Lists => figures("list, ms", &self.recommend(servers, seed)?),
            What::Acknowledgements => {
                figures("acknowledged, ms", &self.write(servers, seed, 1, Some(args.offered))?)
            }
            What::Cost => {
                let before = servers.cpu_seconds()?;
                let calls = self.write(servers, seed + 1_000, args.batch, None)?;
                let rows = calls.len() as f64 * args.batch as f64;
                let cpu_us = 1e6 * (servers.cpu_seconds()? - before) / rows;
                ("a row, cpu us", cpu_us, cpu_us, rows / args.seconds as f64)
            }
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
                ..RecommendRequest::new(user, Surface::new(SURFACE)?)
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
