//! Three servers, each in a network namespace of its own, on one bridge: packets are really lost, in one direction or by chance,
//! and TCP has to live with it. Needs root, `ip` and `iptables`; says so when it skips.

use std::process::Command;
use std::time::{Duration, Instant};

use segue::api::Client;
use segue::types::User;

use super::history::Clients;
use super::recall::recall_is_whole;
use super::servers::{Node, address, endpoints, leader, load, number, replicas_are_equal, settled, until};
use crate::running::{Running, program};
use crate::support::id;

const NODES: usize = 3;
/// How long three packets of ten are lost.
const LOSSY_MS: u64 = 6_000;

/// Namespaces on a bridge; removed when dropped.
struct Lan {
    /// Of this process only.
    number: u32,
}

impl Lan {
    /// `None`, with the reason in words, where it cannot be had.
    fn new() -> Result<Self, String> {
        let lan = Self { number: std::process::id() % 10_000 };
        lan.build()?;
        Ok(lan)
    }

    fn build(&self) -> Result<(), String> {
        let bridge = self.bridge();
        run(&format!("ip link add {bridge} type bridge"))?;
        run(&format!("ip addr add {}/24 dev {bridge}", self.ip(0)))?;
        run(&format!("ip link set {bridge} up"))?;
        for node in 0..NODES {
            let (name, wire) = (self.namespace(node), format!("sg{}n{node}", self.number));
            run(&format!("ip netns add {name}"))?;
            run(&format!("ip link add {wire} type veth peer name eth0 netns {name}"))?;
            run(&format!("ip link set {wire} master {bridge} up"))?;
            self.inside(node, &format!("ip addr add {}/24 dev eth0", self.ip(node + 1)))?;
            self.inside(node, "ip link set eth0 up")?;
            self.inside(node, "ip link set lo up")?;
            self.inside(node, &format!("iptables -A INPUT {CHANCE} -s {} -j DROP", self.ip(99)))?;
        }
        self.heal();
        Ok(())
    }

    fn bridge(&self) -> String {
        format!("sg{}br", self.number)
    }

    fn namespace(&self, node: usize) -> String {
        format!("segue{}-{node}", self.number)
    }

    /// The test is at 0, nodes from 1 on.
    fn ip(&self, place: usize) -> String {
        format!("10.{}.{}.{}", 100 + self.number / 250, self.number % 250, place + 1)
    }

    fn inside(&self, node: usize, command: &str) -> Result<(), String> {
        run(&format!("ip netns exec {} {command}", self.namespace(node)))
    }

    /// Drops what goes from one node to another; `chance` is all of it when empty.
    fn drop_packets(&self, from: usize, to: usize, chance: &str) {
        let rule = format!("iptables -A INPUT {chance} -s {} -j DROP", self.ip(from + 1));
        self.inside(to, &rule).unwrap();
    }

    fn heal(&self) {
        (0..NODES).for_each(|node| self.inside(node, "iptables -F INPUT").unwrap());
    }

    /// Starts a server in its namespace.
    fn launch(&self, node: usize, dir: &std::path::Path, flags: &[&str]) -> Running {
        let (ip, inner) = (self.ip(node + 1), program());
        let mut command = Command::new("ip");
        for (name, _) in inner.get_envs() {
            command.env_remove(name);
        }
        command.args(["netns", "exec", &self.namespace(node)]).arg(inner.get_program());
        command.args(["serve", "--data", &dir.display().to_string()]);
        command.args(["--listen", &format!("{ip}:0"), "--http", &format!("{ip}:0")]);
        let listen = format!("cluster.listen={ip}:0");
        let settings = ["storage.seal_rows=1000", "storage.disk_reserve_bytes=0", &listen];
        for setting in settings.iter().chain(&["log.format=json", "limits.request_timeout_ms=3000"]) {
            command.args(["--set", setting]);
        }
        command.args(flags);
        Running::of(command)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // What is not there was not made.
        for node in 0..NODES {
            let _ = run(&format!("ip netns del {}", self.namespace(node)));
        }
        let _ = run(&format!("ip link del {}", self.bridge()));
    }
}

