//! Clients that write and read registers at all nodes at once, and whether what they saw could have happened one after
//! another. A register is a listener; its value is the name of a genre.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use segue::ErrorKind;
use segue::api::Client;
use segue::types::User;

use super::wgl::{Action, Operation, is_linearizable};
use crate::support::id;

/// Registers; few, so that clients meet.
const REGISTERS: u64 = 3;
/// Pause between two operations of a client: longer histories take the checker longer.
const PAUSE: Duration = Duration::from_millis(15);

/// Clients at work.
pub(super) struct Clients {
    start: Instant,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<(u64, Operation)>>>,
}

/// What clients saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) writes: usize,
    pub(super) reads: usize,
    /// Writes of which nobody knows the outcome.
    pub(super) unknown: usize,
}

impl Clients {
    /// Starts one client an endpoint.
    pub(super) fn start(endpoints: &[String]) -> Self {
        let (start, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let values = Arc::new(AtomicU64::new(1));
        let client = |(number, endpoint): (usize, &String)| {
            let (endpoint, stop, values) = (endpoint.clone(), stop.clone(), values.clone());
            thread::spawn(move || run(&endpoint, number as u64, start, &stop, &values))
        };
        let threads = endpoints.iter().enumerate().map(client).collect();
        Self { start, stop, threads }
    }

    /// Stops them and checks every register.
    #[track_caller]
    pub(super) fn check(self) -> Seen {
        self.stop.store(true, Ordering::Release);
        let all: Vec<_> = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let mut seen = Seen::default();
        for register in 0..REGISTERS {
            let of = |(it, operation): &(u64, Operation)| (*it == register).then_some(*operation);
            let history: Vec<Operation> = all.iter().filter_map(of).collect();
            let is_write = |operation: &&Operation| matches!(operation.action, Action::Write(_));
            let writes = history.iter().filter(is_write).count();
            seen.writes += writes;
            seen.reads += history.len() - writes;
            seen.unknown += history.iter().filter(|operation| operation.answered.is_none()).count();
            assert!(is_linearizable(0, &history), "register {register}: {history:#?}");
        }
        eprintln!("{seen:?} in {} ms", self.start.elapsed().as_millis());
        seen
    }
}

fn run(
    endpoint: &str,
    number: u64,
    start: Instant,
    stop: &AtomicBool,
    values: &AtomicU64,
) -> Vec<(u64, Operation)> {
    let client = Client::connect(endpoint).unwrap();
    let now = || start.elapsed().as_nanos() as u64;
    let mut history = Vec::new();
    let mut turn = number;
    while !stop.load(Ordering::Acquire) {
        turn += 1;
        let register = (turn / 2) % REGISTERS;
        let user = id(format!("register-{register}"));
        let called = now();
        if turn.is_multiple_of(2) {
            let value = values.fetch_add(1, Ordering::Relaxed);
            let row = User { onboarding_genres: vec![format!("v{value}")], ..User::unknown(user) };
            let sent = client.upsert_users(vec![row]);
            // What was refused may have been done by an earlier try of the client.
            let answered = sent.is_ok().then(now);
            history.push((register, Operation { called, answered, action: Action::Write(value) }));
        } else {
            let value = match client.user(&user) {
                Ok(user) => user.onboarding_genres[0][1..].parse().ok(),
                Err(error) if error.kind() == ErrorKind::NotFound => Some(0),
                Err(_) => None,
            };
            if let Some(value) = value {
                history.push((
                    register,
                    Operation { called, answered: Some(now()), action: Action::Read(value) },
                ));
            }
        }
        thread::sleep(PAUSE);
    }
    history
}
