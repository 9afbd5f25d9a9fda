//! Truncations and flipped bytes over every file of a small data directory: an error, or a start that says what it
//! dropped; never a panic, a hang or a silently different answer.
//!
//! A child process opens one damaged copy after the other and says what it found; the parent judges, and notices when
//! the child dies or hangs. By default a seeded sample of the cases; `SEGUE_DAMAGE_CASES=all` takes every byte of the
//! small files and more of the large.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use segue::Segue;
use segue::types::SplitMix64;

use crate::child;
use crate::damage_child::{Answers, Found};
use crate::support::{World, seed, small_segments};

/// Files up to this size are damaged at every byte in the long form.
const SMALL_BYTES: u64 = 4_096;
/// Cases of the short form.
const SAMPLE: usize = 160;
/// Places in a large file that the long form tries.
const LARGE_PLACES: u64 = 300;
/// The longest one case may take.
const CASE_LIMIT: Duration = Duration::from_secs(30);

/// One way to damage one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Flip { at: u64, bit: u8 },
    Truncate { to: u64 },
    Append { bytes: u64 },
    Remove,
}

/// A sample, or everything with `SEGUE_DAMAGE_CASES=all`.
pub fn no_damaged_byte_goes_unnoticed() -> String {
    let seed = seed(0xDA_4A6E);
    let mut rng = SplitMix64::new(seed);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (pristine, broken) = (folder.path().join("pristine"), folder.path().join("broken"));
    build(&pristine);
    let files = files_of(&pristine);
    let all = std::env::var("SEGUE_DAMAGE_CASES").is_ok_and(|cases| cases == "all");
    let cases = if all { every_case(&files, &mut rng) } else { sample(&files, &mut rng) };

    let mut opener = Opener::start(&broken);
    let baseline = match opener.open(&pristine, &broken, None) {
        Ok(Found { error: None, repairs, answers, .. }) if repairs.is_empty() => answers,
        other => panic!("the undamaged directory does not open cleanly: {other:?}"),
    };
    let (mut faults, mut tally) = (Vec::new(), BTreeMap::new());
    for (at, (file, damage)) in cases.iter().enumerate() {
        // In turns read by the start and what follows it, and only where it is used.
        opener.on_use = at % 2 == 1;
        let verdict = match opener.open(&pristine, &broken, Some((file, *damage))) {
            Ok(found) => judge(&baseline, &found),
            Err(what) => {
                opener = Opener::start(&broken);
                Err(what)
            }
        };
        match verdict {
            Ok(kind) => *tally.entry(kind).or_insert(0) += 1,
            Err(what) => faults.push(format!("{} {damage:?}: {what}", file.display())),
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {} cases, such as\n{}",
        faults.len(),
        cases.len(),
        faults[..faults.len().min(25)].join("\n")
    );
    format!("{} cases over {} files: {tally:?}", cases.len(), files.len())
}

/// Every kind of file there is: log, identity, manifest, segments, listeners, meta, staged rows; some rows sealed, some only
/// logged.
fn build(dir: &Path) {
    let (engine, _) = Segue::open(dir, small_segments()).expect("an empty directory opens");
    let world = World::generate(21, 260, 12);
    let (sealed, logged) = world.tracks.split_at(200);
    let first = World {
        tracks: sealed.to_vec(),
        users: world.users.clone(),
        plays: world.plays.clone(),
        ..partial(&world, 200)
    };
    first.load(&engine);
    engine.checkpoint().expect("a checkpoint works");
    engine.upsert_tracks(logged.to_vec()).expect("writes work");
    engine
        .load_vectors(
            "open",
            0,
            &crate::support::space("audio"),
            crate::support::STATIC,
            world.audio_vectors[..9].to_vec(),
        )
        .expect("rows are staged");
    engine.shutdown().expect("an orderly stop works");
}

/// The vectors of the first tracks only.
fn partial(world: &World, tracks: usize) -> World {
    let known: std::collections::HashSet<&str> =
        world.tracks[..tracks].iter().map(|track| track.track_id.as_str()).collect();
    let of_known = |rows: &[segue::node::VectorRow]| {
        rows.iter().filter(|row| known.contains(row.id.as_str())).cloned().collect()
    };
    World {
        tracks: Vec::new(),
        users: Vec::new(),
        plays: Vec::new(),
        track_vectors: of_known(&world.track_vectors),
        audio_vectors: of_known(&world.audio_vectors),
        user_vectors: world.user_vectors.clone(),
    }
}

/// All files with content, by relative path.
fn files_of(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder is readable").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("a file has metadata"));
            if meta.is_dir() {
                folders.push(path);
            } else if meta.len() > 0 {
                files.push((path.strip_prefix(dir).expect("inside").to_owned(), meta.len()));
            }
        }
    }
    files.sort();
    assert!(files.len() >= 8, "too few files to be a database: {files:?}");
    files
}

/// A byte of a file that is worth damaging: beyond the written part, preallocated files hold zeros that nobody reads.
fn place(len: u64, rng: &mut SplitMix64) -> u64 {
    // Half of them near the start, where headers are and where short logs end.
    if rng.below(2) == 0 { rng.below(len.min(512)) } else { rng.below(len) }
}