/// Three packets of ten.
const CHANCE: &str = "-m statistic --mode random --probability 0.3";

fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output();
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command}: {said}")) }
}

fn start(lan: &Lan) -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..NODES).map(|_| Node::new()).collect();
    load(nodes[0].dir.path());
    nodes[0].running = Some(lan.launch(0, nodes[0].dir.path(), &["--cluster-init"]));
    nodes[0].running().until_ready();
    let seed = address(&nodes[0]);
    for (at, node) in nodes.iter_mut().enumerate().skip(1) {
        node.running = Some(lan.launch(at, node.dir.path(), &["--join", &seed]));
    }
    nodes.iter().for_each(|node| node.running().until_ready());
    settled(&nodes[0].client(), 3);
    recall_is_whole(&nodes[0]);
    nodes
}

/// Writes one after the other for so long: how many were acknowledged, and the longest time without one.
fn write_for(time: Duration, endpoints: &str) -> (usize, Duration) {
    let client = Client::connect(endpoints).unwrap();
    let (begun, mut last, mut writes, mut longest) = (Instant::now(), Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < time {
        if client.upsert_users(vec![User::unknown(id(format!("lossy-{writes}")))]).is_ok() {
            (longest, last, writes) = (longest.max(last.elapsed()), Instant::now(), writes + 1);
        }
    }
    (writes, longest.max(last.elapsed()))
}

#[test]
fn what_clients_see_is_linearizable_while_packets_are_lost() {
    let lan = match Lan::new() {
        Ok(lan) => lan,
        Err(why) => {
            eprintln!("SKIPPED namespaces: needs root, ip and iptables with its statistic match: {why}");
            return;
        }
    };
    let nodes = start(&lan);
    let clients = Clients::start(&endpoints(&nodes), "packets");
    let writes_go_on = |at: usize, name: &str| {
        let row = || vec![User::unknown(id(name))];
        until("writes go on", || nodes[at].client().upsert_users(row()).ok());
    };
    let is_not_stale = |at: usize, name: &str| {
        let read = nodes[at].client().user(&id(name));
        assert!(!read.is_err_and(|error| error.kind() == segue::ErrorKind::NotFound), "a stale read");
    };

    // The leader is not heard, and hears everybody.
    let mute = leader(&nodes, "users-0");
    let others = [(mute + 1) % NODES, (mute + 2) % NODES];
    others.iter().for_each(|other| lan.drop_packets(mute, *other, ""));
    writes_go_on(others[0], "mute");
    is_not_stale(mute, "mute");
    lan.heal();
    until("it is back", || nodes[mute].client().user(&id("mute")).ok());

    // The leader is heard, and hears nobody.
    settled(&nodes[0].client(), 3);
    let deaf = leader(&nodes, "users-0");
    let others = [(deaf + 1) % NODES, (deaf + 2) % NODES];
    others.iter().for_each(|other| lan.drop_packets(*other, deaf, ""));
    writes_go_on(others[0], "deaf");
    is_not_stale(deaf, "deaf");
    lan.heal();
    until("it is back", || nodes[deaf].client().user(&id("deaf")).ok());

    // Three packets of ten are lost, whoever sends them to whom.
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        lan.drop_packets(from, to, CHANCE);
    }
    let lossy = Duration::from_millis(number("SEGUE_CLUSTER_LOSS_MS", LOSSY_MS));
    // A packet that is lost three times in a row comes later than an election time-out: leaders come and go, and few writes or none are
    // acknowledged. Nothing is promised of how soon; what is acknowledged stays true.
    let (writes, longest) = write_for(lossy, &endpoints(&nodes).join(","));
    eprintln!(
        "{writes} writes while three packets of ten were lost for {lossy:?}; one waited for {longest:?}"
    );
    lan.heal();
    writes_go_on(0, "after-loss");
    is_not_stale(2, "after-loss");

    settled(&nodes[0].client(), 3);
    let seen = clients.check();
    assert!(seen.writes > 50 && seen.reads > 50 && seen.rules > 20, "too little was asked: {seen:?}");
    replicas_are_equal(&nodes[0], 3);
}
