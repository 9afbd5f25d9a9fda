//! Clients that write and read registers at all nodes at once, and whether what they saw could have happened one after
//! another. A register is a listener's record, whose value is the name of a genre; or a rule, whose value is whether a listener
//! has blocked an artist, and which is read by asking for a list of that artist's tracks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use segue::api::Client;
use segue::filter::TrackFilter;
use segue::pipeline::request::RecommendRequest;
use segue::types::{Action as Event, ArtistId, Deadline, FeedbackEvent, User, UserId};
use segue::{ErrorKind, Result};

use super::servers::request;
use super::wgl::{Action, Operation, is_linearizable};
use crate::support::id;

/// Registers of each kind; few, so that clients meet.
const RECORDS: u64 = 3;
const RULES: u64 = 2;
/// Pause between two operations of a client: longer histories take the checker longer.
const PAUSE: Duration = Duration::from_millis(15);
/// The same after one that was refused: each write without an answer may have happened at any time, which takes it longer still.
const PAUSE_REFUSED: Duration = Duration::from_millis(200);
/// How long a list is waited for.
const LIST_WAIT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Register {
    Record(u64),
    Rule(u64),
}

/// Clients at work.
pub(super) struct Clients {
    start: Instant,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<(Register, Operation)>>>,
}

/// What clients saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) writes: usize,
    pub(super) reads: usize,
    /// Of the reads, those of rules.
    pub(super) rules: usize,
    /// Writes of which nobody knows the outcome.
    pub(super) unknown: usize,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        self.reads += other.reads;
        self.rules += other.rules;
        self.unknown += other.unknown;
    }
}

impl Clients {
    /// Starts two clients an endpoint, one for each kind of register. Registers begin with `name`, which is used once.
    pub(super) fn start(endpoints: &[String], name: &str) -> Self {
        let (start, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        prepare(&Names(name.to_owned()), &endpoints[0]);
        let values = Arc::new(AtomicU64::new(1));
        let client = |number: usize| {
            let (endpoint, stop, values) = (endpoints[number / 2].clone(), stop.clone(), values.clone());
            let names = Names(name.to_owned());
            thread::spawn(move || run(&names, &endpoint, number as u64, start, &stop, &values))
        };
        let threads = (0..endpoints.len() * 2).map(client).collect();
        Self { start, stop, threads }
    }

    /// Stops them and checks every register.
    #[track_caller]
    pub(super) fn check(self) -> Seen {
        self.stop.store(true, Ordering::Release);
        let all: Vec<_> = self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let mut seen = Seen::default();
        let registers: BTreeSet<Register> = all.iter().map(|(register, _)| *register).collect();
        for register in registers {
            let of = |(it, operation): &(Register, Operation)| (*it == register).then_some(*operation);
            let history: Vec<Operation> = all.iter().filter_map(of).collect();
            let is_write = |operation: &&Operation| matches!(operation.action, Action::Write(_));
            let writes = history.iter().filter(is_write).count();
            seen.writes += writes;
            seen.reads += history.len() - writes;
            seen.rules += if matches!(register, Register::Rule(_)) { history.len() - writes } else { 0 };
            seen.unknown += history.iter().filter(|operation| operation.answered.is_none()).count();
            assert!(is_linearizable(0, &history), "{register:?}: {history:#?}");
        }
        assert!(seen.rules > 0, "no rule was ever read: {seen:?}");
        eprintln!("{seen:?} in {} ms", self.start.elapsed().as_millis());
        seen
    }
}

/// Registers by their names.
struct Names(String);

impl Names {
    fn user(&self, register: Register) -> UserId {
        match register {
            Register::Record(number) => id(format!("{}-register-{number}", self.0)),
            Register::Rule(number) => id(format!("{}-rule-{number}", self.0)),
        }
    }

    /// Whose tracks are asked for.
    fn artist(number: u64) -> ArtistId {
        id(format!("a{}", 5 + number))
    }

    fn write(&self, client: &Client, register: Register, value: u64) -> Result<()> {
        let user = self.user(register);
        match register {
            Register::Record(_) => {
                let row = User { onboarding_genres: vec![format!("v{value}")], ..User::unknown(user) };
                client.upsert_users(vec![row]).map(drop)
            }
            Register::Rule(number) => {
                let action = if value == 1 { Event::BlockArtist } else { Event::UnblockArtist };
                let artist_id = Some(Self::artist(number));
                client
                    .feedback(vec![FeedbackEvent { artist_id, ..FeedbackEvent::new(user, action) }])
                    .map(drop)
            }
        }
    }

    /// The value; `None` when nobody said.
    fn read(&self, client: &Client, register: Register) -> Option<u64> {
        let user = self.user(register);
        match register {
            Register::Record(_) => match client.user(&user) {
                Ok(user) => user.onboarding_genres[0][1..].parse().ok(),
                Err(error) if error.kind() == ErrorKind::NotFound => Some(0),
                Err(_) => None,
            },
            Register::Rule(number) => {
                let filter = TrackFilter { artists: vec![Self::artist(number)], ..TrackFilter::default() };
                let deadline = Deadline::after(LIST_WAIT);
                let list = client.recommend(RecommendRequest { filter, deadline, ..request(&user) }).ok()?;
                // A list that was made without a shard may be empty for that reason.
                let is_whole = list.degraded.iter().all(|words| !words.contains("did not answer"));
                if list.tracks.is_empty() { is_whole.then_some(1) } else { Some(0) }
            }
        }
    }
}

/// Makes the listeners of rules, and shows that a list says whether the rule holds: else every history would be fine.
#[track_caller]
fn prepare(names: &Names, endpoint: &str) {
    let client = Client::connect(endpoint).unwrap();
    for register in (0..RULES).map(Register::Rule) {
        client.upsert_users(vec![User::unknown(names.user(register))]).unwrap();
        assert_eq!(names.read(&client, register), Some(0), "{register:?}");
        for value in [1, 0] {
            names.write(&client, register, value).unwrap();
            assert_eq!(names.read(&client, register), Some(value), "{register:?}");
        }
    }
}

fn run(
    names: &Names,
    endpoint: &str,
    number: u64,
    start: Instant,
    stop: &AtomicBool,
    values: &AtomicU64,
) -> Vec<(Register, Operation)> {
    let client = Client::connect(endpoint).unwrap();
    let now = || start.elapsed().as_nanos() as u64;
    let mut history = Vec::new();
    let mut turn = number / 2;
    while !stop.load(Ordering::Acquire) {
        turn += 1;
        let is_rule = number.is_multiple_of(2);
        let register =
            if is_rule { Register::Rule((turn / 2) % RULES) } else { Register::Record((turn / 2) % RECORDS) };
        let called = now();
        let is_done = if turn.is_multiple_of(2) {
            let value = values.fetch_add(1, Ordering::Relaxed);
            let value = if is_rule { value / 2 % 2 } else { value };
            let sent = names.write(&client, register, value);
            // What was refused may have been done by an earlier try of the client.
            let answered = sent.is_ok().then(now);
            history.push((register, Operation { called, answered, action: Action::Write(value) }));
            answered.is_some()
        } else {
            let value = names.read(&client, register);
            let read = |value| Operation { called, answered: Some(now()), action: Action::Read(value) };
            history.extend(value.map(|value| (register, read(value))));
            value.is_some()
        };
        thread::sleep(if is_done { PAUSE } else { PAUSE_REFUSED });
    }
    history
}
