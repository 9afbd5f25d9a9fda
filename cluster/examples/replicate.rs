//! Measures what three nodes of a cluster add to a proposal and to a read point: time and processor.
//!
//! `cargo run --release -p segue-cluster --example replicate [DIR] [SECONDS] [PROPOSALS A SECOND]`
//!
//! Three nodes in one process, over loopback, each with three groups led by the first; a proposal of 512 B is made at each
//! node in turn, a read point of all three groups is asked for at each node in turn. DIR decides which disk is measured.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use segue_cluster::{
    AppliedState, ApplyError, Cluster, ClusterNode, ClusterOptions, CommittedEntry, Entry, GroupHandle,
    GroupId, NetworkConfig, NoFiles, NodeConfig, Role, SnapshotFiles, SnapshotManifest, Staging,
    StateMachine, Words, cluster_of,
};

const GROUPS: [GroupId; 3] = [GroupId(7), GroupId(8), GroupId(9)];
const PROPOSAL_BYTES: usize = 512;
const PROPOSERS: usize = 16;
const LONG: Duration = Duration::from_secs(20);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Counts entries.
#[derive(Default)]
struct Counter(AppliedState);

impl StateMachine for Counter {
    fn recovered(&self) -> AppliedState {
        self.0.clone()
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        if let Some(last) = batch.last() {
            self.0 = AppliedState { index: last.index, term: last.term };
        }
        Ok(batch.iter().map(|_| Bytes::new()).collect())
    }

    fn durable_index(&self) -> u64 {
        self.0.index
    }

    fn snapshot(&mut self) -> Result<Option<Arc<dyn SnapshotFiles>>, ApplyError> {
        let AppliedState { index, term } = self.0;
        Ok(Some(Arc::new(Words(SnapshotManifest { index, term, data: Bytes::new(), files: Vec::new() }))))
    }

    fn staging(&self) -> Option<Arc<dyn Staging>> {
        Some(Arc::new(NoFiles))
    }

    fn install(&mut self, snapshot: &SnapshotManifest) -> Result<(), ApplyError> {
        self.0 = AppliedState { index: snapshot.index, term: snapshot.term };
        Ok(())
    }
}

struct Node {
    cluster: Cluster,
    groups: Vec<GroupHandle>,
    node: ClusterNode,
}

fn start(dir: &Path, entry: Entry) -> Outcome<Node> {
    let cluster_id = match &entry {
        Entry::Join(addresses) => Some(cluster_of(&addresses[0], None)?),
        _ => None,
    };
    let node = ClusterNode::open(dir, NodeConfig { cluster_id, ..NodeConfig::default() })?;
    let network = NetworkConfig { listen: "127.0.0.1:0".parse()?, advertise: None, tls: None };
    let options =
        ClusterOptions { network, api: "127.0.0.1:1".into(), entry, replace_after: None, voters: 3 };
    let call = |_, _, _| Err("nobody asks".to_owned());
    let cluster = Cluster::start(&node, dir, options, Box::new(call))?;
    let add = |group: &GroupId| cluster.add_group(&node, *group, Box::new(Counter::default()));
    let groups = GROUPS.iter().map(add).collect::<Result<Vec<_>, _>>()?;
    cluster.enter()?;
    Ok(Node { cluster, groups, node })
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| PathBuf::from("target/replicate"), PathBuf::from);
    let seconds: f64 = arguments.next().map_or(Ok(4.0), |text| text.parse())?;
    let rate: f64 = arguments.next().map_or(Ok(500.0), |text| text.parse())?;
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    let time = Duration::from_secs_f64(seconds);
    let first = start(&dir.join("0"), Entry::First)?;
    report("alone", std::slice::from_ref(&first), time, rate)?;
    let join = Entry::Join(vec![first.cluster.address()]);
    let nodes = [first, start(&dir.join("1"), join.clone())?, start(&dir.join("2"), join)?];
    let begun = Instant::now();
    while !nodes.iter().flat_map(|node| &node.groups).all(is_settled) {
        if begun.elapsed() > LONG {
            return Err("not every node votes".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    report("three", &nodes, time, rate)?;
    for (number, node) in nodes.iter().enumerate() {
        report(&format!("at {number}"), std::slice::from_ref(node), time / 2, rate)?;
    }
    for Node { cluster, groups, node } in nodes {
        cluster.stop();
        drop((groups, cluster));
        node.shutdown()?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn is_settled(group: &GroupHandle) -> bool {
    let status = group.status();
    status.members.iter().filter(|member| member.votes).count() == 3
        && !status.is_joint
        && (status.role == Role::Leader || status.leader.is_some())
}

fn report(name: &str, nodes: &[Node], time: Duration, rate: f64) -> Outcome<()> {
    let before = cpu_seconds()?;
    let reads = read(nodes, time)?;
    let between = cpu_seconds()?;
    let writes = write(nodes, time, rate)?;
    let after = cpu_seconds()?;
    let micros = |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    println!(
        "{name}: read point {:>5} us (p50) {:>6} (p99), cpu {:>4.0} us; proposal, {:.0}/s, {:>6} us (p50) {:>7} (p99), cpu {:>5.0} us",
        micros(&reads, 50),
        micros(&reads, 99),
        1e6 * (between - before) / reads.len() as f64,
        writes.len() as f64 / time.as_secs_f64(),
        micros(&writes, 50),
        micros(&writes, 99),
        1e6 * (after - between) / writes.len() as f64,
    );
    Ok(())
}

/// The times of read points of all groups, one after the other, ascending.
fn read(nodes: &[Node], time: Duration) -> Outcome<Vec<Duration>> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    for node in nodes.iter().cycle() {
        let start = Instant::now();
        if start.duration_since(begun) > time {
            break;
        }
        let groups: Vec<&GroupHandle> = node.groups.iter().collect();
        for point in GroupHandle::read_indexes(&groups) {
            point?.wait_timeout(LONG)?;
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// The times of proposals at a pace, ascending; each counts from when it was due.
fn write(nodes: &[Node], time: Duration, rate: f64) -> Outcome<Vec<Duration>> {
    let all = Mutex::new(Vec::new());
    let payload = Bytes::from(vec![7_u8; PROPOSAL_BYTES]);
    let pause = Duration::from_secs_f64(PROPOSERS as f64 / rate);
    let begun = Instant::now();
    let propose = &|number: usize| -> Outcome<()> {
        let node = &nodes[number % nodes.len()];
        let mut due = begun + pause.mul_f64(number as f64 / PROPOSERS as f64);
        let mut times = Vec::new();
        while due < begun + time {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            node.cluster.propose(GROUPS[1], payload.clone(), LONG)?;
            times.push(due.elapsed());
            due += pause;
        }
        all.lock().map_err(|_| "a proposer panicked")?.append(&mut times);
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..PROPOSERS).map(|number| scope.spawn(move || propose(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a proposer panicked")?)
    })?;
    let mut times = all.into_inner()?;
    times.sort_unstable();
    Ok(times)
}

/// User and system time of this process; `USER_HZ` is 100 on Linux.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
