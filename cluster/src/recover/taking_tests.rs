//! What a survivor lacks, taken from the directories of others: refused, chosen, taken, and interrupted.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::slice::from_ref;
use std::time::Duration;

use raft::eraftpb::{Entry, HardState};

use super::take::copy_folder;
use super::tests::put;
use super::*;
use crate::group::entry::EntryKind;
use crate::identity::GroupMark;
use crate::log::store::BOOTSTRAP;
use crate::map::MapCommand;
use crate::node::ClusterNode;
use crate::status::Role;

mod interrupted;

const LONG: Duration = Duration::from_secs(20);
/// A group that is on stores 11, 12 and 13, and not on the one that is recovered.
const NINE: GroupId = GroupId(9);
/// A group that the one that is recovered holds.
const EIGHT: GroupId = GroupId(8);

fn folder(group: GroupId) -> Option<String> {
    (group != MAP_GROUP).then(|| format!("group-{group}"))
}

fn plan(dir: &Path, dirs: &[PathBuf]) -> Result<Recovery, RecoverError> {
    plan_recovery(dir, Others { dirs, folder })
}

fn apply(dir: &Path, dirs: &[PathBuf]) -> Result<Recovery, RecoverError> {
    let planned = plan(dir, &[]).unwrap().cluster;
    apply_recovery(dir, planned, Others { dirs, folder })
}

/// Some directories of one test.
struct Case {
    root: tempfile::TempDir,
    /// That of the node that is recovered.
    own: PathBuf,
    was: Identity,
}

impl Case {
    /// A node whose map knows stores 11, 12 and 13, and places group nine on them.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("own");
        let node = ClusterNode::open(&own, NodeConfig::default()).unwrap();
        let group = node.add_group(MAP_GROUP, Box::new(MapMachine::open(&own).unwrap())).unwrap();
        let was = node.identity();
        let apply = |command: MapCommand| {
            group.propose(command.encode()).unwrap().wait_timeout(LONG).unwrap();
        };
        [was.store.0, 11, 12, 13].map(put).into_iter().for_each(apply);
        let to = [11, 12, 13].map(StoreId).into();
        apply(MapCommand::Place { group: NINE, from: None, to });
        node.shutdown().unwrap();
        Self { root, own, was }
    }

    /// The directory of another node of the cluster.
    fn other(&self, store: u64) -> PathBuf {
        let dir = self.root.path().join(format!("other-{store}"));
        fs::create_dir(&dir).unwrap();
        copy_folder(&self.own, &dir).unwrap();
        become_store(&dir, self.was.cluster, StoreId(store));
        fs::canonicalize(dir).unwrap()
    }

    /// The directory of another node that holds group nine.
    fn holder(&self, store: u64, terms: &[u64]) -> PathBuf {
        let dir = self.other(store);
        hold(&dir, NINE, terms, 0);
        dir
    }
}

fn become_store(dir: &Path, cluster: ClusterId, store: StoreId) {
    with_files(dir, |log, file| {
        let new = Identity { cluster, store, ..file.identity.clone() };
        files::remove(&dir.join(IDENTITY))?;
        log.put_identity(files::with_checksum(new.to_text()).as_bytes())?;
        *file = IdentityFile::create(&dir.join(IDENTITY), new, log.groups())?;
        Ok(())
    })
    .unwrap();
}

/// One entry that names its place and term.
fn entry(index: u64, term: u64) -> Entry {
    let mut entry = Entry { index, term, ..Entry::default() };
    entry.data = put(1_000 * term + index).encode().into();
    entry.context = EntryKind::Command.context();
    entry
}

/// Has a directory hold a replica of a group of three, with an entry of each of these terms, so many of them committed.
fn hold(dir: &Path, group: GroupId, terms: &[u64], committed: u64) {
    with_files(dir, |log, file| {
        let store = file.identity.store;
        let voters = [(PeerId(store.0), store), (PeerId(91), StoreId(12)), (PeerId(92), StoreId(13))];
        let entries: Vec<Entry> =
            (BOOTSTRAP.index + 1..).zip(terms).map(|(index, term)| entry(index, *term)).collect();
        let term = terms.last().copied().unwrap_or(BOOTSTRAP.term);
        let hard_state =
            HardState { term, commit: BOOTSTRAP.index + committed, vote: 92, ..HardState::default() };
        let first = GroupWrite::bootstrap(group, PeerId(store.0), &voters);
        log.write(&[GroupWrite { entries, hard_state: Some(hard_state), ..first }])?;
        file.mark(group, Some(GroupMark::Present))?;
        let files = dir.join(folder(group).unwrap()).join("tables");
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("1"), store.to_string()).unwrap();
        Ok(())
    })
    .unwrap();
}

