//! A disk that is full, and one that fails.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use segue_cluster::env::{Disk, Env};
use segue_cluster::{ClusterError, ClusterNode, ErrorKind, GroupError, GroupId, NodeConfig};

use crate::machine::{GROUP, Journal, JournalMachine, LONG, config, open_one, write};

/// A disk that does as told.
#[derive(Default)]
struct ToldDisk {
    free_bytes: AtomicU64,
    fail_sync: AtomicBool,
}

impl Disk for ToldDisk {
    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.free_bytes.load(Ordering::SeqCst))
    }

    fn synced(&self, outcome: io::Result<()>) -> io::Result<()> {
        if self.fail_sync.load(Ordering::SeqCst) { Err(io::Error::other("told to fail")) } else { outcome }
    }
}

#[test]
fn a_full_disk_refuses_writes_keeps_reading_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(ToldDisk::default());
    disk.free_bytes.store(1_000_000, Ordering::SeqCst);
    let settings = NodeConfig { disk_reserve_bytes: 500_000, ..config() };
    let env = Env { disk: disk.clone(), ..Env::real() };
    let node = ClusterNode::open_with(dir.path(), settings, env).unwrap();
    let journal = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    let before = write(&group, "before").unwrap();

    disk.free_bytes.store(499_999, Ordering::SeqCst);
    for _ in 0..10 {
        let error = write(&group, "full").unwrap_err();
        let expected = (499_999, 500_000);
        assert!(
            matches!(error, ClusterError::DiskFull { free_bytes, reserve_bytes } if (free_bytes, reserve_bytes) == expected),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::DiskFull);
        assert_eq!(group.read_index().unwrap().wait_timeout(LONG).unwrap().index, before.index);
    }
    assert_eq!(node.metrics().proposals_disk_full, 10);

    disk.free_bytes.store(1_000_000, Ordering::SeqCst);
    assert_eq!(write(&group, "after").unwrap().index, before.index + 1);
    assert_eq!(journal.texts(), ["before", "after"]);
}

#[test]
fn after_a_failed_fsync_nothing_is_acknowledged_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(ToldDisk::default());
    let env = Env { disk: disk.clone(), ..Env::real() };
    let node = ClusterNode::open_with(dir.path(), config(), env).unwrap();
    let journal = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    let other = node.add_group(GroupId(8), JournalMachine::boxed(&journal)).unwrap();
    write(&group, "before").unwrap();
    write(&other, "before too").unwrap();

    disk.fail_sync.store(true, Ordering::SeqCst);
    let error = write(&group, "lost").unwrap_err();
    assert!(
        matches!(&error, ClusterError::NodeFailed { reason } if reason.contains("told to fail")),
        "{error}"
    );
    // A disk that claims to be well again changes nothing: what it lost is not known.
    disk.fail_sync.store(false, Ordering::SeqCst);
    for group in [&group, &other] {
        assert!(matches!(write(group, "no").unwrap_err(), ClusterError::NodeFailed { .. }));
        assert!(group.status().failure.is_some());
    }
    let added = node.add_group(GroupId(9), JournalMachine::boxed(&journal));
    assert!(matches!(added.unwrap_err(), GroupError::NotRunning { .. }));
    assert_eq!(journal.texts(), ["before", "before too"]);
    node.shutdown().unwrap();

    let again = Arc::new(Journal::default());
    let (node, _) = open_one(dir.path(), &again);
    assert!(!node.report().closed_orderly, "a failed node leaves no mark of an orderly shutdown");
    assert_eq!(again.texts()[0], "before");
}

/// `SEGUE_SMALL_DISK=DIR`, a file system of 8 MiB with nothing on it, such as
/// `mount -t tmpfs -o size=8m none DIR`.
#[test]
#[ignore = "needs a small file system of its own"]
fn a_disk_that_really_fills_up_refuses_writes_until_there_is_space() {
    let small = std::path::PathBuf::from(std::env::var("SEGUE_SMALL_DISK").unwrap());
    let (dir, ballast) = (small.join("node"), small.join("ballast"));
    let node = ClusterNode::open(&dir, config()).unwrap();
    let journal = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    write(&group, "before").unwrap();
    // Somebody else takes all the space; the reserve of this node is 0, so the engine itself hits the end.
    let filled = std::fs::write(&ballast, vec![1; 16 << 20]);
    assert_eq!(filled.unwrap_err().kind(), io::ErrorKind::StorageFull);
    let waiting = group.propose(vec![b'w'; 600_000]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let error = write(&group, "full").unwrap_err();
    assert!(matches!(error, ClusterError::DiskFull { .. }), "{error}");
    std::fs::remove_file(&ballast).unwrap();
    waiting.wait_timeout(LONG).unwrap();
    write(&group, "after").unwrap();
    assert_eq!(journal.entries.lock().len(), 3);
    node.shutdown().unwrap();

    let again = Arc::new(Journal::default());
    let (_node, _) = open_one(&dir, &again);
    assert_eq!(*again.entries.lock(), *journal.entries.lock());
}
