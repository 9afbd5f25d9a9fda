//! One node of three loses power: it comes back with its disk as it was at that moment, without what the kernel had not
//! written. Needs root; otherwise it says that it was skipped.

use super::servers::{Node, assemble, leader, node_of, number, replicas_are_equal, settled, until};
use super::writers::{Writers, all_are_known};
use crate::running::run;
use crate::support::loop_disk::{LoopDisk, copy_of_one_moment, image, wait_until_still};

/// Size of the node's disk.
const DISK_MIB: u64 = 512;
/// The node that loses power.
const VICTIM: usize = 2;

#[test]
fn a_node_that_loses_power_comes_back_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (live, copy) = (folder.path().join("live.img"), folder.path().join("copy.img"));
    let mount = |image: &std::path::Path| LoopDisk::mount(image, folder.path(), "disk");
    let Some(disk) = image(&live, DISK_MIB).then(|| mount(&live)).flatten() else {
        eprintln!("SKIPPED power: mounting a file system needs root and mkfs.ext4");
        return;
    };
    let servers = vec![Node::new(), Node::new(), Node::on(&disk.at)];
    let (mut nodes, _) = assemble(servers, &[vec![], vec![], vec![]]);
    let mut disk = Some(disk);
    let endpoint = nodes[0].running().endpoint.clone();
    let name = node_of(&nodes[0].client().cluster_status().unwrap(), &nodes[VICTIM]);
    let writers = Writers::start(3, "cut");
    let cuts = number("SEGUE_CLUSTER_CUTS", 2);
    for cut in 0..cuts {
        // It leads in every other round.
        let group = if cut % 2 == 0 { "users-0" } else { "tracks-0" };
        if cut % 2 == 0 {
            until("it leads", || {
                run(&["cluster", "transfer-leader", group, "--to", &name, "--endpoint", &endpoint]);
                (leader(&nodes, group) == VICTIM).then_some(())
            });
        }
        writers.go_to(&nodes);
        let before = writers.count();
        until("writers are at work", || (writers.count() > before + 20).then_some(()));
        nodes[VICTIM].running().signal("-STOP");
        wait_until_still(nodes[VICTIM].running().pid());
        copy_of_one_moment(&live, &copy);
        writers.go_to(&nodes[..VICTIM]);
        nodes[VICTIM].kill();
        let before = writers.count();
        until("the others go on", || (writers.count() > before + 20).then_some(()));
        // The same folder, on the disk that was cut off.
        drop(disk.take());
        std::fs::rename(&copy, &live).unwrap();
        disk = mount(&live);
        assert!(disk.is_some(), "a cut disk can be mounted");
        nodes[VICTIM].launch(&[]);
        nodes[VICTIM].running().until_ready();
        settled(&nodes[VICTIM].client(), 3);
    }
    let (written, refused) = writers.stop();
    eprintln!("{cuts} cuts: {} writes acknowledged, {} refused", written.len(), refused.len());
    assert!(written.len() as u64 > 40 * cuts, "too few writes went through: {}", written.len());
    all_are_known(&nodes, &written);
    replicas_are_equal(&nodes[VICTIM], 3);
    nodes[VICTIM].kill();
    drop(nodes);
    drop(disk);
}
