//! The servers that are measured: their databases, their processes, and what these have used of the processor.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use segue::Segue;
use segue::api::Client;
use segue::config::Settings;
use segue::generate::{Catalogue, GenerateParams, generate};
use segue::node::LoadKind;
use segue::types::{GenerationId, SpaceName};

use crate::reports::{VOTERS, is_settled};
use crate::{Outcome, Place};

const PATIENCE: Duration = Duration::from_secs(120);
const CHUNK: usize = 2_000;
/// `USER_HZ`, which Linux fixes at 100 on all its architectures.
const TICKS_A_SECOND: f64 = 100.0;

/// Server processes, killed when dropped, with a client each.
pub struct Servers {
    processes: Vec<Child>,
    pub clients: Vec<Client>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that is gone already needs no killing.
            if process.kill().is_ok() {
                let _ = process.wait();
            }
        }
    }
}

/// The program to run as server.
pub fn program(given: Option<PathBuf>) -> Outcome<PathBuf> {
    let beside = std::env::current_exe()?.parent().and_then(Path::parent).map(|folder| folder.join("segue"));
    let program = given.or(beside).ok_or("no folder to look for `segue` in: name it with --segue")?;
    if !program.exists() {
        return Err(format!(
            "build it first (`cargo build --release`) or name it with --segue: {}",
            program.display()
        )
        .into());
    }
    Ok(program)
}

/// Three servers that began with a made-up catalogue, and room for a fourth.
pub struct Begun {
    /// Those that run.
    pub servers: Servers,
    /// What they hold.
    pub made: Catalogue,
    /// The server program.
    pub program: PathBuf,
    /// Where a fourth may have its database.
    pub fourth: PathBuf,
    /// The last field, so that it is removed when nobody writes there any more.
    _folder: tempfile::TempDir,
}

impl Begun {
    /// Makes a database of so many tracks and listeners and starts three servers, the first with it.
    pub fn new(place: &Place, (tracks, listeners): (u32, u32), settings: Settings) -> Outcome<Self> {
        let folder = place.folder()?;
        let made = generate(&GenerateParams { tracks, listeners, ..GenerateParams::default() })?;
        let dirs = ["first", "second", "third", "fourth"].map(|name| folder.path().join(name));
        eprintln!("making a database of {tracks} tracks and {listeners} listeners");
        fill(&dirs[0], &made, settings)?;
        let program = place.program()?;
        let servers = Servers::cluster(&program, &dirs[..VOTERS])?;
        let [.., fourth] = dirs;
        Ok(Self { servers, made, program, fourth, _folder: folder })
    }
}

/// Makes a database of a catalogue's tracks.
pub fn fill_tracks(dir: &Path, made: &Catalogue, settings: Settings) -> Outcome<()> {
    let (engine, _) = Segue::open(dir, settings)?;
    upsert_tracks(&engine, made)?;
    engine.checkpoint()?;
    engine.shutdown()?;
    Ok(())
}

fn upsert_tracks(engine: &Segue, made: &Catalogue) -> Outcome<()> {
    let mut tracks = made.tracks();
    loop {
        let chunk: Vec<_> = tracks.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        engine.upsert_tracks(chunk)?;
    }
}

/// Makes a database of a catalogue, its listeners, plays and vectors.
pub fn fill(dir: &Path, made: &Catalogue, settings: Settings) -> Outcome<()> {
    let (engine, _) = Segue::open(dir, settings)?;
    upsert_tracks(&engine, made)?;
    engine.upsert_users(made.users().collect())?;
    let plays: Vec<_> = made.plays().collect();
    let mut first_row = 0;
    for chunk in plays.chunks(CHUNK) {
        engine.load_plays("plays", first_row, chunk.to_vec())?;
        first_row += chunk.len() as u64;
    }
    engine.finish_load("plays", LoadKind::Plays, &|_| {})?;
    let generation = engine.create_generation(made.params().cf_dim, None)?.id;
    let spaces = [
        ("audio", GenerationId::STATIC, made.audio_vectors().collect::<Vec<_>>()),
        ("track_cf", generation, made.track_vectors().collect()),
        ("user_cf", generation, made.user_vectors().collect()),
    ];
    for (space, generation, rows) in spaces {
        for chunk in rows.chunks(CHUNK) {
            engine.upsert_vectors(&SpaceName::new(space)?, generation, chunk.to_vec())?;
        }
    }
    engine.activate_generation(generation)?;
    engine.checkpoint()?;
    engine.shutdown()?;
    Ok(())
}

