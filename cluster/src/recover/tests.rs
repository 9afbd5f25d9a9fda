//! Survivors of a group of three, recovered whole and interrupted.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType};

use super::*;
use crate::map::MapCommand;
use crate::members::MemberChange;
use crate::node::ClusterNode;
use crate::status::Role;

const LONG: Duration = Duration::from_secs(20);

/// No other directories.
pub(super) const NONE: Others<'static> = Others { dirs: &[], folder: |_| None };

pub(super) fn put(store: u64) -> MapCommand {
    let (address, api) = (format!("h:{store}"), String::new());
    MapCommand::PutNode { store: StoreId(store), address, api, replicas: BTreeMap::new() }
}

/// A member of a group of three whose last entry, never committed, would add a member more.
fn survivor(dir: &Path) -> (Identity, u64) {
    let node = ClusterNode::open(dir, NodeConfig::default()).unwrap();
    let group = node.add_group(MAP_GROUP, Box::new(MapMachine::open(dir).unwrap())).unwrap();
    let identity = node.identity();
    for store in [identity.store.0, 11, 12] {
        group.propose(put(store).encode()).unwrap().wait_timeout(LONG).unwrap();
    }
    node.shutdown().unwrap();
    let added = with_files(dir, |log, _| {
        let stored = log.load(MAP_GROUP)?.unwrap();
        let (own, next) = ((stored.peer, identity.store), last(&stored) + 1);
        let change = MemberChange::AddLearner { peer: PeerId(4), store: StoreId(14) };
        let mut entry = Entry { index: next, term: stored.hard_state.term, ..Entry::default() };
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        entry.data = change.to_raft().write_to_bytes().unwrap().into();
        entry.context = change.context().into();
        let members = Members::bootstrap(
            stored.members.index,
            &[own, (PeerId(2), StoreId(11)), (PeerId(3), StoreId(12))],
        );
        let entries = vec![entry];
        log.write(&[GroupWrite { members: Some(members), entries, ..GroupWrite::new(MAP_GROUP) }])?;
        Ok(next)
    });
    (identity, added.unwrap())
}

/// The directory leads alone, knows no other node, and writes.
fn goes_on_alone(dir: &Path, was: &Identity) {
    let node = ClusterNode::open(dir, NodeConfig::default()).unwrap();
    let now = node.identity();
    assert_eq!((now.store, now.cluster == was.cluster), (was.store, false));
    let machine = MapMachine::open(dir).unwrap();
    let map = machine.reader();
    let group = node.add_group(MAP_GROUP, Box::new(machine)).unwrap();
    group.propose(put(99).encode()).unwrap().wait_timeout(LONG).unwrap();
    let status = group.status();
    assert_eq!((status.role, status.members.len()), (Role::Leader, 1), "{status:?}");
    let others: Vec<_> = map.map().others(was.store).map(|(store, _)| store).collect();
    assert_eq!(others, vec![StoreId(99)]);
    node.shutdown().unwrap();
}

#[test]
fn a_survivor_leads_alone_and_a_change_of_members_at_the_end_of_its_log_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let (was, added) = survivor(dir.path());
    let plan = plan_recovery(dir.path(), NONE).unwrap();
    assert_eq!(plan.lost, vec![(StoreId(11), "h:11".to_owned()), (StoreId(12), "h:12".to_owned())]);
    let group = &plan.groups[0];
    assert_eq!((group.voters, group.voted, group.last), (3, true, added));
    assert!(group.commit < added, "{group:?}");
    assert_eq!(plan_recovery(dir.path(), NONE).unwrap(), plan, "a plan changes nothing");
    let done = apply_recovery(dir.path(), plan.cluster, NONE).unwrap();
    assert_eq!((done.cluster, &done.groups), (was.cluster, &plan.groups));
    goes_on_alone(dir.path(), &was);
    // The same command once more would give up the node that has come since.
    let again = apply_recovery(dir.path(), plan.cluster, NONE).unwrap_err();
    assert!(again.to_string().contains("recovered since"), "{again}");
    assert_eq!(plan_recovery(dir.path(), NONE).unwrap().lost, vec![(StoreId(99), "h:99".to_owned())]);
    goes_on_alone(dir.path(), &was);
}

