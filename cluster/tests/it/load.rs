//! Many callers at once: group commit, back-pressure, bounded disk.

use std::sync::Arc;
use std::thread;

use segue_cluster::{ClusterError, ClusterNode, ErrorKind, GroupId, NodeConfig};

use crate::machine::{GROUP, Journal, JournalMachine, LONG, config, open_one, write};

#[test]
fn concurrent_proposals_share_fsyncs_across_groups() {
    const THREADS: usize = 32;
    const EACH: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    let journals: Vec<_> = (0..4).map(|_| Arc::new(Journal::default())).collect();
    let groups: Vec<_> = (1..)
        .zip(&journals)
        .map(|(id, journal)| node.add_group(GroupId(id), JournalMachine::boxed(journal)).unwrap())
        .collect();
    let before = node.metrics();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let group = &groups[number % groups.len()];
            scope.spawn(move || {
                for round in 0..EACH {
                    write(group, &format!("{number}.{round}")).unwrap();
                }
            });
        }
    });
    let after = node.metrics();
    let fsyncs = after.fsync.count() - before.fsync.count();
    let entries = after.fsync_entries - before.fsync_entries;
    println!("entries={entries} fsyncs={fsyncs}");
    assert!(entries >= (THREADS * EACH) as u64);
    assert!(entries >= 4 * fsyncs, "{entries} entries took {fsyncs} fsyncs");
    for (number, journal) in journals.iter().enumerate() {
        let texts = journal.texts();
        assert_eq!(texts.len(), THREADS / 4 * EACH);
        for writer in (number..THREADS).step_by(4) {
            let prefix = format!("{writer}.");
            let mine: Vec<_> = texts.iter().filter(|text| text.starts_with(&prefix)).cloned().collect();
            let expected: Vec<_> = (0..EACH).map(|round| format!("{writer}.{round}")).collect();
            assert_eq!(mine, expected, "one caller's proposals stay in order");
        }
    }
}

#[test]
fn reads_of_a_turn_see_what_was_acknowledged_before_them() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (node, group) = open_one(dir.path(), &journal);
    let before = node.metrics().fsync.count();
    for number in 0..50 {
        let applied = write(&group, &number.to_string()).unwrap();
        let reads: Vec<_> = (0..10).map(|_| group.read_index().unwrap()).collect();
        for read in reads {
            assert!(read.wait_timeout(LONG).unwrap().index >= applied.index);
        }
    }
    assert!(node.metrics().fsync.count() - before <= 51, "a read must not write");
    assert_eq!(node.metrics().reads, 500);
}

#[test]
fn too_much_at_once_is_refused_as_busy_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let settings = NodeConfig { mailbox_requests_max: 16, entry_bytes_max: 1 << 10, ..config() };
    let settings = NodeConfig { inflight_bytes_max: 64 << 10, ..settings };
    let node = ClusterNode::open(dir.path(), settings).unwrap();
    let journal = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    group.barrier().unwrap().wait_timeout(LONG).unwrap();

    let big = group.propose(vec![0; (1 << 10) + 1]).unwrap_err();
    assert!(matches!(big, ClusterError::TooLarge { bytes: 1_025, max: 1_024 }), "{big}");
    assert_eq!(big.kind(), ErrorKind::Invalid);

    // While the machine stands still, no more than the budget is taken.
    let closed = journal.gate.write();
    let mut answers = Vec::new();
    let mut busy = 0;
    while busy < 1_000 {
        match group.propose(vec![b'x'; 1 << 10]) {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                busy += 1;
            }
        }
    }
    assert!(answers.len() <= 64, "{} KiB are on their way", answers.len());
    drop(closed);
    let accepted = answers.len();
    for answer in answers {
        answer.wait_timeout(LONG).unwrap();
    }
    assert_eq!(journal.entries.lock().len(), accepted);
    write(&group, "room again").unwrap();
}

#[test]
fn a_compacted_log_gives_its_disk_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = NodeConfig { log_entries_max: 200, ..config() };
    let node = ClusterNode::open(dir.path(), settings.clone()).unwrap();
    let journal = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    // A group that wrote once and never again must not keep all files alive.
    let idle = Arc::new(Journal::default());
    let quiet = node.add_group(GroupId(1), JournalMachine::boxed(&idle)).unwrap();
    write(&quiet, "once").unwrap();
    for _ in 0..60 {
        let answers: Vec<_> = (0..64).map(|_| group.propose(vec![b'x'; 1_000]).unwrap()).collect();
        for answer in answers {
            answer.wait_timeout(LONG).unwrap();
        }
        journal.checkpoint();
    }
    let written = node.metrics().fsync_bytes;
    let state = journal.checkpoint();
    node.shutdown().unwrap();
    let used: u64 = std::fs::read_dir(dir.path().join("raft"))
        .unwrap()
        .map(|item| item.unwrap().metadata().unwrap().len())
        .sum();
    println!("written={written} used={used}");
    assert!(written > 3_800_000, "written {written}");
    assert!(used < 768 << 10, "{used} bytes are in use after {written} were written");

    let node = ClusterNode::open(dir.path(), settings).unwrap();
    let again = Arc::new(Journal::default());
    let quiet = node.add_group(GroupId(1), JournalMachine::boxed(&again)).unwrap();
    quiet.barrier().unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(again.texts(), ["once"]);
    let group = node.add_group(GROUP, JournalMachine::boxed_from(&journal, state)).unwrap();
    write(&group, "next").unwrap();
}
