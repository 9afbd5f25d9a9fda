//! Load, kill -9 at a random moment, start again, look whether every acknowledged write is there; and on with the same
//! directory.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use segue::types::SplitMix64;

use crate::check::{Acknowledged, check};
use crate::script::Lane;
use crate::support::{env_number, seed};
use crate::{check::opened, child};

/// The longest a child may take to open the directory.
const OPEN_LIMIT: Duration = Duration::from_secs(60);

/// How many user shards each of the databases has that are killed in turns.
const SHARDS: [u16; 2] = [1, 3];

/// A database and what it has acknowledged.
struct Victim {
    folder: tempfile::TempDir,
    shards: u16,
    acknowledged: Acknowledged,
}

/// 6 rounds, or `SEGUE_CRASH_ROUNDS`; every other one on a database with several user shards.
pub fn no_acknowledged_write_is_lost() -> String {
    let seed = seed(0x5EED);
    let rounds = env_number("SEGUE_CRASH_ROUNDS", 6);
    let mut rng = SplitMix64::new(seed);
    let mut victims = SHARDS.map(|shards| {
        let folder = tempfile::tempdir().expect("a temporary directory");
        Victim { folder, shards, acknowledged: Acknowledged::default() }
    });
    for round in 0..rounds {
        let victim = &mut victims[round as usize % SHARDS.len()];
        // Mostly in the middle of work; sometimes while the directory is still being opened.
        let while_opening = rng.below(5) == 0;
        let moment =
            Duration::from_millis(if while_opening { rng.below(60) } else { 200 + rng.below(2_300) });
        eprintln!(
            "round {round}, {} shards of each kind: kill {} ms {}",
            victim.shards,
            moment.as_millis(),
            if while_opening { "into opening" } else { "into work" }
        );
        kill_writer(victim, seed, while_opening, moment);
        if rng.below(3) == 0 {
            kill_while_recovering(victim, Duration::from_millis(rng.below(80)));
        }
        let (engine, report) = opened(victim.folder.path(), victim.shards);
        let found = check(&engine, seed, &victim.acknowledged, victim.shards);
        eprintln!("round {round}: {found}; {} repairs", report.repairs.len());
        if rng.below(2) == 0 {
            engine.shutdown().expect("an orderly stop works");
        }
    }
    let written: u64 = victims.iter().map(|victim| victim.acknowledged.total()).sum();
    assert!(written > rounds * 20, "the children hardly wrote: {written} operations in {rounds} rounds");
    format!("{rounds} rounds, {written} acknowledged operations")
}

/// Starts a writer and kills it; what it acknowledged is noted.
fn kill_writer(victim: &mut Victim, seed: u64, while_opening: bool, moment: Duration) {
    let Victim { folder, shards, acknowledged } = victim;
    let mut writer = child::writer(folder.path(), seed, acknowledged.next(), *shards);
    let mut process = writer.spawn().expect("the child starts");
    let lines = lines_of(&mut process);
    wait_for(&lines, "opening", &mut process);
    if !while_opening {
        wait_for(&lines, "open ", &mut process);
    }
    let until = Instant::now() + moment;
    let mut alive = true;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match lines.recv_timeout(left) {
            Ok(line) => acknowledged.note(&line),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                alive = false;
                break;
            }
        }
    }
    // SIGKILL: no handler runs, no buffer is written back.
    process.kill().expect("the child is ours");
    let status = process.wait().expect("the child ends");
    // What it had said before it died is still in the pipe, and counts.
    lines.iter().for_each(|line| acknowledged.note(&line));
    assert!(alive, "the writer ended by itself: {status}");
}

fn kill_while_recovering(victim: &Victim, moment: Duration) {
    let mut process =
        child::on_shards("open", victim.folder.path(), victim.shards).spawn().expect("the child starts");
    let lines = lines_of(&mut process);
    wait_for(&lines, "opening", &mut process);
    std::thread::sleep(moment);
    process.kill().expect("the child is ours");
    process.wait().expect("the child ends");
    eprintln!("killed {} ms into recovery", moment.as_millis());
}

/// The child's lines as they come; ends when it does.
pub fn lines_of(process: &mut Child) -> Receiver<String> {
    let output = process.stdout.take().expect("its output is piped");
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

pub fn wait_for(lines: &Receiver<String>, start: &str, process: &mut Child) {
    match lines.recv_timeout(OPEN_LIMIT) {
        Ok(line) if line.starts_with(start) => {}
        other => {
            let _ = process.kill();
            panic!(
                "expected `{start}` from the child within {OPEN_LIMIT:?}, got {other:?}; status {:?}",
                process.wait()
            );
        }
    }
}

/// Used by the lanes' order: the first number that is not acknowledged.
pub fn lane_index(lane: Lane) -> usize {
    Lane::ALL.iter().position(|other| *other == lane).expect("every lane is listed")
}