fn sample(files: &[(PathBuf, u64)], rng: &mut SplitMix64) -> Vec<(PathBuf, Damage)> {
    // Every file at least in three ways, the rest at random.
    let mut cases = Vec::new();
    for (file, len) in files {
        cases.push((file.clone(), Damage::Flip { at: place(*len, rng), bit: rng.below(8) as u8 }));
        cases.push((file.clone(), Damage::Truncate { to: rng.below(*len) }));
        cases.push((file.clone(), Damage::Remove));
    }
    while cases.len() < SAMPLE {
        let (file, len) = &files[rng.below(files.len() as u64) as usize];
        let damage = match rng.below(6) {
            0 => Damage::Truncate { to: rng.below(*len) },
            1 => Damage::Append { bytes: 1 + rng.below(100) },
            _ => Damage::Flip { at: place(*len, rng), bit: rng.below(8) as u8 },
        };
        cases.push((file.clone(), damage));
    }
    cases
}

fn every_case(files: &[(PathBuf, u64)], rng: &mut SplitMix64) -> Vec<(PathBuf, Damage)> {
    let mut cases = Vec::new();
    for (file, len) in files {
        let places: Vec<u64> = match *len <= SMALL_BYTES {
            true => (0..*len).collect(),
            false => (0..LARGE_PLACES).map(|_| place(*len, rng)).collect(),
        };
        for at in places {
            cases.push((file.clone(), Damage::Flip { at, bit: rng.below(8) as u8 }));
            cases.push((file.clone(), Damage::Truncate { to: at }));
        }
        cases.push((file.clone(), Damage::Append { bytes: 1 }));
        cases.push((file.clone(), Damage::Append { bytes: 100 }));
        cases.push((file.clone(), Damage::Remove));
    }
    cases
}

fn damage_file(path: &Path, damage: Damage) {
    let bytes = || std::fs::read(path).expect("the copy is readable");
    match damage {
        Damage::Flip { at, bit } => {
            let mut bytes = bytes();
            bytes[usize::try_from(at).expect("files are small")] ^= 1 << bit;
            std::fs::write(path, bytes).expect("the copy is writable");
        }
        Damage::Truncate { to } => {
            let file = std::fs::OpenOptions::new().write(true).open(path).expect("the copy is writable");
            file.set_len(to).expect("the copy can be cut");
        }
        Damage::Append { bytes: count } => {
            let mut bytes = bytes();
            bytes.extend((0..count).map(|at| (at * 37 + 1) as u8));
            std::fs::write(path, bytes).expect("the copy is writable");
        }
        Damage::Remove => std::fs::remove_file(path).expect("the copy can be removed"),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder is readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.metadata().expect("a file has metadata").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// Whether what was found is honest; says what kind of honest.
fn judge(baseline: &Answers, found: &Found) -> Result<&'static str, String> {
    if let Some(panic) = found.panics.iter().find(|panic| !panic.contains("/sled-0.34")) {
        return Err(format!("panic: {panic}"));
    }
    if let Some(error) = &found.error {
        let precise = matches!(error.kind.as_str(), "Corrupt" | "Io");
        return if precise {
            Ok("refused")
        } else {
            Err(format!("refused as {}: {}", error.kind, error.message))
        };
    }
    for (what, error) in &found.errors {
        if !matches!(error.kind.as_str(), "Corrupt" | "Io") {
            return Err(format!("{what} fails with {}: {}", error.kind, error.message));
        }
    }
    let silent = found.repairs.is_empty();
    for (what, expected) in baseline {
        match found.answers.get(what) {
            Some(answer) if answer == expected => {}
            None if found.errors.contains_key(what) => {}
            // What was dropped is missing, and lists are made of what is left; but no record is another one.
            None if !silent => {}
            Some(_) if !silent && what.starts_with("list ") => {}
            other => {
                return Err(format!("{what} is {other:?} and was {expected}; repairs {:?}", found.repairs));
            }
        }
    }
    if let Some(what) = found.answers.keys().find(|what| !baseline.contains_key(*what)) {
        return Err(format!("{what} was not there before"));
    }
    Ok(match (silent, found.errors.is_empty()) {
        (true, true) => "unharmed",
        (true, false) => "refused where damaged",
        (false, _) => "repaired and said",
    })
}

/// The child that opens directories.
struct Opener {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// Nothing is read in the background.
    on_use: bool,
}

impl Opener {
    fn start(broken: &Path) -> Self {
        let mut command = child::command("damage", broken);
        // Its panics are part of what it finds; its log would drown ours.
        command.env("RUST_BACKTRACE", "0").stderr(std::process::Stdio::null());
        let mut process = command.spawn().expect("the child starts");
        let input = process.stdin.take().expect("its input is piped");
        let output = process.stdout.take().expect("its output is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, input, lines, on_use: false }
    }

    /// Makes a fresh copy, damages it, and has it opened.
    fn open(
        &mut self,
        pristine: &Path,
        broken: &Path,
        case: Option<(&Path, Damage)>,
    ) -> Result<Found, String> {
        if broken.exists() {
            std::fs::remove_dir_all(broken).map_err(|error| error.to_string())?;
        }
        copy(pristine, broken);
        if let Some((file, damage)) = case {
            damage_file(&broken.join(file), damage);
        }
        let asked = self
            .input
            .write_all(if self.on_use { b"used\n" } else { b"open\n" })
            .and_then(|()| self.input.flush());
        asked.map_err(|error| format!("the child is gone: {error}"))?;
        match self.lines.recv_timeout(CASE_LIMIT) {
            Ok(line) => serde_json::from_str(&line).map_err(|error| format!("{error}: {line}")),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                Err(format!("hangs: no answer in {CASE_LIMIT:?}"))
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                Err(format!("the process died: {:?}", self.process.wait()))
            }
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
