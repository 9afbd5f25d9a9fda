use std::sync::Arc;
use std::time::{Duration, Instant};

use segue_cluster::{
    AppliedState, ClusterError, ClusterNode, ErrorKind, GroupHandle, GroupId, NodeConfig, OpenError, Role,
};

use crate::machine::{Journal, JournalMachine};

const GROUP: GroupId = GroupId(7);
const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(10);

fn config() -> NodeConfig {
    NodeConfig {
        log_file_bytes: 1 << 20,
        log_disk_bytes: 4 << 20,
        disk_reserve_bytes: 0,
        ..NodeConfig::default()
    }
}

fn write(group: &GroupHandle, text: &str) -> Result<segue_cluster::Applied, ClusterError> {
    group.propose(text.to_owned())?.wait_timeout(LONG)
}

#[test]
fn a_proposal_is_applied_and_its_reply_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    let journal = Arc::new(Journal::default());
    let start = Instant::now();
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    let applied = write(&group, "abc").unwrap();
    assert!(start.elapsed() < SECOND, "a group of one must not wait for an election");
    assert_eq!(applied.reply, "cba");
    // 5 is the synthetic snapshot, 6 the new leader's own entry.
    assert_eq!((applied.index, applied.term), (7, 6));
    assert_eq!(journal.texts(), ["abc"]);
    let status = group.status();
    assert_eq!((status.role, status.leader), (Role::Leader, Some(status.peer)));
    assert_eq!(status.applied, 7);
    assert_eq!(group.read_index().unwrap().wait_timeout(LONG).unwrap().index, 7);
    node.shutdown().unwrap();
}

#[test]
fn after_a_restart_everything_is_applied_again_but_what_the_machine_holds() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    {
        let node = ClusterNode::open(dir.path(), config()).unwrap();
        let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
        for number in 0..100 {
            write(&group, &format!("entry {number}")).unwrap();
        }
        // Dropped without shutdown.
    }
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    assert!(!node.report().closed_orderly);
    let again = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed(&again)).unwrap();
    group.barrier().unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(*again.entries.lock(), *journal.entries.lock());
    node.shutdown().unwrap();

    let half = journal.entries.lock()[49].clone();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    assert!(node.report().closed_orderly);
    let rest = Arc::new(Journal::default());
    let recovered = AppliedState { index: half.index, term: half.term, ..AppliedState::default() };
    let group = node.add_group(GROUP, JournalMachine::boxed_from(&rest, recovered)).unwrap();
    group.read_index().unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(*rest.entries.lock(), journal.entries.lock()[50..]);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    let second = ClusterNode::open(dir.path(), config());
    assert!(matches!(second.err().unwrap(), OpenError::InUse { .. }));
    node.shutdown().unwrap();
    ClusterNode::open(dir.path(), config()).unwrap();
}

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
    }
    assert_eq!(write(&good, "still here").unwrap().reply, "ereh llits");
    assert_eq!(node.metrics().quarantined, 2);
}
