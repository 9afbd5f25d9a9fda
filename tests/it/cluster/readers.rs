//! Clients that ask for lists again and again, each within a deadline, and remember how long they waited. No list may show an
//! artist whose block was acknowledged before it was asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use segue::ErrorKind;
use segue::api::Client;
use segue::pipeline::request::RecommendRequest;
use segue::types::{ArtistId, Deadline, TrackId, UserId};

use super::servers::{Node, request, tracks};
use super::targets::Targets;
use crate::support::World;

/// Until when a list is waited for.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// Between two lists of one reader.
const PAUSE: Duration = Duration::from_millis(20);

/// One list: whether it came, or why not.
struct Asked {
    reader: usize,
    begun: Instant,
    took: Duration,
    refused: Option<(ErrorKind, String)>,
}

#[derive(Default)]
struct Shared {
    targets: Targets,
    asked: Mutex<Vec<Asked>>,
    /// Acknowledged.
    blocks: Mutex<HashMap<UserId, Vec<ArtistId>>>,
    /// Lists that broke a rule.
    wrong: Mutex<Vec<String>>,
    artists: HashMap<TrackId, Vec<ArtistId>>,
    users: Vec<UserId>,
}

/// Readers at work.
pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What readers were told.
pub(super) struct Read {
    pub(super) lists: usize,
    /// The longest wait, for a list or an error.
    pub(super) slowest: Duration,
    pub(super) refused: Vec<(ErrorKind, String)>,
    /// Lists that broke a rule.
    pub(super) wrong: Vec<String>,
}

impl Readers {
    pub(super) fn start(count: usize, world: &World) -> Self {
        let artists =
            |track: &segue::types::Track| track.artists.iter().map(|artist| artist.id.clone()).collect();
        let shared = Arc::new(Shared {
            artists: world.tracks.iter().map(|track| (track.track_id.clone(), artists(track))).collect(),
            users: world.users.iter().map(|user| user.user_id.clone()).collect(),
            ..Shared::default()
        });
        let reader = |number: usize| {
            let shared = shared.clone();
            thread::spawn(move || read(&shared, number))
        };
        let threads = (0..count).map(reader).collect();
        Self { shared, threads }
    }

    /// From now on they ask these nodes, those that run.
    pub(super) fn go_to<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) {
        self.shared.targets.go_to(nodes);
    }

    /// From now on no list of the listener may show the artist.
    pub(super) fn blocked(&self, listener: &UserId, artist: &ArtistId) {
        self.shared.blocks.lock().entry(listener.clone()).or_default().push(artist.clone());
    }

    /// How long after `moment` the last of them had a list that was asked for since; `None` while one waits for it.
    pub(super) fn all_after(&self, moment: Instant) -> Option<Duration> {
        let asked = self.shared.asked.lock();
        let first = |reader: usize| {
            let of = asked.iter().filter(|it| it.reader == reader && it.begun >= moment);
            of.filter(|it| it.refused.is_none()).map(|it| it.begun + it.took - moment).min()
        };
        let all: Option<Vec<Duration>> = (0..self.threads.len()).map(first).collect();
        all.and_then(|all| all.into_iter().max())
    }

    pub(super) fn stop(self) -> Read {
        self.shared.targets.stop();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let asked = self.shared.asked.lock();
        let refused: Vec<_> = asked.iter().filter_map(|it| it.refused.clone()).collect();
        Read {
            lists: asked.len() - refused.len(),
            slowest: asked.iter().map(|it| it.took).max().unwrap_or_default(),
            refused,
            wrong: self.shared.wrong.lock().clone(),
        }
    }
}

fn read(shared: &Shared, number: usize) {
    let mut clients: HashMap<String, Client> = HashMap::new();
    let mut node = number;
    for count in 0.. {
        let Some(at) = shared.targets.at(node) else { return };
        let listener = &shared.users[(number * 7 + count) % shared.users.len()];
        let blocks = shared.blocks.lock().get(listener).cloned().unwrap_or_default();
        let begun = Instant::now();
        let known = clients.remove(&at);
        let asked = RecommendRequest { deadline: Deadline::after(DEADLINE), ..request(listener) };
        let outcome = known.map_or_else(|| Client::connect(&at), Ok).and_then(|client| {
            let list = client.recommend(asked)?;
            clients.insert(at.clone(), client);
            Ok(list)
        });
        let took = begun.elapsed();
        let refused = match outcome {
            Ok(list) => {
                let of = |track: &TrackId| shared.artists.get(track).into_iter().flatten();
                let is_blocked = |track: &TrackId| of(track).any(|artist| blocks.contains(artist));
                if let Some(track) = tracks(&list).iter().find(|track| is_blocked(track)) {
                    shared.wrong.lock().push(format!("{listener} was shown {track} by {at}"));
                }
                None
            }
            Err(error) => {
                // Another node may know better.
                node += 1;
                Some((error.kind(), error.to_string()))
            }
        };
        shared.asked.lock().push(Asked { reader: number, begun, took, refused });
        thread::sleep(PAUSE);
    }
}
