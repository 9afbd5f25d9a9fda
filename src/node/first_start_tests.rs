//! The first start of a cluster's first node, cut short after each of its steps: the next start finishes it.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use segue_cluster::{
    Cluster, ClusterNode, ClusterOptions, Entry, GroupHandle, GroupId, NetworkConfig, NodeConfig,
    StateMachine, StoreId,
};

use super::engine::Segue;
use super::open::META;
use super::peers::{Membership, Ports};
use super::replica::MetaReplica;
use crate::config::Settings;
use crate::storage::meta::{MetaCommand, MetaStore};
use crate::types::{User, UserId};

const LONG: Duration = Duration::from_secs(20);

fn ports() -> Ports {
    Ports {
        cluster: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        api: "127.0.0.1:1".to_owned(),
        tls: None,
        replace_after: None,
        voters: 3,
    }
}

/// The first steps of a start with `--cluster-init`: the map's group; the meta group; the number of user shards.
fn first_steps(dir: &Path, steps: u32) {
    let node = ClusterNode::open(dir, NodeConfig::default()).unwrap();
    let network = NetworkConfig { listen: ports().cluster, advertise: None, tls: None };
    let options =
        ClusterOptions { network, api: ports().api, entry: Entry::First, replace_after: None, voters: 3 };
    let nobody = |_: StoreId, _: u32, _: Bytes| Err("no calls here".to_owned());
    let cluster = Cluster::start(&node, dir, options, Box::new(nobody)).unwrap();
    let add = |group: u64, machine: Box<dyn StateMachine>| -> GroupHandle {
        cluster.add_group(&node, GroupId(group), machine).unwrap()
    };
    if steps >= 2 {
        let opened = MetaStore::open(&dir.join("meta")).unwrap();
        let meta = add(META, Box::new(MetaReplica::new(opened.store, opened.applied)));
        if steps >= 3 {
            let command = MetaCommand::SetUserShards { count: 3 }.encode().unwrap();
            meta.propose(command).unwrap().wait_timeout(LONG).unwrap();
        }
    }
    cluster.stop();
    node.shutdown().unwrap();
}

#[test]
fn a_first_start_that_is_cut_short_is_finished_by_the_next_with_or_without_the_flag() {
    for steps in 1..=3 {
        for membership in [Membership::Kept(ports()), Membership::First(ports())] {
            let dir = tempfile::tempdir().unwrap();
            first_steps(dir.path(), steps);
            let (ready, outcome) = mpsc::channel();
            let path = dir.path().to_owned();
            // On a thread: what waits for nodes that do not exist would wait for ever.
            thread::spawn(move || {
                let mut settings = Settings::default();
                settings.storage.disk_reserve_bytes = 0;
                ready.send(Segue::open_as(&path, settings, membership).map(|(segue, _)| segue))
            });
            let segue = outcome.recv_timeout(LONG).expect("it does not open").unwrap();
            segue.upsert_users(vec![User::unknown(UserId::new("u").unwrap())]).unwrap();
            assert_eq!(segue.cluster_status().unwrap().nodes.len(), 1);
            let user_groups = (0..).take_while(|n| dir.path().join(format!("users-{n}")).exists()).count();
            assert_eq!(user_groups, if steps == 3 { 3 } else { 1 }, "after {steps} steps");
        }
    }
}
