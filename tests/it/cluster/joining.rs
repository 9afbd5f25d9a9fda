//! A node that dies on its way into the cluster, at any moment, comes in at its next start.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use segue::types::User;

use super::servers::{Node, address, number, replicas_are_equal, settled, several};
use crate::running::serve;
use crate::support::id;

#[test]
fn a_joiner_that_dies_on_the_way_in_comes_in_at_its_next_start() {
    let (mut nodes, _) = several(&[vec![], vec![], vec![]]);
    let seed = address(&nodes[1]);
    let mut joiner = Node::new();
    // It enters the map with some of its groups, learns how many listeners' groups there are, and adds those: the later the
    // kill, the further it was.
    let kills = number("SEGUE_CLUSTER_JOIN_KILLS", 8);
    let mut half_way = 0;
    for kill in 0..kills {
        let settings = ["storage.seal_rows=1000", "cluster.listen=127.0.0.1:0"];
        let mut command = serve(joiner.dir.path(), &settings, &["--join", &seed]);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(40 + 60 * kill));
        process.kill().unwrap();
        process.wait().unwrap();
        let report = nodes[0].client().cluster_status().unwrap();
        let own: Vec<_> = report.nodes.iter().skip(3).collect();
        assert!(own.len() <= 1, "it is one node, however often it starts: {report:?}");
        let groups = own
            .first()
            .map_or(0, |own| report.replicas.iter().filter(|replica| replica.node == own.node).count());
        half_way += usize::from(groups > 0 && groups < 5);
    }
    joiner.launch(&["--join", &seed]);
    joiner.running().until_ready();
    settled(&joiner.client(), 3);
    let user = id("after-all-that");
    joiner.client().upsert_users(vec![User::unknown(user)]).unwrap();
    eprintln!("{kills} kills on the way in, {half_way} of them with some groups in the map and some not");
    nodes.push(joiner);
    replicas_are_equal(&nodes[3], 4);
}