#[test]
fn a_recovery_that_a_crash_interrupts_is_finished_by_the_next() {
    for steps in 1..=4 {
        let dir = tempfile::tempdir().unwrap();
        let (was, _) = survivor(dir.path());
        with_files(dir.path(), |log, file| {
            let path = dir.path().join(IDENTITY);
            let new = Identity { cluster: ClusterId(77), ..was.clone() };
            let stored = log.load(MAP_GROUP)?.unwrap();
            files::remove(&path)?;
            if steps >= 2 {
                log.put_identity(files::with_checksum(new.to_text()).as_bytes())?;
            }
            if steps >= 3 {
                *file = IdentityFile::create(&path, new, log.groups())?;
            }
            if steps >= 4 {
                log.write(&[alone(MAP_GROUP, stored, was.store)])?;
            }
            Ok(())
        })
        .unwrap();
        let half_done = plan_recovery(dir.path(), NONE).unwrap();
        assert_eq!(half_done.cluster == was.cluster, steps == 1, "the old cluster's id goes first");
        apply_recovery(dir.path(), half_done.cluster, NONE).unwrap();
        goes_on_alone(dir.path(), &was);
    }
}

#[test]
fn what_is_no_survivor_of_a_cluster_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(apply_recovery(dir.path(), ClusterId(1), NONE), Err(RecoverError::Refused { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is created");
    let node = ClusterNode::open(dir.path(), NodeConfig::default()).unwrap();
    let cluster = node.identity().cluster;
    node.shutdown().unwrap();
    let alone = apply_recovery(dir.path(), cluster, NONE).unwrap_err();
    assert!(alone.to_string().contains("it is in no cluster"), "{alone}");
    let (_, other) = (dir, tempfile::tempdir().unwrap());
    let (identity, _) = survivor(other.path());
    let open = ClusterNode::open(other.path(), NodeConfig::default()).unwrap();
    let in_use = apply_recovery(other.path(), identity.cluster, NONE).unwrap_err();
    assert!(matches!(in_use, RecoverError::Open(OpenError::InUse { .. })), "{in_use}");
    open.shutdown().unwrap();
    assert_eq!(plan_recovery(other.path(), NONE).unwrap().cluster, identity.cluster);
}

#[test]
fn a_survivor_without_a_group_that_is_on_some_of_the_nodes_is_refused_and_one_with_all_has_all_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = ClusterNode::open(dir.path(), NodeConfig::default()).unwrap();
    let group = node.add_group(MAP_GROUP, Box::new(MapMachine::open(dir.path()).unwrap())).unwrap();
    let Identity { store: own, cluster, .. } = node.identity();
    let place = |from: Option<&[u64]>, to: &[StoreId]| MapCommand::Place {
        group: GroupId(9),
        from: from.map(|stores| stores.iter().copied().map(StoreId).collect()),
        to: to.iter().copied().collect(),
    };
    let apply = |command: MapCommand| group.propose(command.encode()).unwrap().wait_timeout(LONG).unwrap();
    [own.0, 11, 12].map(put).into_iter().for_each(|command| drop(apply(command)));
    apply(place(None, &[StoreId(11), StoreId(12)]));
    node.shutdown().unwrap();
    let refused = apply_recovery(dir.path(), cluster, NONE).unwrap_err();
    assert!(refused.to_string().contains("only other nodes hold group 9"), "{refused}");
    let node = ClusterNode::open(dir.path(), NodeConfig::default()).unwrap();
    let group = node.add_group(MAP_GROUP, Box::new(MapMachine::open(dir.path()).unwrap())).unwrap();
    group.propose(place(Some(&[11, 12]), &[own]).encode()).unwrap().wait_timeout(LONG).unwrap();
    node.add_group(GroupId(9), Box::new(MapMachine::open(&dir.path().join("nine")).unwrap())).unwrap();
    node.shutdown().unwrap();
    apply_recovery(dir.path(), cluster, NONE).unwrap();
    let map = MapMachine::open(dir.path()).unwrap().reader().map();
    assert!(map.placements.is_empty(), "{map:?}");
}
