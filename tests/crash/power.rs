//! Power cuts: the disk as it is at some moment, without what the kernel had not written yet, is mounted elsewhere and the
//! database on it opened. Nothing acknowledged is missing.
//!
//! The disk is a file behind a loop device. While the writer stands still, a copy of that file is what a power cut would leave:
//! what was fsynced and what had been written back, nothing else. Needs root; otherwise it says that it was skipped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use segue::types::SplitMix64;

use crate::check::{Acknowledged, check, opened};
use crate::child;
use crate::kill::{lines_of, wait_for};
use crate::support::{env_number, seed};

/// Size of the disk; its file takes only what is written to it.
const DISK_MIB: u64 = 2_048;
/// User shards of the database.
const SHARDS: u16 = 3;

/// A file with a file system, mounted; unmounted when dropped.
struct LoopDisk {
    at: PathBuf,
}

impl LoopDisk {
    /// Mounts an image below `folder`. The kernel commits by itself only after minutes: what is durable was asked for.
    fn mount(image: &Path, folder: &Path, name: &str) -> Option<Self> {
        let at = folder.join(name);
        std::fs::create_dir_all(&at).expect("a folder to mount at");
        runs(Command::new("mount").args(["-o", "loop,commit=300"]).arg(image).arg(&at)).then_some(Self { at })
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Makes an image with an empty file system.
fn image(path: &Path) -> bool {
    let file = std::fs::File::create(path).expect("an image");
    file.set_len(DISK_MIB << 20).expect("a sparse file");
    runs(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path))
}

/// 3 cuts, or `SEGUE_POWER_CUTS`.
pub fn a_power_cut_loses_nothing_acknowledged() -> String {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (live, copy) = (folder.path().join("live.img"), folder.path().join("copy.img"));
    let disk = image(&live).then(|| LoopDisk::mount(&live, folder.path(), "live")).flatten();
    let Some(disk) = disk else {
        eprintln!("SKIPPED power: mounting a file system needs root and mkfs.ext4");
        return "SKIPPED: mounting a file system needs root and mkfs.ext4".to_owned();
    };
    let seed = seed(0x10AD);
    let cuts = env_number("SEGUE_POWER_CUTS", 3);
    let mut rng = SplitMix64::new(seed);
    let mut acknowledged = Acknowledged::default();
    let data = disk.at.join("data");
    let mut writer =
        child::writer(&data, seed, acknowledged.next(), SHARDS).spawn().expect("the child starts");
    let lines = lines_of(&mut writer);
    wait_for(&lines, "opening", &mut writer);
    wait_for(&lines, "open ", &mut writer);
    for cut in 0..cuts {
        let until = Instant::now() + Duration::from_millis(300 + rng.below(1_200));
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if let Ok(line) = lines.recv_timeout(left) {
                acknowledged.note(&line);
            }
        }
        signal(&writer, "-STOP");
        wait_until_still(&writer);
        // What it said before it stood still is on its way through the pipe.
        while let Ok(line) = lines.recv_timeout(Duration::from_millis(30)) {
            acknowledged.note(&line);
        }
        copy_of_one_moment(&live, &copy);
        let cut_disk = LoopDisk::mount(&copy, folder.path(), "copy").expect("a cut disk can be mounted");
        signal(&writer, "-CONT");
        let (engine, report) = opened(&cut_disk.at.join("data"), SHARDS);
        let found = check(&engine, seed, &acknowledged, SHARDS);
        eprintln!("cut {cut}: {found}; {} repairs", report.repairs.len());
        drop(engine);
        drop(cut_disk);
    }
    writer.kill().expect("the child is ours");
    writer.wait().expect("the child ends");
    let written = acknowledged.total();
    assert!(written > cuts * 20, "the child hardly wrote: {written} operations before {cuts} cuts");
    format!("{cuts} cuts, {written} acknowledged operations")
}

/// Copies the disk, again while the kernel wrote back to it meanwhile: parts of two moments are what no power cut leaves.
fn copy_of_one_moment(live: &Path, copy: &Path) {
    let start = Instant::now();
    loop {
        // Another file: the kernel may still hold the one of the cut before.
        let _ = std::fs::remove_file(copy);
        assert!(runs(Command::new("cp").arg("--sparse=always").arg(live).arg(copy)), "the disk is copied");
        if runs(Command::new("cmp").arg("-s").arg(live).arg(copy)) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "the disk does not stand still");
    }
}

/// Waits until no thread of a stopped process is in the kernel any more: an fsync that was under way ends first. A copy made
/// beside it would hold of the disk what no power cut can leave.
fn wait_until_still(process: &Child) {
    let tasks = format!("/proc/{}/task", process.id());
    let is_still =
        |stat: &str| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
    let start = Instant::now();
    loop {
        let tasks = std::fs::read_dir(&tasks).expect("the child runs").filter_map(Result::ok);
        let stats = tasks.map(|task| std::fs::read_to_string(task.path().join("stat")).unwrap_or_default());
        if stats.collect::<Vec<_>>().iter().all(|stat| is_still(stat)) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the child does not stand still");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(process: &Child, signal: &str) {
    assert!(runs(Command::new("kill").args([signal, &process.id().to_string()])), "kill {signal}");
}
