//! The process that is killed: opens the database, writes in several lanes at once, and says each acknowledgement on
//! its standard output after the engine has given it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use segue::config::Settings;
use segue::node::{LoadKind, SplitRequest};
use segue::types::GenerationId;
use segue::{ErrorKind, Segue};

use crate::script::{self, CatalogOp, LOAD_PIECES, Lane, ListenerOp};
use crate::support::{DIM, STATIC, small_segments, space};

/// The environment variable that makes this binary a child, and its arguments.
pub const ROLE: &str = "SEGUE_CRASH_ROLE";
const DIR: &str = "SEGUE_CRASH_DIR";
const SEED: &str = "SEGUE_CRASH_SEED";
const NEXT: &str = "SEGUE_CRASH_NEXT";
const SHARDS: &str = "SEGUE_CRASH_SHARDS";
/// How long an operation is asked for again.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command that starts this binary again in a role.
pub fn command(role: &str, dir: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running program has a path"));
    command
        .env(ROLE, role)
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

/// The command of a writer that goes on at these operations, one a lane in the order of [`Lane::ALL`].
pub fn writer(dir: &std::path::Path, seed: u64, next: [u64; 3], shards: u16) -> Command {
    let mut command = on_shards("write", dir, shards);
    command.env(SEED, seed.to_string()).env(NEXT, next.map(|number| number.to_string()).join(","));
    command
}

/// The command of a role that opens a database of so many shards of each kind.
pub fn on_shards(role: &str, dir: &std::path::Path, shards: u16) -> Command {
    let mut command = command(role, dir);
    command.env(SHARDS, shards.to_string());
    command
}

/// What the parent wants a database to be opened with.
fn settings() -> Settings {
    let shards = std::env::var(SHARDS).expect("the parent says how many shards there are");
    with_shards(shards.parse().expect("a number"))
}

/// Small segments, and so many user and track shards in a new database.
pub fn with_shards(shards: u16) -> Settings {
    let mut settings = small_segments();
    settings.storage.user_shards = shards;
    settings.storage.track_shards = shards;
    settings
}

/// The directory given to a child.
pub fn dir() -> PathBuf {
    PathBuf::from(std::env::var_os(DIR).expect("the parent gives the directory"))
}

/// One line, whole or not at all: a single write to a pipe, shorter than PIPE_BUF, is atomic.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody listens any more.
        std::process::exit(3);
    }
}

/// Opens the database and closes it again: killed in the middle, it is a crash during recovery.
pub fn open() {
    say("opening");
    let (engine, _) = Segue::open(&dir(), settings()).expect("the database opens");
    say("open");
    engine.shutdown().expect("the database closes");
}

/// Writes until it is killed.
pub fn write() {
    let seed: u64 = std::env::var(SEED).expect("the parent gives a seed").parse().expect("a number");
    let next = std::env::var(NEXT).expect("the parent says where to go on");
    let next: Vec<u64> = next.split(',').map(|number| number.parse().expect("a number")).collect();
    say("opening");
    let (engine, report) = Segue::open(&dir(), settings()).expect("the database opens");
    say(&format!("open {}", report.repairs.len()));
    let generation = generation(&engine);
    if std::env::var(SHARDS).is_ok_and(|shards| shards != "1") {
        begin_split(&engine, next[0]);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (lane, first) in Lane::ALL.into_iter().zip(next) {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || {
                for number in first.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    run(engine, lane, seed, number, generation);
                    say(&format!("{} {number}", lane.letter()));
                }
            });
        }
        // The parent closes our input when it wants an orderly stop; otherwise it kills.
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).unwrap_or(0) > 0 {}
        stop.store(true, Ordering::Relaxed);
    });
    engine.shutdown().expect("the database closes");
}

/// Begins to split a user shard, which goes on while others write, and is killed like everything else. Splits of before may
/// still run.
fn begin_split(engine: &Segue, number: u64) {
    let request = SplitRequest { group: format!("users-{}", number % 3), at: None, dry_run: false };
    match engine.split_shard(&request) {
        Ok(report) => eprintln!("{} is split into {}", report.group, report.new_group),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
    }
}

/// The generation that the load fills: made by the first child that gets so far.
fn generation(engine: &Segue) -> GenerationId {
    let known = engine.generations().expect("generations are listed");
    match known.first() {
        Some(info) => info.id,
        None => engine.create_generation(DIM as u32, None).expect("a generation is created").id,
    }
}

fn run(engine: &Segue, lane: Lane, seed: u64, number: u64, generation: GenerationId) {
    let begun = Instant::now();
    loop {
        let done = match lane {
            Lane::Catalog => catalog(engine, script::catalog_op(seed, number)),
            Lane::Listeners => listeners(engine, script::listener_op(seed, number)),
            Lane::Load => load(engine, number, generation),
        };
        match done {
            Ok(()) => return,
            // Back-pressure is no failure, nor is a split that takes long: the same operation again, with the same ids.
            Err(error) if passes(error.kind()) && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5))
            }
            Err(error) => panic!("{lane:?} {number}: {error}"),
        }
    }
}

/// Whether asking again is what the error tells its caller to do.
fn passes(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Exhausted | ErrorKind::Unavailable | ErrorKind::Timeout)
}

fn catalog(engine: &Segue, op: CatalogOp) -> segue::Result<()> {
    match op {
        CatalogOp::Tracks { first, version } => {
            engine.upsert_tracks(script::tracks(first, version)).map(drop)
        }
        CatalogOp::Vectors { first, version } => {
            engine.upsert_vectors(&space("audio"), STATIC, script::vectors(first, version)).map(drop)
        }
        CatalogOp::Delete { number } => engine.delete_tracks(&[script::track_id(number)]).map(drop),
    }
}

fn listeners(engine: &Segue, op: ListenerOp) -> segue::Result<()> {
    match op {
        ListenerOp::Upsert(user) => engine.upsert_users(vec![user]).map(drop),
        ListenerOp::Events(events) => engine.feedback(events).map(drop),
    }
}

fn load(engine: &Segue, number: u64, generation: GenerationId) -> segue::Result<()> {
    let (name, first_row) = script::load_piece(number);
    engine.load_vectors(&name, first_row, &space("user_cf"), generation, script::load_rows(number))?;
    if number % LOAD_PIECES == LOAD_PIECES - 1 {
        engine.finish_load(&name, LoadKind::Vectors, &|_| {})?;
    }
    // A load is background work here; without a pause it would starve the other lanes.
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}