impl Servers {
    /// One server on a database.
    pub fn alone(program: &Path, dir: &Path) -> Outcome<Self> {
        let mut servers = Self { processes: Vec::new(), clients: Vec::new() };
        servers.start(program, dir, &[])?;
        Ok(servers)
    }

    /// The first directory's database as a cluster of as many nodes as there are directories.
    pub fn cluster(program: &Path, dirs: &[PathBuf]) -> Outcome<Self> {
        let mut servers = Self { processes: Vec::new(), clients: Vec::new() };
        let mut join = String::new();
        for dir in dirs {
            if join.is_empty() {
                servers.start(program, dir, &["--cluster-init"])?;
                let report = servers.clients[0].cluster_status()?;
                join.clone_from(&report.nodes.first().ok_or("a cluster without a node")?.address);
            } else {
                servers.start(program, dir, &["--join", &join])?;
            }
        }
        servers.settle()?;
        Ok(servers)
    }

    /// Adds a server to the cluster; the name of its node.
    pub fn join(&mut self, program: &Path, dir: &Path) -> Outcome<String> {
        let report = self.clients[0].cluster_status()?;
        let address = report.nodes.first().ok_or("a cluster without a node")?.address.clone();
        self.start(program, dir, &["--join", &address])?;
        let joined = self.clients.last().ok_or("no server was started")?;
        Ok(joined.cluster_status()?.answered_by)
    }

    /// Waits until every group has as many voters as there are servers, and a leader, and nobody is behind.
    pub fn settle(&self) -> Outcome<()> {
        let start = Instant::now();
        let settled = || self.clients[0].cluster_status().is_ok_and(|it| is_settled(&it, self.clients.len()));
        while !settled() {
            wait(start, "not every node has become a voter that has everything")?;
        }
        Ok(())
    }

    fn start(&mut self, program: &Path, dir: &Path, flags: &[&str]) -> Outcome<()> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--cluster-listen", "127.0.0.1:0", "--set", "log.format=json", "--data"]).arg(dir);
        let mut process = command.args(flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = BufReader::new(process.stderr.take().ok_or("the server has no log")?);
        self.processes.push(process);
        let mut lines = log.lines();
        let listening = lines.by_ref().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.ok()?).ok()?;
            line["grpc"].as_str().map(str::to_owned)
        });
        let address = listening.ok_or_else(|| format!("the server on {} ended", dir.display()))?;
        // What it says later is not of interest, but must be read.
        std::thread::spawn(move || lines.for_each(drop));
        let client = Client::connect(&format!("http://{address}"))?;
        let start = Instant::now();
        while client.generations().is_err() {
            wait(start, "a server is not ready")?;
        }
        self.clients.push(client);
        Ok(())
    }

    /// Processor seconds that all servers have used since they were started.
    pub fn cpu_seconds(&self) -> Outcome<f64> {
        Ok(self.cpu_seconds_each()?.iter().sum())
    }

    /// The same, server by server.
    pub fn cpu_seconds_each(&self) -> Outcome<Vec<f64>> {
        self.processes.iter().map(|process| cpu_seconds(process.id())).collect()
    }
}

fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name in brackets: state is field 3, user and system time are fields 14 and 15 (proc(5)).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS_A_SECOND)
}

fn wait(start: Instant, what: &str) -> Outcome<()> {
    if start.elapsed() > PATIENCE {
        return Err(what.into());
    }
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}
