//! Damage to any file of a data directory is refused, or reported with what was dropped; entries that
//! come back are the ones that were written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_cluster::{ClusterNode, CommittedEntry, GroupId};

use crate::machine::{Journal, JournalMachine, LONG, Random, config, copy_dir, seed, write};

const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

/// Two groups with a few entries over several files; returns what was applied.
fn fill(node: &ClusterNode) -> Vec<Vec<CommittedEntry>> {
    let journals: Vec<_> = GROUPS.iter().map(|_| Arc::new(Journal::default())).collect();
    for (group, journal) in GROUPS.iter().zip(&journals) {
        let group = node.add_group(*group, JournalMachine::boxed(journal)).unwrap();
        for number in 0..12 {
            write(&group, &format!("{group:?} {number} {}", "x".repeat(400))).unwrap();
        }
    }
    journals.iter().map(|journal| journal.entries.lock().clone()).collect()
}

fn small_config() -> segue_cluster::NodeConfig {
    segue_cluster::NodeConfig { log_file_bytes: 4 << 10, log_disk_bytes: 64 << 10, ..config() }
}

/// What a damaged directory did.
enum Outcome {
    Refused,
    /// Bytes reported as dropped, and what was applied.
    Opened {
        dropped: u64,
        entries: Vec<Vec<CommittedEntry>>,
    },
}

fn open(dir: &Path) -> Outcome {
    let Ok(node) = ClusterNode::open(dir, small_config()) else {
        return Outcome::Refused;
    };
    let mut entries = Vec::new();
    for group in GROUPS {
        let journal = Arc::new(Journal::default());
        let Ok(handle) = node.add_group(group, JournalMachine::boxed(&journal)) else {
            return Outcome::Refused;
        };
        if handle.barrier().and_then(|answer| answer.wait_timeout(LONG)).is_err() {
            return Outcome::Refused;
        }
        entries.push(journal.entries.lock().clone());
    }
    Outcome::Opened { dropped: node.report().dropped_bytes(), entries }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.join("identity")];
    found.extend(fs::read_dir(dir.join("raft")).unwrap().map(|item| item.unwrap().path()));
    found.extend(Some(dir.join("closed")).filter(|file| file.exists()));
    found.retain(|file| fs::metadata(file).unwrap().len() > 0);
    found.sort();
    found
}

/// Damages a copy of `dir` in `cases` ways and gives each outcome to `check`.
fn damage(dir: &Path, cases: u64, mut check: impl FnMut(&str, Outcome)) {
    let mut random = Random(seed());
    let files = files(dir);
    for case in 0..cases {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir, copy.path());
        let file =
            copy.path().join(files[random.below(files.len() as u64) as usize].strip_prefix(dir).unwrap());
        let mut bytes = fs::read(&file).unwrap();
        // Where something was written, not in the space allocated ahead.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        let position = random.below(used) as usize;
        let name = file.file_name().unwrap().to_str().unwrap();
        let what = if case % 3 == 0 {
            bytes.truncate(position);
            format!("{name} cut to {position} of {used} bytes")
        } else {
            bytes[position] ^= 1 << random.below(8);
            format!("{name} flipped at {position} of {used} bytes")
        };
        fs::write(&file, bytes).unwrap();
        check(&what, open(copy.path()));
    }
}

#[test]
fn damage_after_an_orderly_shutdown_is_always_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), small_config()).unwrap();
    fill(&node);
    node.shutdown().unwrap();
    damage(dir.path(), 100, |what, outcome| assert!(matches!(outcome, Outcome::Refused), "{what}"));
}

#[test]
fn damage_after_a_crash_is_refused_or_reported_and_never_gives_a_wrong_entry() {
    let dir = tempfile::tempdir().unwrap();
    let image = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), small_config()).unwrap();
    let written = fill(&node);
    copy_dir(dir.path(), image.path());
    let (mut refused, mut reported, mut cut) = (0, 0, 0);
    damage(image.path(), 150, |what, outcome| match outcome {
        Outcome::Refused => refused += 1,
        Outcome::Opened { dropped, entries } => {
            let lost: usize = written.iter().zip(&entries).map(|(all, left)| all.len() - left.len()).sum();
            for (all, left) in written.iter().zip(&entries) {
                assert_eq!(*left, all[..left.len()], "{what}");
            }
            if what.contains("flipped") {
                assert!(dropped > 0, "{what} went unnoticed");
                assert!(lost <= 1, "{what} lost {lost} entries");
                reported += 1;
            } else {
                // A cut exactly between two records leaves nothing to see.
                cut += 1;
            }
        }
    });
    println!("refused={refused} reported={reported} cut={cut}");
    assert!(refused > 50 && reported + cut > 0);
}
