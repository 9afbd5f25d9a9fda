//! An experiment in a cluster: every node gives a listener the same arm and the same list, and the counts of all are added up.

use segue::pipeline::experiment::{Arm, ArmReport, Experiment};
use segue::types::Surface;

use super::servers::{Node, request, settled, three};
use crate::support::id;

#[test]
fn every_node_gives_a_listener_the_same_arm_and_list() {
    let (mut nodes, world) = three();
    let arm = |name: &str, recipe: &str| Arm { name: name.to_owned(), recipe: recipe.to_owned(), weight: 1 };
    let experiment = Experiment {
        surface: id::<Surface>("discover_weekly"),
        name: "arc".to_owned(),
        version: 0,
        salt: None,
        arms: vec![arm("now", "discover_weekly@1"), arm("new", "daily_mix@1")],
        shadow: None,
    };
    let put = nodes[0].client().put_experiment(experiment).unwrap();
    settled(&nodes[1].client(), 3);
    let ask = |node: &Node| -> Vec<String> {
        let client = node.client();
        let list = |user: &segue::types::User| {
            let mut list = client.recommend(request(&user.user_id)).unwrap();
            // An election moves it.
            list.applied.clear();
            assert_eq!(list.experiment.as_ref().unwrap().arm, put.arm_of(&user.user_id).unwrap().name);
            serde_json::to_string(&list).unwrap()
        };
        world.users.iter().take(30).map(list).collect()
    };
    // Asked of a follower at once: a read sees what was acknowledged.
    let lists = ask(&nodes[2]);
    assert!(ask(&nodes[0]) == lists && ask(&nodes[1]) == lists, "every node says the same");
    let counts = |node: &Node| {
        let report = node.client().experiment_report(&put.surface).unwrap();
        let sum = |of: fn(&ArmReport) -> u64| report.arms.iter().map(of).sum::<u64>();
        (sum(|arm| arm.requests), sum(|arm| arm.listeners), report.missing_nodes.len())
    };
    assert_eq!(counts(&nodes[1]), (90, 30, 0), "lists of all nodes, each listener once");
    nodes[2].kill();
    assert_eq!(counts(&nodes[1]), (60, 30, 1), "a node that is gone is named");
    nodes[2].launch(&[]);
    nodes[2].running().until_ready();
    assert!(ask(&nodes[2]) == lists, "and after a restart");
    assert_eq!(nodes[1].client().stop_experiment(&put.surface).unwrap().version, 1);
    let after = nodes[2].client().recommend(request(&world.users[0].user_id)).unwrap();
    assert_eq!(after.experiment, None);
}
