//! A network between nodes that tests can cut: each node is reached through a proxy, which finds out who talks to it and
//! holds back what a rule says. Works without privileges.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

/// What a lost segment costs a connection until it is sent again.
const RESEND: Duration = Duration::from_millis(200);
/// How often a direction that is cut looks whether it still is.
const LOOK: Duration = Duration::from_millis(5);

/// What all proxies share.
#[derive(Default)]
pub(super) struct Wires {
    /// Names of nodes by the place of their proxy.
    names: Mutex<Vec<u64>>,
    /// Directions, from one place to another, in which nothing gets through.
    cut: Mutex<BTreeSet<(usize, usize)>>,
    /// Of a thousand pieces, so many are lost and sent again.
    lost_permille: AtomicU32,
    random: AtomicU64,
}

impl Wires {
    pub(super) fn name(&self, names: Vec<u64>) {
        *self.names.lock() = names;
    }

    /// Cuts these directions, and no others.
    pub(super) fn cut(&self, directions: &[(usize, usize)]) {
        *self.cut.lock() = directions.iter().copied().collect();
    }

    pub(super) fn lose(&self, permille: u32) {
        self.lost_permille.store(permille, Ordering::Release);
    }

    fn is_cut(&self, from: Option<usize>, to: Option<usize>) -> bool {
        from.zip(to).is_some_and(|direction| self.cut.lock().contains(&direction))
    }

    /// Who sends: every frame carries the sender's name, `19`, then eight bytes, then `21`.
    fn sender(&self, bytes: &[u8]) -> Option<usize> {
        let names = self.names.lock();
        let is_name = |window: &[u8], name: &u64| {
            window[0] == 0x19 && window[1..9] == name.to_le_bytes() && window[9] == 0x21
        };
        bytes.windows(10).find_map(|window| names.iter().position(|name| is_name(window, name)))
    }

    fn is_lost(&self) -> bool {
        // Weyl's sequence through a multiplication: good enough for a coin.
        let next = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (next ^ (next >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
        mixed % 1000 < u64::from(self.lost_permille.load(Ordering::Acquire))
    }
}

/// Listens for a node and returns where; what comes goes to `target`.
pub(super) fn listen(wires: &Arc<Wires>, place: usize, target: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let wires = wires.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            let from = Arc::new(Mutex::new(None));
            let (client2, server2) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let ends = [(client, server2, true), (server, client2, false)];
            for (source, sink, is_request) in ends {
                let (wires, from) = (wires.clone(), from.clone());
                thread::spawn(move || pump(&wires, (source, sink), &from, place, is_request));
            }
        }
    });
    address
}

/// Carries one direction of a connection until it ends.
fn pump(
    wires: &Wires,
    (mut source, mut sink): (TcpStream, TcpStream),
    from: &Mutex<Option<usize>>,
    place: usize,
    is_request: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes @ 1..) = source.read(&mut buffer) {
        if is_request && from.lock().is_none() {
            *from.lock() = wires.sender(&buffer[..bytes]);
        }
        let other = *from.lock();
        let direction = if is_request { (other, Some(place)) } else { (Some(place), other) };
        let mut held = false;
        while wires.is_cut(direction.0, direction.1) {
            held = true;
            thread::sleep(LOOK);
        }
        // What a cut held back is not delivered late: the connection is as good as dead, and both ends begin anew.
        if held {
            break;
        }
        if wires.is_lost() {
            thread::sleep(RESEND);
        }
        if sink.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    let _ = source.shutdown(Shutdown::Both);
    let _ = sink.shutdown(Shutdown::Both);
}
