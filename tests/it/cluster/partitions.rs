//! Wires between nodes are cut in both directions, in one, or lose segments: what clients see stays linearizable, and
//! replicas are equal afterwards.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use segue::types::User;

use super::history::Clients;
use super::proxy::{Wires, listen};
use super::servers::{Node, endpoints, leader, node_of, replicas_are_equal, settled, several, until};
use crate::support::id;

/// A port that stays free until its server takes it: below those the system gives to whoever asks for any, and given
/// once in this process; processes begin at different places.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1_000).unwrap() * 10;
    let tries = std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    tries.take(10_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Servers that reach each other through proxies, the proxies, and the settings each server was started with.
pub(super) fn with_wires(count: usize) -> (Vec<Node>, Arc<Wires>, Vec<Vec<String>>) {
    let wires = Arc::new(Wires::default());
    let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
    let settings: Vec<Vec<String>> = ports
        .iter()
        .enumerate()
        .map(|(place, port)| {
            vec![
                format!("cluster.listen=127.0.0.1:{port}"),
                format!("cluster.advertise={}", listen(&wires, place, *port)),
                "limits.request_timeout_ms=3000".to_owned(),
            ]
        })
        .collect();
    let (nodes, _) = several(&settings);
    let report = nodes[0].client().cluster_status().unwrap();
    let name = |node: &Node| u64::from_str_radix(&node_of(&report, node), 16).unwrap();
    wires.name(nodes.iter().map(name).collect());
    (nodes, wires, settings)
}

#[test]
fn what_clients_see_is_linearizable_while_wires_are_cut_and_lose_segments() {
    let (nodes, wires, _) = with_wires(3);
    let clients = Clients::start(&endpoints(&nodes), "wires");
    thread::sleep(Duration::from_millis(500));
    let writes_go_on = |at: usize, name: &str| {
        let row = || vec![User::unknown(id(name))];
        until("writes go on", || nodes[at].client().upsert_users(row()).ok());
    };

    // The leader is alone: the others go on without it.
    let alone = leader(&nodes, "users-0");
    let (b, c) = ((alone + 1) % 3, (alone + 2) % 3);
    wires.cut(&[(alone, b), (b, alone), (alone, c), (c, alone)]);
    writes_go_on(b, "cut-both-ways");
    let here = nodes[alone].client().user(&id("cut-both-ways"));
    assert!(here.is_err_and(|error| error.kind() != segue::ErrorKind::NotFound), "a stale read");
    wires.cut(&[]);
    until("it is back", || nodes[alone].client().user(&id("cut-both-ways")).ok());

    // The leader is heard, and hears nobody.
    let deaf = leader(&nodes, "users-0");
    let (b, c) = ((deaf + 1) % 3, (deaf + 2) % 3);
    wires.cut(&[(b, deaf), (c, deaf)]);
    writes_go_on(b, "cut-one-way");
    wires.cut(&[]);
    until("it is back", || nodes[deaf].client().user(&id("cut-one-way")).ok());

    // The leader hears everybody, and is not heard.
    settled(&nodes[0].client(), 3);
    let mute = leader(&nodes, "users-0");
    let (b, c) = ((mute + 1) % 3, (mute + 2) % 3);
    wires.cut(&[(mute, b), (mute, c)]);
    writes_go_on(b, "cut-the-other-way");
    let here = nodes[mute].client().user(&id("cut-the-other-way"));
    assert!(!here.is_err_and(|error| error.kind() == segue::ErrorKind::NotFound), "a stale read");
    wires.cut(&[]);
    until("it is back", || nodes[mute].client().user(&id("cut-the-other-way")).ok());

    // Three of ten segments must be sent again.
    wires.lose(300);
    writes_go_on(0, "lossy");
    thread::sleep(Duration::from_secs(2));
    writes_go_on(1, "lossy-still");
    wires.lose(0);

    settled(&nodes[0].client(), 3);
    let seen = clients.check();
    assert!(seen.writes > 50 && seen.reads > 50 && seen.rules > 20, "too little was asked: {seen:?}");
    replicas_are_equal(&nodes[0], 3);
}
