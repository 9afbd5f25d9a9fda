//! Three nodes on loopback: joining, replication, a leader that vanishes, a node that comes back, a node that leaves.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use segue_cluster::{
    AppliedState, ApplyError, Call, Cluster, ClusterNode, ClusterOptions, CommittedEntry, DirStaging, Entry,
    ErrorKind, GroupHandle, IntentChange, NetworkConfig, NodeConfig, NodeIntent, NodeStatus, Role,
    SnapshotFile, SnapshotFiles, SnapshotManifest, Staging, StateMachine, StoreId, cluster_of,
};

use crate::machine::{GROUP, LONG, config};

/// Lines, in a file that is replaced whole.
#[derive(Clone, Default)]
struct Lines {
    at: AppliedState,
    lines: Vec<String>,
}

struct LinesMachine {
    dir: PathBuf,
    state: Arc<Mutex<Lines>>,
    durable: u64,
}

struct OneFile(SnapshotManifest, fs::File);

impl SnapshotFiles for OneFile {
    fn manifest(&self) -> &SnapshotManifest {
        &self.0
    }

    fn read(&self, _: usize, offset: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
        let mut piece = vec![0; bytes.min(self.0.files[0].bytes - offset) as usize];
        self.1.read_exact_at(&mut piece, offset)?;
        Ok(piece)
    }
}

impl LinesMachine {
    fn open(dir: &Path) -> (Box<Self>, Arc<Mutex<Lines>>) {
        fs::create_dir_all(dir).unwrap();
        let state = match fs::read_to_string(dir.join("state")) {
            Ok(text) => {
                let mut lines = text.lines().map(str::to_owned);
                let mut number = || lines.next().unwrap().parse().unwrap();
                let at = AppliedState { index: number(), term: number() };
                Lines { at, lines: lines.collect() }
            }
            Err(_) => Lines::default(),
        };
        let durable = state.at.index;
        let state = Arc::new(Mutex::new(state));
        (Box::new(Self { dir: dir.to_owned(), state: state.clone(), durable }), state)
    }

    fn persist(&mut self) {
        let state = self.state.lock();
        let text = format!("{}\n{}\n{}\n", state.at.index, state.at.term, state.lines.join("\n"));
        fs::write(self.dir.join("new"), text).unwrap();
        fs::rename(self.dir.join("new"), self.dir.join("state")).unwrap();
        self.durable = state.at.index;
    }
}

impl StateMachine for LinesMachine {
    fn recovered(&self) -> AppliedState {
        self.state.lock().at.clone()
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        let mut state = self.state.lock();
        for entry in batch {
            state.lines.push(String::from_utf8(entry.data.to_vec()).unwrap());
            state.at = AppliedState { index: entry.index, term: entry.term };
        }
        Ok(batch.iter().map(|entry| entry.data.clone()).collect())
    }

    fn durable_index(&self) -> u64 {
        self.durable
    }

    fn snapshot(&mut self) -> Result<Option<Arc<dyn SnapshotFiles>>, ApplyError> {
        self.persist();
        let content = fs::read(self.dir.join("state")).unwrap();
        let hash = *blake3::hash(&content).as_bytes();
        let file = SnapshotFile { name: "state".into(), bytes: content.len() as u64, hash };
        let AppliedState { index, term } = self.state.lock().at.clone();
        let manifest = SnapshotManifest { index, term, data: Bytes::new(), files: vec![file] };
        Ok(Some(Arc::new(OneFile(manifest, fs::File::open(self.dir.join("state")).unwrap()))))
    }

    fn staging(&self) -> Option<Arc<dyn Staging>> {
        Some(Arc::new(DirStaging::open(self.dir.join("incoming")).unwrap()))
    }

    fn install(&mut self, snapshot: &SnapshotManifest) -> Result<(), ApplyError> {
        let staging = DirStaging::open(self.dir.join("incoming")).unwrap();
        fs::rename(staging.path(&snapshot.files[0]), self.dir.join("state")).unwrap();
        let (machine, state) = Self::open(&self.dir);
        *self.state.lock() = state.lock().clone();
        self.durable = machine.durable;
        Ok(())
    }
}

