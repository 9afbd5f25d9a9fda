//! A full disk: writes are refused with a clear error, reads go on, writes resume when there is room, and nothing that
//! was acknowledged is lost.
//!
//! Needs a small file system of its own, so it needs root; otherwise it says that it was skipped.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use segue::config::{Settings, Storage};
use segue::{Error, ErrorKind, Segue};

use crate::script;
use crate::support::small_segments;

/// Size of the file system, in MiB.
const DISK_MIB: u64 = 160;
/// What is removed to make room again, in MiB.
const BALLAST_MIB: usize = 48;
/// The longest until writes resume when there is room.
const RESUME_LIMIT: Duration = Duration::from_secs(20);

/// A mounted tmpfs; unmounted when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let size = format!("size={DISK_MIB}m");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        status.is_ok_and(|status| status.success()).then_some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn settings(reserve_bytes: u64) -> Settings {
    let settings = small_segments();
    let storage = Storage { disk_reserve_bytes: reserve_bytes, ..settings.storage.clone() };
    Settings { storage, ..settings }
}

/// With the reserve that keeps writes away from the very end of the disk.
pub fn a_full_disk_refuses_writes_and_keeps_reading() -> String {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED disk: mounting a small file system needs root");
        return "SKIPPED: mounting a small file system needs root".to_owned();
    };
    let data = disk.path().join("data");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST_MIB << 20]).expect("the disk has room at first");

    let (engine, _) = Segue::open(&data, settings(16 << 20)).expect("an empty directory opens");
    let (acknowledged, refusal) = write_until_refused(&engine, 0);
    assert_eq!(refusal.kind(), ErrorKind::Exhausted, "{refusal}");
    assert!(refusal.to_string().contains("disk"), "the refusal must name the cause: {refusal}");
    reads_go_on(&engine, acknowledged);

    std::fs::remove_file(&ballast).expect("ballast can be removed");
    let resumed = resume(&engine, acknowledged);
    let (acknowledged, _) = write_until_refused(&engine, acknowledged + 1);
    reads_go_on(&engine, acknowledged);
    let shutdown = engine.shutdown();
    drop(engine);

    let (engine, _) = Segue::open(&data, settings(16 << 20)).expect("a full directory opens");
    reads_go_on(&engine, acknowledged);
    format!("{acknowledged} batches acknowledged, writes resumed after {resumed:?}, stop {shutdown:?}")
}

/// Replaces the same tracks over and over; returns how many batches were acknowledged, and why it ended.
fn write_until_refused(engine: &Segue, first: u64) -> (u64, Error) {
    let started = Instant::now();
    for batch in first.. {
        if let Err(error) = write(engine, batch) {
            return (batch, error);
        }
        assert!(started.elapsed() < Duration::from_secs(240), "the disk does not fill: {batch} batches");
    }
    unreachable!("numbers do not end")
}

fn write(engine: &Segue, batch: u64) -> segue::Result<()> {
    // New tracks with long titles: the disk fills in seconds, and merging cannot free it.
    let mut tracks = script::tracks(batch * script::BATCH, 1);
    for track in &mut tracks {
        let mut title = segue::types::key_of(track.track_id.as_str()).to_string().repeat(100);
        title.truncate(2_000);
        track.title = title;
    }
    engine.upsert_tracks(tracks).map(drop)
}

fn reads_go_on(engine: &Segue, acknowledged: u64) {
    for batch in 0..acknowledged {
        let number = batch * script::BATCH + batch % script::BATCH;
        let track =
            engine.track(&script::track_id(number)).unwrap_or_else(|error| panic!("t{number}: {error}"));
        assert!(track.title.len() > 1_000, "t{number} is not whole");
    }
}

fn resume(engine: &Segue, batch: u64) -> Duration {
    let started = Instant::now();
    loop {
        match write(engine, batch) {
            Ok(()) => return started.elapsed(),
            Err(error) => assert!(started.elapsed() < RESUME_LIMIT, "writes do not resume: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
