//! Disks of members: one that is full, and one on which a byte has flipped.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::history::Clients;
use super::servers::{
    Node, address, assemble, endpoints, leader, node_of, replicas_are_equal, settled, three, until,
};
use super::writers::{Writers, all_are_known};
use crate::running::{run, serve};

/// The small disk, and what a member keeps free of it.
const DISK_MIB: usize = 192;
const RESERVE_MIB: usize = 32;

/// A mounted tmpfs; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_MIB}m");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path());
        command.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Writes until there is no room but for `left_mib`.
fn fill(disk: &Path, left_mib: usize) -> PathBuf {
    let path = disk.join("ballast");
    let mut file = File::create(&path).unwrap();
    let piece = vec![7; 1 << 20];
    while file.write_all(&piece).is_ok() {}
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes.saturating_sub((left_mib as u64) << 20)).unwrap();
    path
}

#[test]
fn a_leader_whose_disk_is_full_hands_over_and_catches_up_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED disks: mounting a small file system needs root");
        return;
    };
    let reserve = format!("storage.disk_reserve_bytes={}", RESERVE_MIB << 20);
    let (nodes, _) =
        assemble(vec![Node::new(), Node::new(), Node::on(disk.0.path())], &[vec![], vec![], vec![reserve]]);
    let endpoint = nodes[0].running().endpoint.clone();
    let small = node_of(&nodes[0].client().cluster_status().unwrap(), &nodes[2]);
    let leads_here = || leader(&nodes, "users-0") == 2;
    until("it leads", || {
        let asked = run(&["cluster", "transfer-leader", "users-0", "--to", &small, "--endpoint", &endpoint]);
        (asked.status.success() && leads_here()).then_some(())
    });
    let clients = Clients::start(&endpoints(&nodes), "full");
    let writers = Writers::start(2, "full");
    writers.go_to(&nodes[..2]);
    until("writers are at work", || (writers.count() > 10).then_some(()));
    // Less than its reserve is left: it takes no more proposals, and another must lead.
    let ballast = fill(disk.0.path(), RESERVE_MIB / 2);
    until("it leads no more", || (!leads_here()).then_some(()));
    let handed_over = Instant::now();
    until("writes go on", || writers.first_after(handed_over));
    // Nothing at all is left: it cannot even follow, and nobody waits for it.
    drop(fs::remove_file(&ballast));
    let ballast = fill(disk.0.path(), 0);
    let before = writers.count();
    until("writes go on without it", || (writers.count() > before + 50).then_some(()));
    fs::remove_file(&ballast).unwrap();
    settled(&nodes[2].client(), 3);
    let (written, refused) = writers.stop();
    eprintln!("{} writes acknowledged, {} refused", written.len(), refused.len());
    let seen = clients.check();
    assert!(seen.writes > 20 && seen.reads > 20 && seen.rules > 10, "too little was asked: {seen:?}");
    settled(&nodes[2].client(), 3);
    all_are_known(&nodes, &written);
    replicas_are_equal(&nodes[2], 3);
}

/// The largest file of a member's sealed segments.
fn segment_file(dir: &Path) -> PathBuf {
    let mut folders = vec![dir.join("tracks-0")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if !entry.file_name().to_string_lossy().starts_with("MANIFEST") {
                files.push((entry.metadata().unwrap().len(), entry.path()));
            }
        }
    }
    files.into_iter().max().expect("there is a segment").1
}

fn flip(path: &Path) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
}

#[test]
fn a_flipped_byte_in_a_members_segment_is_refused_by_name_and_the_node_replaced() {
    let (mut nodes, world) = three();
    let damaged = node_of(&nodes[0].client().cluster_status().unwrap(), &nodes[2]);
    nodes[2].kill();
    let path = segment_file(nodes[2].dir.path());
    flip(&path);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    // The check of a directory names the file, and so does the start, which serves nothing of it.
    let dir = nodes[2].dir.path().display().to_string();
    let checked = run(&["verify", &dir]);
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &*String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success() && said.contains(&name), "{said}");
    let mut command = serve(nodes[2].dir.path(), &["cluster.listen=127.0.0.1:0"], &[]);
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains(&name), "{said}");
    // The others serve meanwhile, and a new node with an empty directory takes its place.
    let listener = &world.users[0].user_id;
    assert_eq!(nodes[1].client().user(listener).unwrap().user_id, *listener);
    nodes[2] = Node::new();
    let seed = address(&nodes[0]);
    nodes[2].launch(&["--join", &seed]);
    nodes[2].running().until_ready();
    let endpoint = nodes[0].running().endpoint.clone();
    assert!(run(&["cluster", "remove-node", &damaged, "--endpoint", &endpoint]).status.success());
    settled(&nodes[2].client(), 3);
    replicas_are_equal(&nodes[2], 3);
}
