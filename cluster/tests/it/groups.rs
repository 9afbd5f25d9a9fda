//! Many groups on one node: what one does is nothing to the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use segue_cluster::{AppliedState, ClusterError, ClusterNode, ErrorKind, GroupError, GroupId, Role};

use crate::machine::{GROUP, Journal, JournalMachine, LONG, config, open_one, recovered, write};

#[test]
fn a_machine_that_panics_or_fails_stops_its_own_group_only() {
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    let journal = Arc::new(Journal::default());
    let good = node.add_group(GroupId(1), JournalMachine::boxed(&journal)).unwrap();
    for (id, poison) in [(2, "panic"), (3, "io error")] {
        let group = node.add_group(GroupId(id), JournalMachine::boxed(&journal)).unwrap();
        let error = write(&group, poison).unwrap_err();
        assert!(
            matches!(&error, ClusterError::Quarantined { reason, .. } if reason.contains("told to")),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(matches!(group.propose("x"), Err(ClusterError::Quarantined { .. })));
        assert_eq!(group.status().role, Role::Quarantined);
        assert!(group.status().failure.unwrap().contains("told to"));
        assert_eq!(write(&good, "still here").unwrap().reply, "ereh llits");
    }
    assert_eq!(node.metrics().quarantined, 2);
    // The poison is in the log: it meets the machine again.
    let again = node.add_group(GroupId(3), JournalMachine::boxed(&journal)).unwrap();
    let error = again.barrier().and_then(|answer| answer.wait_timeout(LONG)).unwrap_err();
    assert!(matches!(error, ClusterError::Quarantined { .. }), "{error}");
    node.remove_group(GroupId(3)).unwrap();
    let fresh = node.add_group(GroupId(3), JournalMachine::boxed(&journal)).unwrap();
    assert_eq!(write(&fresh, "new").unwrap().index, 7);
}

#[test]
fn a_panic_on_the_raft_thread_stops_its_own_group_only_and_a_restart_brings_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    let (sound, poisoned) = (Arc::new(Journal::default()), Arc::new(Journal::default()));
    let good = node.add_group(GroupId(1), JournalMachine::boxed(&sound)).unwrap();
    let bad = node.add_group(GroupId(2), JournalMachine::boxed(&poisoned)).unwrap();
    assert_eq!(write(&bad, "before").unwrap().reply, "erofeb");
    poisoned.is_poisoned.store(true, Ordering::Release);
    let error = write(&bad, "never").unwrap_err();
    assert!(
        matches!(&error, ClusterError::Quarantined { reason, .. } if reason.contains("panicked: told to panic on the Raft thread")),
        "{error}"
    );
    assert_eq!(bad.status().role, Role::Quarantined);
    assert_eq!(node.metrics().quarantined, 1);
    // The thread that the panic was on goes on, with the other group.
    assert_eq!(write(&good, "still here").unwrap().reply, "ereh llits");
    // Its log is whole: what was acknowledged is there when it is added again.
    poisoned.is_poisoned.store(false, Ordering::Release);
    let again = node.add_group(GroupId(2), JournalMachine::boxed(&poisoned)).unwrap();
    again.barrier().unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(poisoned.texts()[0], "before");
    assert_eq!(write(&again, "after").unwrap().reply, "retfa");
}

#[test]
fn a_removed_group_is_gone_and_a_stopped_one_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (node, group) = open_one(dir.path(), &journal);
    write(&group, "one").unwrap();
    let twice = node.add_group(GROUP, JournalMachine::boxed(&journal));
    assert!(matches!(twice.unwrap_err(), GroupError::Exists { .. }));

    node.stop_group(GROUP).unwrap();
    assert!(matches!(write(&group, "x").unwrap_err(), ClusterError::Stopped { .. }));
    assert!(node.groups().is_empty());
    let again = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&again)).unwrap();
    group.barrier().unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(again.texts(), ["one"]);

    node.remove_group(GROUP).unwrap();
    assert_eq!(node.stored_groups(), []);
    assert!(matches!(node.remove_group(GROUP).unwrap_err(), GroupError::Unknown { .. }));
    node.shutdown().unwrap();
    let last = Arc::new(Journal::default());
    let (_node, group) = open_one(dir.path(), &last);
    write(&group, "new life").unwrap();
    assert_eq!(last.texts(), ["new life"]);
}

#[test]
fn a_machine_that_does_not_fit_its_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (node, group) = open_one(dir.path(), &journal);
    for number in 0..10 {
        write(&group, &number.to_string()).unwrap();
    }
    node.stop_group(GROUP).unwrap();
    let last = recovered(&journal.entries.lock()[9]);
    let refuse = |state: AppliedState| {
        let error = node.add_group(GROUP, JournalMachine::boxed_from(&journal, state)).unwrap_err();
        assert!(matches!(error, GroupError::Inconsistent { .. }), "{error}");
        error.to_string()
    };
    let ahead = refuse(AppliedState { index: last.index + 100, ..last.clone() });
    assert!(ahead.contains("ahead of the log"), "{ahead}");
    let other = refuse(AppliedState { term: last.term + 1, ..last.clone() });
    assert!(other.contains("another entry"), "{other}");

    // A machine with a past, in a directory that never ran its group.
    let error = node.add_group(GroupId(8), JournalMachine::boxed_from(&journal, last)).unwrap_err();
    assert!(matches!(error, GroupError::LogMissing { .. }), "{error}");
    let error = node.add_group(GroupId(0), JournalMachine::boxed(&journal)).unwrap_err();
    assert!(matches!(error, GroupError::Reserved { .. }), "{error}");
}

#[test]
fn a_machine_older_than_the_compacted_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let mut settings = config();
    settings.log_entries_max = 20;
    let node = ClusterNode::open(dir.path(), settings).unwrap();
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    for number in 0..100 {
        write(&group, &number.to_string()).unwrap();
        journal.checkpoint();
    }
    let status = group.status();
    assert!(status.last - status.first <= 25, "{status:?}");
    node.stop_group(GROUP).unwrap();
    let error = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap_err();
    assert!(error.to_string().contains("lacks entries"), "{error}");
    let state = journal.checkpoint();
    node.add_group(GROUP, JournalMachine::boxed_from(&journal, state)).unwrap();
}

#[test]
fn a_group_is_stopped_only_after_its_batch_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (node, group) = open_one(dir.path(), &journal);
    let closed = journal.gate.write();
    let answer = group.propose("under way").unwrap();
    while group.status().commit < 8 {
        thread::yield_now();
    }
    thread::scope(|scope| {
        let stopping = scope.spawn(|| node.stop_group(GROUP));
        thread::sleep(Duration::from_millis(100));
        assert!(!stopping.is_finished(), "the machine is still in use");
        drop(closed);
        stopping.join().unwrap().unwrap();
    });
    assert_eq!(Arc::strong_count(&journal), 1, "the machine is dropped before the stop is answered");
    assert_eq!(answer.wait_timeout(LONG).unwrap().reply, "yaw rednu");
    let again = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&again)).unwrap();
    group.barrier().unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(again.texts(), ["under way"]);
}
