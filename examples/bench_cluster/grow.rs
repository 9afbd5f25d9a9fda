//! What callers notice while a node joins three and takes its share of the user shards, and while another is drained and
//! removed: times and errors of lists and of events, and how long any group had fewer than three voters.

mod callers;

use std::time::{Duration, Instant};

use segue::api::Client;
use segue::config::Settings;
use segue::node::{NodeState, Placing};

use crate::reports::{VOTERS, holds, is_calm, until};
use crate::servers::Begun;
use crate::{Outcome, Place};
use callers::Callers;

/// Measure lists and events while the nodes change.
#[derive(clap::Args)]
pub struct GrowArgs {
    #[command(flatten)]
    place: Place,
    /// Seconds before, between and after the changes
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Callers that ask for lists, one after the other
    #[arg(long, default_value_t = 2)]
    readers: u64,
    /// Events a second, one a call
    #[arg(long, default_value_t = 50)]
    events: u64,
    /// User shards
    #[arg(long, default_value_t = 8)]
    user_shards: u16,
    /// Tracks of the made-up catalogue
    #[arg(long, default_value_t = 20_000)]
    tracks: u32,
    /// Its listeners
    #[arg(long, default_value_t = 5_000)]
    listeners: u32,
}

/// Prints a line a phase.
pub fn run(args: &GrowArgs) -> Outcome<()> {
    let mut settings = Settings::default();
    settings.storage.user_shards = args.user_shards;
    let mut begun = Begun::new(&args.place, (args.tracks, args.listeners), settings)?;
    let Begun { servers, made, program, fourth, .. } = &mut begun;
    servers.clients[0].place_shards(Placing::Rebalance { tracks: false }, false)?;
    servers.settle()?;
    let callers = Callers::start(servers, made, (args.readers, args.events))?;
    println!(
        "phase                           s  lists   p50 ms  p99 ms  events  p50 ms  p99 ms  errors  under three voters"
    );
    let rest = Duration::from_secs(args.seconds);
    let phase = |name: &str, change: &mut dyn FnMut() -> Outcome<Duration>| -> Outcome<()> {
        callers.begin();
        let start = Instant::now();
        let under = change()?;
        println!("{}", callers.line(name, start.elapsed(), under)?);
        Ok(())
    };
    phase("three nodes", &mut || pause(rest))?;
    phase("a fourth takes its share", &mut || {
        let joining = servers.join(program, fourth)?;
        let under = until(&servers.clients[0], |report| holds(report, &joining, "tracks-", 1))?;
        servers.clients[0].place_shards(Placing::Rebalance { tracks: false }, false)?;
        // Each node of four holds three quarters of the shards.
        let share = usize::from(args.user_shards) * VOTERS / (VOTERS + 1);
        Ok(under
            + until(&servers.clients[0], |report| {
                holds(report, &joining, "users-", share) && is_calm(report)
            })?)
    })?;
    phase("four nodes", &mut || pause(rest))?;
    let leaving = node_of(&servers.clients[1])?;
    phase("one is drained and removed", &mut || {
        let client = &servers.clients[0];
        client.set_node_state(&leaving, NodeState::Draining, false)?;
        client.place_shards(Placing::Rebalance { tracks: false }, false)?;
        let under = until(client, |report| {
            let gone = !report.replicas.iter().any(|it| it.node == leaving && it.group.starts_with("users-"));
            gone && is_calm(report) && !report.replicas.iter().any(|it| it.node == leaving && it.votes)
        })?;
        callers.leave_out(1);
        client.set_node_state(&leaving, NodeState::Removed, false)?;
        Ok(under)
    })?;
    phase("three nodes again", &mut || pause(rest))?;
    callers.stop()
}

fn pause(rest: Duration) -> Outcome<Duration> {
    std::thread::sleep(rest);
    Ok(Duration::ZERO)
}

fn node_of(client: &Client) -> Outcome<String> {
    Ok(client.cluster_status()?.answered_by)
}