/// One running node. Dropped, it stops without a word, as after kill -9.
pub(crate) struct Running {
    pub cluster: Cluster,
    pub node: ClusterNode,
    group: GroupHandle,
    state: Arc<Mutex<Lines>>,
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Running {
    fn start(dir: &Path, entry: Entry, port: u16) -> Self {
        Self::start_behind(dir, entry, port, None)
    }

    /// The same; others reach it at the address `advertise`, if there is one.
    pub fn start_behind(dir: &Path, entry: Entry, port: u16, advertise: Option<String>) -> Self {
        let fresh = !dir.join("identity").exists();
        let cluster_id = match &entry {
            Entry::Join(addresses) if fresh => Some(cluster_of(&addresses[0], None).unwrap()),
            _ => None,
        };
        let config = NodeConfig { cluster_id, tick: Duration::from_millis(20), ..config() };
        let node = ClusterNode::open(dir, config).unwrap();
        let network = NetworkConfig { listen: loopback(port), advertise, tls: None };
        let options =
            ClusterOptions { network, api: "127.0.0.1:1".into(), entry, replace_after: None, voters: 3 };
        let call = |from: StoreId, topic: u32, request: Bytes| match topic {
            1 => Ok(Bytes::from(format!("{from}: {}", String::from_utf8_lossy(&request)))),
            _ => Err("told to fail".to_owned()),
        };
        let cluster = Cluster::start(&node, dir, options, Box::new(call)).unwrap();
        let (machine, state) = LinesMachine::open(&dir.join("lines"));
        let group = cluster.add_group(&node, GROUP, machine).unwrap();
        cluster.enter().unwrap();
        Self { cluster, node, group, state }
    }

    fn port(&self) -> u16 {
        self.cluster.address().rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn write(&self, text: &str) {
        let start = Instant::now();
        loop {
            match self.cluster.propose(GROUP, text.to_owned().into(), LONG) {
                Ok(applied) => break assert_eq!(applied.reply, text),
                // The leader went while it had the request: whoever asks may ask again.
                Err(error) => {
                    let status = self.group.status();
                    assert_eq!(error.kind(), ErrorKind::Unknown, "{text}: {error}, {status:?}");
                }
            }
            assert!(start.elapsed() < LONG, "{text}: not in time");
        }
        // Applied here before it is acknowledged.
        assert!(self.state.lock().lines.iter().any(|line| line == text));
    }

    pub fn lines(&self) -> Vec<String> {
        self.state.lock().lines.clone()
    }

    pub fn voters(&self) -> BTreeSet<StoreId> {
        let members = self.group.status().members;
        members.iter().filter(|member| member.votes).filter_map(|member| member.store).collect()
    }

    pub fn leads(&self) -> bool {
        self.group.status().role == Role::Leader
    }

    /// Leaves as a stopped process does.
    fn shutdown(self) {
        self.cluster.stop();
        drop(self.cluster);
        self.node.shutdown().unwrap();
    }
}

#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "{what}: not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn three(dirs: &[tempfile::TempDir; 3]) -> Vec<Running> {
    let first = Running::start(dirs[0].path(), Entry::First, 0);
    for number in 0..50 {
        first.write(&format!("before {number}"));
    }
    let join = Entry::Join(vec![first.cluster.address()]);
    let second = Running::start(dirs[1].path(), join.clone(), 0);
    // The third asks the second: the first node is not special.
    until("the second node knows the map", || second.cluster.map().nodes.len() == 2);
    let third = Running::start(dirs[2].path(), Entry::Join(vec![second.cluster.address()]), 0);
    let nodes = vec![first, second, third];
    let settled = |node: &Running| node.voters().len() == 3 && !node.group.status().is_joint;
    until("all vote", || nodes.iter().all(settled));
    until("all have all", || nodes.iter().all(|node| node.lines().len() == 50));
    nodes
}

pub(crate) fn dirs() -> [tempfile::TempDir; 3] {
    [0; 3].map(|_| tempfile::tempdir().unwrap())
}

#[test]
fn three_nodes_replicate_and_a_leader_that_vanishes_takes_nothing_along() {
    let dirs = dirs();
    let mut nodes = three(&dirs);
    for (number, node) in nodes.iter().enumerate() {
        node.write(&format!("from {number}"));
    }
    let leader = nodes.iter().position(Running::leads).unwrap();
    let gone = nodes.remove(leader);
    let port = gone.port();
    drop(gone);
    let start = Instant::now();
    nodes[0].write("without it");
    eprintln!("a write went through {} ms after its leader vanished", start.elapsed().as_millis());
    nodes[1].write("and another");
    let expected: BTreeSet<String> = (0..50)
        .map(|number| format!("before {number}"))
        .chain((0..3).map(|number| format!("from {number}")))
        .chain(["without it".to_owned(), "and another".to_owned()])
        .collect();
    let all = |node: &Running| node.lines().into_iter().collect::<BTreeSet<_>>() == expected;
    until("both have all", || nodes.iter().all(all));
    // It comes back at the same address, needs nobody's word to find the others, and catches up.
    let back = Running::start(dirs[leader].path(), Entry::Member, port);
    until("it has all", || back.lines() == nodes[0].lines());
    back.write("from the one that was gone");
    until("they are alike", || nodes.iter().all(|node| node.lines() == back.lines()));
    // At another address, too.
    back.shutdown();
    let back = Running::start(dirs[leader].path(), Entry::Member, 0);
    back.write("from elsewhere");
    until("they are alike", || nodes.iter().all(|node| node.lines() == back.lines()));
}

/// The map has no leader without the node that moved: it cannot be what tells the third node where that one is.
#[test]
fn a_node_that_comes_back_elsewhere_while_another_is_gone_is_found() {
    let dirs = dirs();
    let mut nodes = three(&dirs);
    drop(nodes.pop());
    let moved = nodes.remove(0);
    let before = moved.cluster.address();
    moved.shutdown();
    let back = Running::start(dirs[0].path(), Entry::Member, 0);
    let address = back.cluster.address();
    assert_ne!(address, before);
    back.write("from elsewhere");
    nodes[0].write("from the one that stayed");
    until("they are alike", || nodes[0].lines() == back.lines());
    let store = back.cluster.store();
    until("the map knows it", || nodes[0].cluster.map().nodes[&store].address == address);
}

/// Nobody is where the others believe: one word from outside is enough, an address that all but one are started with.
#[test]
fn nodes_that_all_come_back_elsewhere_find_each_other_by_the_address_of_one() {
    let dirs = dirs();
    let nodes = three(&dirs);
    let before: Vec<String> = nodes.iter().map(|node| node.cluster.address()).collect();
    nodes.into_iter().for_each(Running::shutdown);
    let first = Running::start(dirs[0].path(), Entry::Member, 0);
    let named = Entry::Join(vec![first.cluster.address()]);
    let second = Running::start(dirs[1].path(), named.clone(), 0);
    second.write("two are a majority");
    let third = Running::start(dirs[2].path(), named, 0);
    third.write("from the third");
    first.write("from the first");
    let nodes = [first, second, third];
    until("they are alike", || nodes[1..].iter().all(|node| node.lines() == nodes[0].lines()));
    let known = |at: &Running, of: &Running| {
        at.cluster.map().nodes[&of.cluster.store()].address == of.cluster.address()
    };
    until("every map knows all", || nodes.iter().all(|at| nodes.iter().all(|of| known(at, of))));
    assert!(nodes.iter().zip(&before).all(|(node, before)| node.cluster.address() != *before));
}

#[test]
fn a_reader_anywhere_sees_what_was_acknowledged_elsewhere() {
    let dirs = dirs();
    let nodes = three(&dirs);
    for round in 0..30 {
        let (writer, reader) = (&nodes[round % 3], &nodes[(round + 1) % 3]);
        let text = format!("round {round}");
        writer.write(&text);
        reader.group.read_index().unwrap().wait_timeout(LONG).unwrap();
        assert!(reader.lines().contains(&text), "round {round}");
    }
}

#[test]
fn a_node_drains_is_removed_and_is_not_listened_to_any_more() {
    let dirs = dirs();
    let nodes = three(&dirs);
    let leader = nodes.iter().position(Running::leads).unwrap();
    let (store, other) = (nodes[leader].cluster.store(), &nodes[(leader + 1) % 3]);
    let done = Ok(IntentChange::Done(vec![]));
    assert_eq!(other.cluster.set_intent(store, NodeIntent::Draining, false), done);
    until("it hands over", || !nodes[leader].leads() && other.group.status().leader.is_some());
    other.write("after the drain");
    assert_eq!(other.cluster.set_intent(store, NodeIntent::Removed, false), done);
    let status = other.cluster.status();
    let needed = |it: &&NodeStatus| !status.dangers(it.store, NodeIntent::Removed).is_empty();
    assert!(status.nodes.iter().any(|node| needed(&node)), "two are left, and not both can be spared");
    assert_eq!(other.cluster.set_intent(store, NodeIntent::Removed, false), done);
    until("it is no member", || !other.group.status().members.iter().any(|it| it.store == Some(store)));
    other.write("after the removal");
    assert!(!nodes[leader].lines().contains(&"after the removal".to_owned()));
    // The node that is asked may hear of the removal a moment later.
    let call = Call { to: other.cluster.store(), topic: 1, request: Bytes::new(), timeout: LONG };
    let refused = || nodes[leader].cluster.call(call.clone()).is_err_and(|error| error.contains("removed"));
    until("it is refused", refused);
}

#[test]
fn leadership_goes_where_it_is_sent_and_every_node_tells_the_same() {
    let dirs = dirs();
    let nodes = three(&dirs);
    let target = nodes.iter().position(|node| !node.leads()).unwrap();
    let asked = &nodes[(target + 1) % 3];
    asked.cluster.transfer_leader(GROUP, nodes[target].cluster.store()).unwrap();
    until("it leads", || nodes[target].leads());
    let status = asked.cluster.status();
    assert_eq!(status.nodes.len(), 3);
    for node in &status.nodes {
        let groups = node.groups.as_ref().unwrap();
        assert_eq!(groups.len(), 2, "the map's group and the program's");
    }
    let call = Call { to: nodes[target].cluster.store(), topic: 1, request: "hi".into(), timeout: LONG };
    if asked.cluster.store() != call.to {
        let expected = format!("{}: hi", asked.cluster.store());
        assert_eq!(asked.cluster.call(call.clone()).unwrap(), expected.as_bytes());
        assert_eq!(asked.cluster.call(Call { topic: 2, ..call }).unwrap_err(), "told to fail");
    }
}

#[test]
fn a_directory_with_a_database_of_its_own_does_not_join_and_stays_as_it_was() {
    let (one, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Running::start(one.path(), Entry::First, 0);
    let node = ClusterNode::open(own.path(), config()).unwrap();
    let (machine, _) = LinesMachine::open(&own.path().join("lines"));
    node.add_group(GROUP, machine).unwrap();
    let network = NetworkConfig { listen: loopback(0), advertise: None, tls: None };
    let entry = Entry::Join(vec![first.cluster.address()]);
    let options = ClusterOptions { network, api: String::new(), entry, replace_after: None, voters: 3 };
    let call = |_, _, _| Err("nobody asks".to_owned());
    let refused = Cluster::start(&node, own.path(), options, Box::new(call)).map(drop).unwrap_err();
    assert!(refused.to_string().contains("database of its own"), "{refused}");
    assert_eq!(node.stored_groups(), [GROUP]);
}

#[test]
fn two_clusters_never_become_one() {
    let (one, other, dir) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Running::start(one.path(), Entry::First, 0);
    let second = Running::start(other.path(), Entry::First, 0);
    // A directory that is of the second cluster asks the first.
    let joined = Running::start(dir.path(), Entry::Join(vec![second.cluster.address()]), 0);
    until("it is in the map", || joined.cluster.map().nodes.len() == 2);
    drop(joined);
    let node = ClusterNode::open(dir.path(), config()).unwrap();
    let foreign = cluster_of(&first.cluster.address(), None).unwrap();
    assert_ne!(node.identity().cluster, foreign);
    drop(node);
    let config = NodeConfig { cluster_id: Some(foreign), ..config() };
    assert!(ClusterNode::open(dir.path(), config).is_err());
    assert_eq!(first.cluster.map().nodes.len(), 1);
}
