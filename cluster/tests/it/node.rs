//! Opening, restarting and closing a node.

use std::fs;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use segue_cluster::{
    ClusterError, ClusterId, ClusterNode, ErrorKind, NodeConfig, OpenError, OpenReport, Role,
};

use crate::machine::{GROUP, Journal, JournalMachine, LONG, config, copy_dir, open_one, recovered, write};

#[test]
fn a_proposal_is_applied_and_its_reply_comes_back_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    assert_eq!(*node.report(), OpenReport { created: true, ..OpenReport::default() });
    let journal = Arc::new(Journal::default());
    let start = Instant::now();
    let group = node.add_group(GROUP, JournalMachine::boxed(&journal)).unwrap();
    let applied = write(&group, "abc").unwrap();
    assert!(start.elapsed() < Duration::from_millis(900), "a group of one must not wait for an election");
    assert_eq!(applied.reply, "cba");
    // 5 is the synthetic snapshot, 6 the new leader's own entry.
    assert_eq!((applied.index, applied.term), (7, 6));
    assert_eq!(journal.texts(), ["abc"]);
    assert_eq!(group.read_index().unwrap().wait_timeout(LONG).unwrap().index, 7);
    let status = group.status();
    assert_eq!((status.role, status.leader), (Role::Leader, Some(status.peer)));
    assert_eq!((status.applied, status.commit, status.first, status.last), (7, 7, 6, 7));
    node.shutdown().unwrap();
    let refused = write(&group, "late").unwrap_err();
    assert!(matches!(refused, ClusterError::Stopped { .. }), "{refused}");
}

#[test]
fn an_answer_can_be_awaited_without_a_runtime() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (_node, group) = open_one(dir.path(), &journal);
    let closed = journal.gate.write();
    let mut answer = Box::pin(group.propose("abc").unwrap());
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    assert!(answer.as_mut().poll(&mut context).is_pending());
    drop(closed);
    while count.0.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let Poll::Ready(applied) = answer.as_mut().poll(&mut context) else { panic!("woken without an answer") };
    assert_eq!(applied.unwrap().reply, "cba");
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

#[test]
fn after_a_restart_everything_is_applied_again_but_what_the_machine_holds() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    {
        let (_node, group) = open_one(dir.path(), &journal);
        for number in 0..100 {
            write(&group, &format!("entry {number}")).unwrap();
        }
        // Dropped without shutdown.
    }
    let again = Arc::new(Journal::default());
    let (node, _) = open_one(dir.path(), &again);
    assert!(!node.report().closed_orderly);
    assert_eq!(*again.entries.lock(), *journal.entries.lock());
    node.shutdown().unwrap();

    let entries = journal.entries.lock().clone();
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    assert!(node.report().closed_orderly);
    let rest = Arc::new(Journal::default());
    let group = node.add_group(GROUP, JournalMachine::boxed_from(&rest, recovered(&entries[49]))).unwrap();
    group.read_index().unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(*rest.entries.lock(), entries[50..]);
    let next = write(&group, "next").unwrap();
    assert!(next.index > entries[99].index);
}

#[test]
fn a_copy_of_a_running_directory_holds_everything_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (_node, group) = open_one(dir.path(), &journal);
    for round in 0..5 {
        for number in 0..20 {
            write(&group, &format!("{round}.{number}")).unwrap();
        }
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let again = Arc::new(Journal::default());
        let (node, _) = open_one(copy.path(), &again);
        assert_eq!(*again.entries.lock(), *journal.entries.lock());
        assert_eq!(node.report().dropped_bytes(), 0, "allocated space is not a dropped write");
    }
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
fn the_identity_is_kept_checked_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (node, group) = open_one(dir.path(), &journal);
    write(&group, "kept").unwrap();
    let identity = node.identity();
    node.shutdown().unwrap();
    let file = dir.path().join("identity");
    let open = |config| ClusterNode::open(dir.path(), config).map(drop);

    let other = NodeConfig { cluster_id: Some(ClusterId(1)), ..config() };
    assert!(
        matches!(open(other).unwrap_err(), OpenError::OtherCluster { found, .. } if found == identity.cluster)
    );

    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[1..]).unwrap();
    let error = open(config()).unwrap_err();
    assert!(matches!(error, OpenError::IdentityDamaged { .. }), "{error}");
    assert!(error.to_string().contains("delete it"), "the error must say what to do: {error}");

    fs::remove_file(&file).unwrap();
    let again = Arc::new(Journal::default());
    let (node, _) = open_one(dir.path(), &again);
    assert!(node.report().identity_rebuilt);
    assert_eq!(node.identity(), identity);
    assert_eq!(node.stored_groups(), [GROUP]);
    assert_eq!(again.texts(), ["kept"]);
}

#[test]
fn a_log_of_another_node_or_a_lost_log_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &two] {
        let (node, _) = open_one(dir.path(), &Arc::default());
        node.shutdown().unwrap();
    }
    let open = || ClusterNode::open(one.path(), config()).map(drop);
    fs::remove_dir_all(one.path().join("raft")).unwrap();
    assert!(
        matches!(open().unwrap_err(), OpenError::Log(_)),
        "the mark of the orderly shutdown does not fit"
    );
    fs::remove_file(one.path().join("closed")).unwrap();
    assert!(matches!(open().unwrap_err(), OpenError::LogLost { groups: 1, .. }));
    fs::remove_dir_all(one.path().join("raft")).unwrap();
    copy_dir(&two.path().join("raft"), &one.path().join("raft"));
    assert!(matches!(open().unwrap_err(), OpenError::ForeignLog { .. }));
}

#[test]
fn an_orderly_shutdown_finishes_what_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::default());
    let (node, group) = open_one(dir.path(), &journal);
    let answers: Vec<_> = (0..500).map(|number| group.propose(number.to_string()).unwrap()).collect();
    node.shutdown().unwrap();
    for answer in answers {
        answer.wait_timeout(LONG).unwrap();
    }
    assert_eq!(journal.entries.lock().len(), 500);
    assert_eq!(write(&group, "late").unwrap_err().kind(), ErrorKind::Unknown);
}
