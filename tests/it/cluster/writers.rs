//! Clients that write without pause and remember what they were told is done.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use segue::api::Client;
use segue::types::{Track, TrackId, User, UserId, shard_of_slot, slot_of};

use super::servers::Node;
use super::targets::Targets;
use crate::support::{id, track};

/// Threads that ask one node what it knows.
const READERS: usize = 8;

/// What writers share.
#[derive(Default)]
struct Shared {
    targets: Targets,
    /// Acknowledged: when the write began and who was written.
    done: Mutex<Vec<(Instant, Instant, UserId)>>,
    refused: Mutex<Vec<String>>,
}

/// Writes something by this name.
type WriteOne = fn(&Client, &UserId) -> segue::Result<()>;
/// Whether something of this name is to be written.
type Wanted = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A track of such a name, as unlike others as tracks are.
pub(super) fn track_named(name: &str) -> Track {
    Track { track_id: id(name), recording_id: id(name), ..track(7, 0) }
}

/// Writers at work.
pub(super) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts `count` of them; their listeners' names begin with `name`.
    pub(super) fn start(count: usize, name: &str) -> Self {
        Self::of(count, name, |client, user| client.upsert_users(vec![User::unknown(user.clone())]).map(drop))
    }

    /// The same that write to one of `shards` user shards and to no other.
    pub(super) fn to_shard(count: usize, name: &str, shard: usize, shards: u16) -> Self {
        let wanted = move |name: &str| shard_of_slot(slot_of(name), shards) == shard;
        let send: WriteOne = |client, user| client.upsert_users(vec![User::unknown(user.clone())]).map(drop);
        Self::that(count, name, send, Arc::new(wanted))
    }

    /// Some that write tracks.
    pub(super) fn of_tracks(count: usize, name: &str) -> Self {
        Self::of(count, name, |client, name| client.upsert_tracks(vec![track_named(name.as_str())]).map(drop))
    }

    /// Starts `count` of them that send something of their own, known by the names.
    pub(super) fn of(count: usize, name: &str, send: WriteOne) -> Self {
        Self::that(count, name, send, Arc::new(|_| true))
    }

    fn that(count: usize, name: &str, send: WriteOne, wanted: Wanted) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = |number: usize| {
            let (shared, name, wanted) = (shared.clone(), format!("{name}{number}"), wanted.clone());
            thread::spawn(move || write(&shared, number, &name, send, &wanted))
        };
        let threads = (0..count).map(writer).collect();
        Self { shared, threads }
    }

    /// From now on they write to these nodes, those that run.
    pub(super) fn go_to<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) {
        self.shared.targets.go_to(nodes);
    }

    /// When the first write that began after `moment` was acknowledged.
    pub(super) fn first_after(&self, moment: Instant) -> Option<Instant> {
        let done = self.shared.done.lock();
        let after = done.iter().filter(|(begun, _, _)| *begun >= moment);
        after.map(|(_, acknowledged, _)| *acknowledged).min()
    }

    /// How many writes were acknowledged so far.
    pub(super) fn count(&self) -> usize {
        self.shared.done.lock().len()
    }

    /// Stops them: who was written, and what was said to writes that were not.
    pub(super) fn stop(self) -> (Vec<UserId>, Vec<String>) {
        self.shared.targets.stop();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let users = self.shared.done.lock().iter().map(|(_, _, user)| user.clone()).collect();
        let refused = self.shared.refused.lock().clone();
        (users, refused)
    }
}

fn write(shared: &Shared, number: usize, name: &str, send: WriteOne, wanted: &Wanted) {
    let mut client: Option<(String, Client)> = None;
    for count in (0..).filter(|count| wanted(&format!("{name}-{count}"))) {
        let Some(at) = shared.targets.at(number + count / 16) else { return };
        let begun = Instant::now();
        let known = client.take().filter(|(known, _)| *known == at);
        let connected = known.map_or_else(|| Client::connect(&at).map(|new| (at.clone(), new)), Ok);
        let user: UserId = id(format!("{name}-{count}"));
        let sent = connected.and_then(|(at, connected)| {
            send(&connected, &user)?;
            Ok((at, connected))
        });
        match sent {
            Ok(connected) => {
                shared.done.lock().push((begun, Instant::now(), user));
                client = Some(connected);
            }
            Err(error) => {
                shared.refused.lock().push(error.to_string());
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Every listener is known to every node that runs.
#[track_caller]
pub(super) fn all_are_known(nodes: &[Node], users: &[UserId]) {
    are_known(nodes, users, |client, user| client.user(user).map(drop));
}

/// The same of tracks that writers wrote.
#[track_caller]
pub(super) fn all_tracks_are_known(nodes: &[Node], names: &[UserId]) {
    are_known(nodes, names, |client, name| client.track(&id::<TrackId>(name.as_str())).map(drop));
}

#[track_caller]
fn are_known(nodes: &[Node], names: &[UserId], ask: WriteOne) {
    let running = nodes.iter().filter(|node| node.running.is_some());
    thread::scope(|scope| {
        for node in running {
            // Questions asked at once share a round to the leader.
            for part in names.chunks(names.len().div_ceil(READERS).max(1)) {
                let client = node.client();
                scope.spawn(move || {
                    for name in part {
                        ask(&client, name).unwrap_or_else(|error| panic!("{name} was acknowledged: {error}"));
                    }
                });
            }
        }
    });
}
