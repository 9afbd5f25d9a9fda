//! Callers that go on all the time, and what they have seen in the phase that runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segue::api::Client;
use segue::generate::Catalogue;
use segue::pipeline::request::RecommendRequest;
use segue::types::{Action, FeedbackEvent, SplitMix64, Surface, Timestamp, TrackId, UserId};

use crate::figures::percentile;
use crate::servers::Servers;
use crate::{AS_OF, Outcome, SURFACE};

/// Times in milliseconds, and errors that the client library did not hide.
#[derive(Default)]
struct Seen {
    lists: Vec<f64>,
    events: Vec<f64>,
    errors: Vec<String>,
}

struct Shared {
    seen: Mutex<Seen>,
    clients: Vec<Client>,
    /// The client nobody asks any more; as many as there are clients stands for none.
    left_out: AtomicUsize,
    ended: AtomicBool,
    surface: Surface,
    users: Vec<UserId>,
    tracks: Vec<TrackId>,
}

/// Threads that ask the first three servers in turn, as behind a load balancer.
pub struct Callers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Callers {
    /// Starts so many readers, and a writer of so many events a second.
    pub fn start(servers: &Servers, made: &Catalogue, (readers, events): (u64, u64)) -> Outcome<Self> {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            clients: servers.clients.clone(),
            left_out: AtomicUsize::new(usize::MAX),
            ended: AtomicBool::new(false),
            surface: Surface::new(SURFACE)?,
            users: made.users().map(|user| user.user_id).collect(),
            tracks: made.tracks().map(|track| track.track_id).collect(),
        });
        let reader = |number: u64| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.ask(number))
        };
        let mut threads: Vec<_> = (1..=readers).map(reader).collect();
        let writer = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || writer.write(events)));
        Ok(Self { shared, threads })
    }

    /// Forgets what was seen so far.
    pub fn begin(&self) {
        *self.shared.seen() = Seen::default();
    }

    /// A node is about to be removed: a load balancer would know.
    pub fn leave_out(&self, client: usize) {
        self.shared.left_out.store(client, Ordering::Relaxed);
    }

    /// The line of a phase.
    pub fn line(&self, name: &str, took: Duration, under: Duration) -> Outcome<String> {
        let seen = std::mem::take(&mut *self.shared.seen());
        let line = format!(
            "{name:<27} {:>5.1} {:>6} {:>8.2} {:>7.2} {:>7} {:>7.2} {:>7.2} {:>7} {:>17.1} s",
            took.as_secs_f64(),
            seen.lists.len(),
            percentile(&seen.lists, 50),
            percentile(&seen.lists, 99),
            seen.events.len(),
            percentile(&seen.events, 50),
            percentile(&seen.events, 99),
            seen.errors.len(),
            under.as_secs_f64(),
        );
        let first = seen.errors.first().map(|error| format!("\n    the first error: {error}"));
        Ok(format!("{line}{}", first.unwrap_or_default()))
    }

    /// Ends all of them.
    pub fn stop(self) -> Outcome<()> {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a caller panicked".into()))
    }
}

impl Shared {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self, turn: usize) -> &Client {
        let at = turn % self.clients.len();
        let left_out = self.left_out.load(Ordering::Relaxed);
        &self.clients[if at == left_out { (at + 1) % self.clients.len() } else { at }]
    }

    fn note<T>(&self, result: segue::Result<T>, start: Instant, times: fn(&mut Seen) -> &mut Vec<f64>) {
        let took = 1e3 * start.elapsed().as_secs_f64();
        let mut seen = self.seen();
        match result {
            Ok(_) => times(&mut seen).push(took),
            Err(error) => seen.errors.push(error.to_string()),
        }
    }

    fn ask(&self, number: u64) {
        let mut rng = SplitMix64::new(number);
        for turn in number as usize.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let user = self.users[rng.below(self.users.len() as u64) as usize].clone();
            let start = Instant::now();
            let request =
                RecommendRequest { as_of: Some(AS_OF), ..RecommendRequest::new(user, self.surface.clone()) };
            self.note(self.client(turn).recommend(request), start, |seen| &mut seen.lists);
        }
    }

    fn write(&self, a_second: u64) {
        let mut rng = SplitMix64::new(0);
        let pace = Duration::from_secs_f64(1.0 / a_second.max(1) as f64);
        let mut due = Instant::now();
        for turn in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // Late by as much as the writer has fallen behind, which a caller would notice.
            let start = due;
            let event = self.event(&mut rng, turn);
            self.note(self.client(turn).feedback(vec![event]), start, |seen| &mut seen.events);
            due = (due + pace).max(Instant::now() - Duration::from_secs(1));
        }
    }

    fn event(&self, rng: &mut SplitMix64, turn: usize) -> FeedbackEvent {
        FeedbackEvent {
            user_id: self.users[rng.below(self.users.len() as u64) as usize].clone(),
            action: Action::Play,
            track_id: Some(self.tracks[rng.below(self.tracks.len() as u64) as usize].clone()),
            artist_id: None,
            at: Some(Timestamp(AS_OF.0 - 3_600_000 + turn as i64)),
            listened_ms: Some(60_000),
            event_id: None,
            query: None,
            impression: None,
            positions: Vec::new(),
        }
    }
}
