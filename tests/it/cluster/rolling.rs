//! Nodes are restarted one after another, as an upgrade does it, while clients read and write at all of them. A client that
//! asks another node when one is not there sees no error.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use segue::ErrorKind;
use segue::api::Client;
use segue::types::{User, UserId};

use super::history::{Clients, Seen};
use super::placed::{command, names, placed, start};
use super::servers::{endpoints, request, same_everywhere, until};
use super::writers::all_are_known;
use crate::support::id;

/// How long a client tries.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one client did.
#[derive(Default)]
pub(super) struct Did {
    pub(super) written: Vec<UserId>,
    pub(super) lists: usize,
    /// Tries that another one made up for.
    pub(super) tries: usize,
    pub(super) slowest: Duration,
    pub(super) failed: Vec<String>,
}

/// A client that goes to another node when one does not answer.
pub(super) struct Patient {
    endpoints: Arc<Mutex<Vec<String>>>,
    clients: HashMap<String, Client>,
    at: usize,
    pub(super) did: Did,
}

impl Patient {
    /// One that begins with the node at this place.
    pub(super) fn new(endpoints: Arc<Mutex<Vec<String>>>, at: usize) -> Self {
        Self { endpoints, clients: HashMap::new(), at, did: Did::default() }
    }

    /// From now on the next node is asked first.
    pub(super) fn move_on(&mut self) {
        self.at += 1;
    }

    pub(super) fn ask<T>(&mut self, what: impl Fn(&Client) -> segue::Result<T>) -> Option<T> {
        let begun = Instant::now();
        loop {
            let endpoint = {
                let endpoints = self.endpoints.lock();
                endpoints[self.at % endpoints.len()].clone()
            };
            let known = self.clients.remove(&endpoint);
            let outcome = known.map_or_else(|| Client::connect(&endpoint), Ok).and_then(|client| {
                let answer = what(&client)?;
                self.clients.insert(endpoint, client);
                Ok(answer)
            });
            let error = match outcome {
                Ok(answer) => {
                    self.did.slowest = self.did.slowest.max(begun.elapsed());
                    return Some(answer);
                }
                Err(error) => error,
            };
            let may =
                matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Exhausted | ErrorKind::Timeout);
            if !may || begun.elapsed() > PATIENCE {
                self.did.failed.push(error.to_string());
                return None;
            }
            self.at += 1;
            self.did.tries += 1;
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn run(mut self, number: usize, users: &[UserId], stop: &AtomicBool) -> Did {
        for count in 0.. {
            if stop.load(Ordering::Acquire) {
                break;
            }
            if count % 16 == 0 {
                self.move_on();
            }
            if count % 2 == 0 {
                let user: UserId = id(format!("rolling{number}-{count}"));
                if self.ask(|client| client.upsert_users(vec![User::unknown(user.clone())])).is_some() {
                    self.did.written.push(user);
                }
            } else {
                let user = &users[(number * 7 + count) % users.len()];
                let list = self.ask(|client| client.recommend(request(user)));
                self.did.lists += usize::from(list.is_some());
            }
        }
        self.did
    }
}

#[test]
fn nodes_are_restarted_one_after_another_and_a_client_that_tries_again_sees_no_error() {
    let (mut nodes, world, _) = start(4, &[]);
    command(&nodes[0], &["rebalance"]);
    placed(&nodes[0].client());
    let names = names(&nodes[0].client().cluster_status().unwrap(), &nodes);
    let (known, stop) = (Arc::new(Mutex::new(endpoints(&nodes))), Arc::new(AtomicBool::new(false)));
    let users: Arc<[UserId]> = world.users.iter().map(|user| user.user_id.clone()).collect();
    let client = |number: usize| {
        let patient = Patient::new(known.clone(), number);
        let (users, stop) = (users.clone(), stop.clone());
        thread::spawn(move || patient.run(number, &users, &stop))
    };
    let clients: Vec<JoinHandle<Did>> = (0..4).map(client).collect();
    let mut seen = Seen::default();
    for at in 0..4 {
        let other = (at + 1) % 4;
        let registers = Clients::start(&endpoints(&nodes), &format!("rolling{at}"));
        command(&nodes[other], &["drain", &names[at]]);
        until("it leads nothing", || {
            let report = nodes[other].client().cluster_status().ok()?;
            (!report.replicas.iter().any(|it| it.node == names[at] && it.role == "leader")).then_some(())
        });
        let running = nodes[at].running.take().unwrap();
        // Clients still know it: some are turned away in the middle.
        running.terminate();
        assert!(running.wait().0.success());
        nodes[at].launch(&[]);
        nodes[at].running().until_ready();
        *known.lock() = endpoints(&nodes);
        command(&nodes[other], &["resume", &names[at]]);
        placed(&nodes[at].client());
        seen.add(&registers.check());
    }
    stop.store(true, Ordering::Release);
    let all: Vec<Did> = clients.into_iter().map(|thread| thread.join().unwrap()).collect();
    let written: Vec<UserId> = all.iter().flat_map(|did| did.written.clone()).collect();
    let lists: usize = all.iter().map(|did| did.lists).sum();
    let tries: usize = all.iter().map(|did| did.tries).sum();
    let slowest = all.iter().map(|did| did.slowest).max().unwrap_or_default();
    let failed: Vec<&String> = all.iter().flat_map(|did| &did.failed).collect();
    eprintln!(
        "4 restarts: {} writes, {lists} lists, {tries} tried again, the slowest took {} ms",
        written.len(),
        slowest.as_millis()
    );
    assert_eq!(failed, Vec::<&String>::new());
    assert!(written.len() > 40 && lists > 40, "{} writes, {lists} lists", written.len());
    assert!(seen.writes > 40 && seen.rules > 10, "too little was asked: {seen:?}");
    all_are_known(&nodes, &written);
    same_everywhere(&nodes[0]);
}
