//! The plain connections of Raft's messages: that they are used, that a node which knows none is spoken to over gRPC, and
//! what is left when they break all the time.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use segue_cluster::Entry;

use crate::machine::LONG;
use crate::three::{Running, dirs, three, until};

#[test]
fn messages_and_proposals_go_over_plain_connections() {
    let dirs = dirs();
    let nodes = three(&dirs);
    let plain = |node: &Running| node.node.metrics().plain_messages_received > 0;
    until("every node hears another over one", || nodes.iter().all(plain));
    let leader = nodes.iter().position(Running::leads).unwrap();
    let forwarded = || nodes[leader].node.metrics().forwarded_proposals;
    let begun = Instant::now();
    let mut number = 0;
    while forwarded() < 10 {
        nodes[(leader + 1) % 3].write(&format!("forwarded {number}"));
        number += 1;
        assert!(begun.elapsed() < LONG, "proposals take another way");
    }
    until("all have all", || nodes.iter().all(|node| node.lines() == nodes[leader].lines()));
}

/// What stands before a node's cluster port.
#[derive(Default)]
struct Door {
    target: AtomicU16,
    /// Plain connections end at once, as at a node that knows none.
    refuses_plain: AtomicBool,
    plain: Mutex<Vec<TcpStream>>,
}

impl Door {
    /// Opens one; its address, too.
    fn open(refuses_plain: bool) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let door = Arc::new(Self { refuses_plain: refuses_plain.into(), ..Self::default() });
        let of_thread = door.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let door = of_thread.clone();
                thread::spawn(move || door.pass(client));
            }
        });
        (door, address)
    }

    fn pass(&self, client: TcpStream) {
        let mut first = [0];
        let is_plain = client.peek(&mut first).is_ok_and(|bytes| bytes == 1) && first[0] == b'S';
        if is_plain && self.refuses_plain.load(Ordering::Acquire) {
            return;
        }
        let port = self.target.load(Ordering::Acquire);
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
        if is_plain {
            self.plain.lock().unwrap().push(client.try_clone().unwrap());
        }
        let (client2, server2) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || pump(server, client2));
        pump(client, server2);
    }

    /// Breaks all plain connections there are.
    fn slam(&self) -> usize {
        let broken = std::mem::take(&mut *self.plain.lock().unwrap());
        for stream in &broken {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
        broken.len()
    }
}

fn pump(mut source: TcpStream, mut sink: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = source.read(&mut buffer) {
        if sink.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    let _ = (source.shutdown(Shutdown::Both), sink.shutdown(Shutdown::Both));
}

fn behind_doors(dirs: &[tempfile::TempDir; 3], refuses_plain: bool) -> Vec<(Running, Arc<Door>)> {
    let mut nodes: Vec<(Running, Arc<Door>)> = Vec::new();
    for dir in dirs {
        let (door, address) = Door::open(refuses_plain);
        let entry = match nodes.first() {
            None => Entry::First,
            Some((first, _)) => Entry::Join(vec![first.cluster.address()]),
        };
        // The node's own port is not known before it listens; nobody asks it before it enters.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        door.target.store(port, Ordering::Release);
        let dir: &Path = dir.path();
        let node = Running::start_behind(dir, entry, port, Some(address));
        if nodes.is_empty() {
            node.write("first");
        }
        nodes.push((node, door));
    }
    until("all vote", || nodes.iter().all(|(node, _)| node.voters().len() == 3));
    nodes
}

#[test]
fn nodes_that_know_no_plain_connections_are_spoken_to_over_grpc() {
    let dirs = dirs();
    let nodes = behind_doors(&dirs, true);
    for (number, (node, _)) in nodes.iter().enumerate() {
        node.write(&format!("from {number}"));
    }
    let all = |node: &Running| node.lines().into_iter().collect::<BTreeSet<_>>().len() == 4;
    until("all have all", || nodes.iter().all(|(node, _)| all(node)));
    for (node, _) in &nodes {
        let metrics = node.node.metrics();
        assert_eq!((metrics.plain_messages_received, metrics.forwarded_proposals), (0, 0));
        assert!(metrics.messages_received > 0);
    }
}

#[test]
fn connections_that_break_all_the_time_lose_nothing_that_was_acknowledged() {
    let dirs = dirs();
    let nodes = behind_doors(&dirs, false);
    let over = AtomicBool::new(false);
    let mut broken = 0;
    thread::scope(|scope| {
        let writers: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(number, (node, _))| {
                scope.spawn(move || (0..100).for_each(|line| node.write(&format!("{number}: {line}"))))
            })
            .collect();
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                for (_, door) in &nodes {
                    broken += door.slam();
                    thread::sleep(Duration::from_millis(30));
                }
            }
        });
        let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        over.store(true, Ordering::Release);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    });
    assert!(broken > 3, "{broken} connections were broken");
    let expected: BTreeSet<String> = (0..3)
        .flat_map(|number| (0..100).map(move |line| format!("{number}: {line}")))
        .chain(["first".to_owned()])
        .collect();
    let all = |node: &Running| node.lines().into_iter().collect::<BTreeSet<_>>() == expected;
    until("all have all", || nodes.iter().all(|(node, _)| all(node)));
    // Healed, they are used again.
    let plain = || nodes.iter().map(|(node, _)| node.node.metrics().plain_messages_received).sum::<u64>();
    let before = plain();
    until("they are used again", || plain() > before);
}
