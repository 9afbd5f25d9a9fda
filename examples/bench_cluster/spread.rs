//! What a list costs when some track shards are on other nodes: four servers that have all of them, and then three of four each.

use std::time::Instant;

use segue::config::Settings;
use segue::node::Placing;
use segue::pipeline::request::RecommendRequest;
use segue::types::{Surface, UserId};

use crate::figures::percentile;
use crate::reports::{VOTERS, holds, is_calm, until};
use crate::servers::{Begun, Servers};
use crate::{AS_OF, Outcome, Place, SURFACE};

/// Measure lists before and after the track shards have their places.
#[derive(clap::Args)]
pub struct SpreadArgs {
    #[command(flatten)]
    place: Place,
    /// Track shards, of which each server of four keeps three quarters
    #[arg(long, default_value_t = 4)]
    track_shards: u16,
    /// Tracks of the made-up catalogue
    #[arg(long, default_value_t = 100_000)]
    tracks: u32,
    /// Its listeners, each of whom is asked for twice
    #[arg(long, default_value_t = 2_000)]
    listeners: u32,
}

const SERVERS: usize = 4;

/// Prints a line for each pass over the listeners.
pub fn run(args: &SpreadArgs) -> Outcome<()> {
    let mut settings = Settings::default();
    settings.storage.track_shards = args.track_shards;
    let mut begun = Begun::new(&args.place, (args.tracks, args.listeners), settings)?;
    let Begun { servers, made, program, fourth, .. } = &mut begun;
    let fourth = servers.join(program, fourth)?;
    let shards = usize::from(args.track_shards);
    until(&servers.clients[0], |report| holds(report, &fourth, "tracks-", shards))?;
    let users: Vec<UserId> = made.users().map(|user| user.user_id).collect();
    println!("track shards     lists         p50 ms   p99 ms  cpu ms a list  missing");
    passes(servers, "on every node", &users)?;
    servers.clients[0].place_shards(Placing::Rebalance { tracks: true }, false)?;
    until(&servers.clients[0], |report| {
        let of_tracks = report.replicas.iter().filter(|it| it.group.starts_with("tracks-"));
        of_tracks.count() == shards * VOTERS && is_calm(report)
    })?;
    passes(servers, "on three of four", &users)
}

/// Asks for every listener's list twice, one after the other, each time of the same server: what is kept of a listener is
/// kept there.
fn passes(servers: &Servers, name: &str, users: &[UserId]) -> Outcome<()> {
    for pass in ["first", "again"] {
        let before = servers.cpu_seconds()?;
        let (mut times, mut missing) = (Vec::new(), 0);
        for (at, user) in users.iter().enumerate() {
            let request = RecommendRequest {
                as_of: Some(AS_OF),
                ..RecommendRequest::new(user.clone(), Surface::new(SURFACE)?)
            };
            let start = Instant::now();
            let list = servers.clients[at % SERVERS].recommend(request)?;
            times.push(1e3 * start.elapsed().as_secs_f64());
            missing += usize::from(list.degraded.iter().any(|what| what.contains("tracks-")));
        }
        let cpu_ms = 1e3 * (servers.cpu_seconds()? - before) / users.len() as f64;
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        println!("{name:<16} {pass:<12} {p50:>7.2}  {p99:>7.2}  {cpu_ms:>13.2}  {missing:>7}");
    }
    Ok(())
}