fn edit<T: Send>(dir: &Path, work: impl FnOnce(&EngineLog) -> Result<T, LogError> + Send) -> T {
    with_files(dir, |log, _| Ok(work(log)?)).unwrap()
}

/// Every file below a directory, with its bytes.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            all.extend(content(&path))
        } else {
            drop(all.insert(path.clone(), fs::read(&path).unwrap()))
        }
    }
    all
}

/// The node leads group nine alone, with the files of `from` and the entries of these terms, and writes.
#[track_caller]
fn goes_on(case: &Case, from: u64, group: GroupId, terms: &[u64]) {
    let name = folder(group).unwrap();
    let table = fs::read_to_string(case.own.join(&name).join("tables/1")).unwrap();
    assert_eq!(table, StoreId(from).to_string());
    for left in ["recovering", "recovering-from"] {
        assert!(!case.own.join(left).exists(), "{left}");
    }
    let node = ClusterNode::open(&case.own, NodeConfig::default()).unwrap();
    assert_eq!((node.identity().store, node.identity().cluster == case.was.cluster), (case.was.store, false));
    let map = MapMachine::open(&case.own).unwrap();
    let others = map.reader().map();
    assert_eq!((others.others(case.was.store).count(), others.placements.len()), (0, 0));
    node.add_group(MAP_GROUP, Box::new(map)).unwrap();
    let machine = MapMachine::open(&case.own.join(name)).unwrap();
    let reader = machine.reader();
    let handle = node.add_group(group, Box::new(machine)).unwrap();
    handle.propose(put(99).encode()).unwrap().wait_timeout(LONG).unwrap();
    let status = handle.status();
    assert_eq!((status.role, status.members.len()), (Role::Leader, 1), "{status:?}");
    let entries = (BOOTSTRAP.index + 1..).zip(terms).map(|(index, term)| 1_000 * term + index);
    let expected: Vec<u64> = [99].into_iter().chain(entries).collect();
    let found: Vec<u64> = reader.map().nodes.keys().map(|store| store.0).collect();
    assert_eq!(found, expected);
    node.shutdown().unwrap();
}

fn of(recovery: &Recovery, group: GroupId) -> &GroupRecovery {
    recovery.groups.iter().find(|plan| plan.group == group).unwrap()
}

#[test]
fn a_group_that_is_not_here_is_taken_from_another_directory_which_stays_as_it_is() {
    let case = Case::new();
    let other = case.holder(11, &[6, 6, 7]);
    // What an earlier replica has left.
    fs::create_dir_all(case.own.join("group-9/tables")).unwrap();
    fs::write(case.own.join("group-9/tables/0"), "old").unwrap();
    let before = content(&other);
    let found = plan(&case.own, from_ref(&other)).unwrap();
    let nine = of(&found, NINE);
    assert_eq!(nine.source, Source::Whole { from: other.clone() });
    assert_eq!((nine.voters, nine.voted, nine.last_term, nine.last, &nine.problem), (3, true, 7, 8, &None));
    assert_eq!(found.others, vec![(StoreId(11), other.clone())]);
    assert_eq!(plan(&case.own, from_ref(&other)).unwrap(), found, "a plan changes nothing");
    assert!(!case.own.join("recovering").exists());
    let done = apply(&case.own, from_ref(&other)).unwrap();
    assert_eq!((done.cluster, &done.groups), (case.was.cluster, &found.groups));
    assert_eq!(content(&other), before);
    assert!(!case.own.join("group-9/tables/0").exists());
    goes_on(&case, 11, NINE, &[6, 6, 7]);
    // The directory is of another cluster now.
    let again = plan(&case.own, &[other]).unwrap_err();
    assert!(again.to_string().contains("of one cluster"), "{again}");
}

