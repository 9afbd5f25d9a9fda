//! Events a second that are recorded, by writers in several threads: into a new database of this process, or a server.
//! `cargo run --release --example bench_feedback -- --user-shards 4 --writers 8 --batch 20`

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use segue::Segue;
use segue::api::Client;
use segue::config::Settings;
use segue::generate::{GenerateParams, generate};
use segue::types::{Action, FeedbackEvent, SplitMix64, Timestamp, Track, User};

#[derive(Parser)]
struct Args {
    /// User shards of the new database
    #[arg(long, default_value_t = 1)]
    user_shards: u16,
    /// A running server with an empty database instead
    #[arg(long)]
    endpoint: Option<String>,
    /// Threads that each wait for an answer before they send on
    #[arg(long, default_value_t = 8)]
    writers: u64,
    /// Events a call, each of another listener
    #[arg(long, default_value_t = 20)]
    batch: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Over one stream for each writer, a few batches ahead of the answers
    #[arg(long, requires = "endpoint")]
    stream: bool,
    /// Where the new database is made and removed again
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

/// Who takes events.
enum Target {
    Library(Segue),
    Server(String),
}

const TRACKS: u32 = 5_000;
const LISTENERS: u32 = 5_000;
/// 2026-11-01T00:00:00Z.
const START_MS: i64 = 1_793_491_200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let folder = tempfile::tempdir_in(&args.folder)?;
    let params = GenerateParams { tracks: TRACKS, listeners: LISTENERS, ..GenerateParams::default() };
    let made = generate(&params)?;
    let (tracks, users): (Vec<Track>, Vec<User>) = (made.tracks().collect(), made.users().collect());
    let target = match &args.endpoint {
        Some(endpoint) => {
            let client = Client::connect(endpoint)?;
            client.upsert_tracks(tracks.clone())?;
            client.upsert_users(users.clone())?;
            Target::Server(endpoint.clone())
        }
        None => {
            let mut settings = Settings::default();
            settings.storage.user_shards = args.user_shards;
            let (engine, _) = Segue::open(folder.path(), settings)?;
            engine.upsert_tracks(tracks.clone())?;
            engine.upsert_users(users.clone())?;
            Target::Library(engine)
        }
    };
    let (events, calls) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    let end = start + Duration::from_secs(args.seconds);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..args.writers)
            .map(|writer| {
                let (target, tracks, users) = (&target, &tracks, &users);
                let (args, events, calls, batch) = (&args, &events, &calls, args.batch);
                scope.spawn(move || -> segue::Result<()> {
                    let client = match target {
                        Target::Server(endpoint) => Some(Client::connect(endpoint)?),
                        Target::Library(_) => None,
                    };
                    let mut stream = client.as_ref().filter(|_| args.stream).map(Client::feedback_stream);
                    let mut rng = SplitMix64::new(writer);
                    let mut number = 0;
                    while Instant::now() < end {
                        let rows = (0..batch).map(|_| {
                            number += 1;
                            play(tracks, users, &mut rng, START_MS + number * 1_000 + writer as i64)
                        });
                        let rows = rows.collect();
                        let answered = match (target, &client, &mut stream) {
                            (.., Some(stream)) => stream.send(rows)?.len(),
                            (_, Some(client), None) => client.feedback(rows).map(|_| 1)?,
                            (Target::Library(engine), None, None) => engine.feedback(rows).map(|_| 1)?,
                            (Target::Server(_), None, None) => return Ok(()),
                        };
                        events.fetch_add(batch * answered as u64, Ordering::Relaxed);
                        calls.fetch_add(answered as u64, Ordering::Relaxed);
                    }
                    stream.as_mut().map_or(Ok(()), |stream| stream.flush().map(drop))
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().unwrap_or(Ok(())))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let (events, calls) = (events.into_inner() as f64, calls.into_inner() as f64);
    println!(
        "{:.0} events/s, {:.0} calls/s, {:.2} ms a call; writers={}, batch={}, user_shards={}",
        events / seconds,
        calls / seconds,
        1e3 * seconds * args.writers as f64 / calls,
        args.writers,
        args.batch,
        if args.endpoint.is_some() { "the server's".to_owned() } else { args.user_shards.to_string() }
    );
    Ok(())
}

fn play(tracks: &[Track], users: &[User], rng: &mut SplitMix64, at_ms: i64) -> FeedbackEvent {
    FeedbackEvent {
        user_id: users[rng.below(users.len() as u64) as usize].user_id.clone(),
        action: Action::Play,
        track_id: Some(tracks[rng.below(tracks.len() as u64) as usize].track_id.clone()),
        artist_id: None,
        at: Some(Timestamp(at_ms)),
        listened_ms: Some(60_000),
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    }
}
