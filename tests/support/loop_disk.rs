//! A disk that can lose power: a file behind a loop device. While its writer stands still, a copy of that file is what a power
//! cut would leave: what was fsynced and what had been written back, nothing else. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A file with a file system, mounted; unmounted when dropped.
pub struct LoopDisk {
    /// Where it is mounted.
    pub at: PathBuf,
}

impl LoopDisk {
    /// Mounts an image below `folder`. The kernel commits by itself only after minutes: what is durable was asked for.
    pub fn mount(image: &Path, folder: &Path, name: &str) -> Option<Self> {
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

/// Whether a command succeeds.
pub fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Makes an image with an empty file system of so many MiB; it takes only what is written to it.
pub fn image(path: &Path, mib: u64) -> bool {
    let file = std::fs::File::create(path).expect("an image");
    file.set_len(mib << 20).expect("a sparse file");
    runs(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path))
}

/// Copies the disk, again while the kernel wrote back to it meanwhile: parts of two moments are what no power cut leaves.
pub fn copy_of_one_moment(live: &Path, copy: &Path) {
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
pub fn wait_until_still(process: u32) {
    let tasks = format!("/proc/{process}/task");
    let is_still =
        |stat: &str| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
    let start = Instant::now();
    loop {
        let tasks = std::fs::read_dir(&tasks).expect("the process runs").filter_map(Result::ok);
        let stats = tasks.map(|task| std::fs::read_to_string(task.path().join("stat")).unwrap_or_default());
        if stats.collect::<Vec<_>>().iter().all(|stat| is_still(stat)) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the process does not stand still");
        std::thread::sleep(Duration::from_millis(1));
    }
}