#[test]
fn what_is_no_directory_of_another_survivor_is_refused_and_nothing_is_changed() {
    let case = Case::new();
    let said = |dirs: &[PathBuf]| {
        let error = apply(&case.own, dirs).unwrap_err();
        assert!(!case.own.join("recovering").exists());
        assert_eq!(plan(&case.own, &[]).unwrap().cluster, case.was.cluster, "{error}");
        assert_eq!(plan(&case.own, dirs).is_err(), matches!(error, RecoverError::Unfit { .. }));
        assert!(case.own.join(CLOSED).exists());
        error.to_string()
    };
    let none = case.other(12);
    for dirs in [&[][..], from_ref(&none)] {
        let why = said(dirs);
        assert!(why.contains("group-9: only other nodes hold group-9") && why.contains("--from"), "{why}");
        assert!(why.contains("000000000000000b at h:11"), "{why}");
    }
    let holder = case.holder(11, &[6]);
    let foreign = case.holder(21, &[6]);
    become_store(&foreign, ClusterId(77), StoreId(21));
    let why = said(&[foreign]);
    assert!(why.contains("cluster 0000000000000000000000000000004d") && why.contains("other-21"), "{why}");
    let copy = case.other(22);
    become_store(&copy, case.was.cluster, case.was.store);
    assert!(said(from_ref(&copy)).contains("copy"));
    become_store(&copy, case.was.cluster, StoreId(11));
    assert!(said(&[holder.clone(), copy]).contains("copy"));
    assert!(said(&[holder.clone(), holder.clone()]).contains("twice"));
    assert!(said(from_ref(&case.own)).contains("twice"));
    let empty = case.root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(said(&[empty]).contains("no database"));
    // Who was removed by its own map, and whose map says that the other one was.
    let removed = case.holder(13, &[6]);
    MapMachine::open(&removed).unwrap().leave_others(StoreId(11)).unwrap();
    assert!(said(from_ref(&removed)).contains("its node was removed"));
    become_store(&removed, case.was.cluster, StoreId(11));
    assert!(said(&[removed]).contains(&format!("node {} was removed", case.was.store)));
    let gone = plan(&case.own, &[case.root.path().join("gone")]).unwrap_err();
    assert!(matches!(gone, RecoverError::Other(OpenError::Io { .. })), "{gone}");
    let open = ClusterNode::open(&holder, NodeConfig::default()).unwrap();
    let in_use = plan(&case.own, from_ref(&holder)).unwrap_err();
    assert!(matches!(in_use, RecoverError::Other(OpenError::InUse { .. })), "{in_use}");
    open.shutdown().unwrap();
    assert_eq!(of(&plan(&case.own, &[holder]).unwrap(), NINE).problem, None);
}

#[test]
fn a_damaged_log_of_another_directory_is_an_error_and_nothing_is_changed() {
    let case = Case::new();
    let other = case.holder(11, &[6, 6]);
    let log = fs::read_dir(other.join(RAFT)).unwrap().map(|item| item.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|it| it == "raftlog")).max().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let before = content(&case.own);
    let error = apply(&case.own, &[other]).unwrap_err();
    assert!(matches!(error, RecoverError::Other(OpenError::Log(_))), "{error}");
    assert_eq!(content(&case.own).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_eq!(plan(&case.own, &[]).unwrap().cluster, case.was.cluster);
}

