//! Where clients at work send to now, and until when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::servers::Node;

/// Between two looks for a node.
const PAUSE: Duration = Duration::from_millis(5);

/// The nodes that clients send to; none at first.
#[derive(Default)]
pub(super) struct Targets {
    endpoints: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Targets {
    /// From now on it is these nodes, those that run.
    pub(super) fn go_to<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) {
        let running = nodes.into_iter().filter_map(|node| node.running.as_ref());
        *self.endpoints.lock() = running.map(|running| running.endpoint.clone()).collect();
    }

    /// Clients end with what they are about.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// All nodes as a client takes them, first the one whose turn it is, once there is one; `None` when clients are to end.
    pub(super) fn at(&self, turn: usize) -> Option<String> {
        while !self.stop.load(Ordering::Acquire) {
            let mut endpoints = self.endpoints.lock().clone();
            if let Some(turn) = turn.checked_rem(endpoints.len()) {
                endpoints.rotate_left(turn);
                return Some(endpoints.join(","));
            }
            thread::sleep(PAUSE);
        }
        None
    }
}