#[test]
fn of_several_replicas_the_one_with_the_newest_entries_is_taken() {
    let case = Case::new();
    // A larger term wins over more entries, more entries over fewer, one that votes over one that does not.
    let older = case.holder(11, &[6, 6, 6, 6]);
    let newer = case.holder(12, &[6, 7]);
    let longer = case.holder(13, &[6, 7, 7]);
    let equal = case.holder(14, &[6, 7, 7]);
    edit(&longer, |log| {
        let mut members = log.load(NINE)?.unwrap().members;
        members.conf_state.set_voters(vec![91, 92]);
        members.conf_state.set_learners(vec![13]);
        log.write(&[GroupWrite { members: Some(members), ..GroupWrite::new(NINE) }])
    });
    let taken = |dirs: &[&PathBuf]| {
        let dirs: Vec<PathBuf> = dirs.iter().map(|dir| (*dir).clone()).collect();
        match &of(&plan(&case.own, &dirs).unwrap(), NINE).source {
            Source::Whole { from } => from.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(taken(&[&older, &newer]), newer);
    assert_eq!(taken(&[&newer, &older, &longer]), longer);
    assert_eq!(taken(&[&longer, &equal]), equal);
    // Nor one whose files are gone, or that waits for its first snapshot.
    fs::remove_dir_all(equal.join("group-9")).unwrap();
    edit(&longer, |log| log.write(&[GroupWrite { reset: true, ..GroupWrite::join(NINE, PeerId(13)) }]));
    let dirs = [older, newer, longer, equal];
    apply(&case.own, &dirs).unwrap();
    goes_on(&case, 12, NINE, &[6, 7]);
}

#[test]
fn a_replica_that_waits_or_was_given_up_makes_room_for_a_better_one() {
    for waits in [true, false] {
        let case = Case::new();
        let other = case.holder(11, &[6, 7]);
        hold(&case.own, NINE, &[6], 1);
        edit(&case.own, |log| {
            let mut members = log.load(NINE)?.unwrap().members;
            members.conf_state.set_voters(vec![91, 92]);
            members.stores.remove(&case.was.store.0);
            let left = GroupWrite { members: Some(members), ..GroupWrite::new(NINE) };
            let waiting = GroupWrite { reset: true, ..GroupWrite::join(NINE, PeerId(case.was.store.0)) };
            log.write(&[if waits { waiting } else { left }])
        });
        let alone = plan(&case.own, &[]).unwrap();
        assert_eq!(of(&alone, NINE).problem.is_some(), waits);
        apply(&case.own, &[other]).unwrap();
        goes_on(&case, 11, NINE, &[6, 7]);
    }
}

#[test]
fn of_a_group_that_is_here_only_the_entries_that_are_missing_are_taken() {
    // Terms here and there, how many are committed here, and behind which entry others' are taken.
    let cases: [(&[u64], &[u64], u64, u64); 4] = [
        (&[6, 6], &[6, 6, 6, 7], 2, 7),
        (&[6, 6], &[6, 6, 7], 0, 7),
        (&[6, 6, 6, 6], &[6, 6, 7], 1, 7),
        (&[6, 6, 6, 6], &[7], 0, 5),
    ];
    for (here, there, committed, behind) in cases {
        let case = Case::new();
        let other = case.holder(11, &[6]);
        hold(&case.own, EIGHT, here, committed);
        hold(&other, EIGHT, there, 0);
        let own = case.was.store.0;
        let found = plan(&case.own, from_ref(&other)).unwrap();
        let eight = of(&found, EIGHT);
        assert_eq!(eight.source, Source::Entries { from: other.clone(), behind }, "{here:?} {there:?}");
        assert_eq!((eight.last, Some(&eight.last_term)), (5 + there.len() as u64, there.last()));
        apply(&case.own, &[other]).unwrap();
        goes_on(&case, own, EIGHT, there);
    }
    // Who has as much or more goes on alone.
    let case = Case::new();
    let other = case.holder(11, &[6]);
    hold(&case.own, EIGHT, &[6, 7], 1);
    hold(&other, EIGHT, &[6, 6, 6], 1);
    apply(&case.own, &[other]).unwrap();
    goes_on(&case, case.was.store.0, EIGHT, &[6, 7]);
}

#[test]
fn a_newer_replica_whose_log_begins_behind_what_is_here_is_only_named() {
    let case = Case::new();
    let other = case.holder(11, &[6]);
    hold(&case.own, EIGHT, &[6, 6], 2);
    hold(&other, EIGHT, &[6, 6, 6, 7, 7], 5);
    let truncate = Some(crate::log::store::Truncated { index: 9, term: 7 });
    edit(&other, |log| log.write(&[GroupWrite { truncate, ..GroupWrite::new(EIGHT) }]));
    let found = apply(&case.own, from_ref(&other)).unwrap();
    let eight = of(&found, EIGHT);
    assert_eq!((&eight.source, &eight.newer, eight.last), (&Source::Here, &Some(other), 7));
    goes_on(&case, case.was.store.0, EIGHT, &[6, 6]);
}
