//! Who is asked when, told event by event.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use segue_cluster::{RaceEvent, RaceStep, StoreId};

use super::holders::Said;
use super::pace::{Kind, Pace};
use super::race::{Ended, Race};
use crate::error::{Error, Result};

/// What a holder says, after how many milliseconds; `None`: never.
type Says = (u64, Option<Result<Option<Vec<u8>>>>);

/// Holders that are told when they answer, and a clock that jumps from event to event.
struct Simulation {
    holders: Vec<Says>,
    timeout_ms: u64,
}

/// What became of it: when, who was asked when, and what each was told is left.
struct Outcome {
    ended: Ended,
    ms: u64,
    asked: Vec<(u64, u64, u64)>,
}

fn answer(after_ms: u64) -> Says {
    (after_ms, Some(Ok(Some(vec![7]))))
}

const HANGS: Says = (0, None);

impl Simulation {
    fn run(self, pace: &Pace) -> Outcome {
        let start = Instant::now();
        let ms = |at: Instant| u64::try_from(at.duration_since(start).as_millis()).unwrap();
        let request = |left: Duration| {
            Ok(Bytes::copy_from_slice(&u64::try_from(left.as_millis()).unwrap().to_le_bytes()))
        };
        pace.began(Kind::Small);
        let mut race = Race {
            pace,
            kind: Kind::Small,
            holders: (1..=self.holders.len() as u64).map(StoreId).collect(),
            end: start + Duration::from_millis(self.timeout_ms),
            try_timeout: Duration::from_millis(2_000),
            request: &request,
            asked: Vec::new(),
            hedge_at: None,
            last: None,
        };
        let mut says: Vec<_> = self.holders.into_iter().map(Some).collect();
        let mut running: Vec<(StoreId, Instant, Instant, std::result::Result<Bytes, String>)> = Vec::new();
        let (mut now, mut event, mut asked) = (start, RaceEvent::Began, Vec::new());
        loop {
            let wait = match race.step(event, now) {
                RaceStep::Done(ended) => return Outcome { ended, ms: ms(now), asked },
                RaceStep::Wait(wait) => wait,
                RaceStep::Ask { to, request, timeout, wait } => {
                    let left = u64::from_le_bytes(request[..].try_into().unwrap());
                    asked.push((to.0, ms(now), left));
                    let (after, said) = says[to.0 as usize - 1].take().expect("each is asked once");
                    let late = || (now + timeout, Err("not in time".to_owned()));
                    let (ends, outcome) = match said {
                        Some(said) if Duration::from_millis(after) < timeout => {
                            (now + Duration::from_millis(after), Ok(Said::encode(said).unwrap()))
                        }
                        _ => late(),
                    };
                    running.push((to, now, ends, outcome));
                    wait
                }
            };
            let first = (0..running.len()).min_by_key(|at| running[*at].2);
            event = match first.filter(|at| running[*at].2 <= now + wait) {
                Some(at) => {
                    let (from, begun, ends, outcome) = running.remove(at);
                    now = ends;
                    RaceEvent::Answered { from, outcome, took: now - begun }
                }
                None => {
                    now += wait;
                    RaceEvent::Waited
                }
            };
        }
    }
}

/// A pace that knows every holder's answers to take 20 ms.
fn known() -> Pace {
    let pace = Pace::default();
    for holder in 1..=3 {
        (0..100).for_each(|_| pace.took(StoreId(holder), Kind::Small, Duration::from_millis(20)));
    }
    pace
}

fn spend(pace: &Pace) {
    while pace.may_hedge(Kind::Small) {}
}

#[test]
fn a_quick_holder_is_asked_alone() {
    let pace = known();
    let outcome =
        Simulation { holders: vec![answer(19), answer(1), answer(1)], timeout_ms: 6_000 }.run(&pace);
    assert!(matches!(outcome.ended, Ended::Answer(StoreId(1), _)));
    assert_eq!((outcome.ms, outcome.asked), (19, vec![(1, 0, 6_000)]));
}

#[test]
fn a_holder_that_hangs_costs_the_delay_and_the_second_hears_what_is_left() {
    let pace = known();
    let outcome = Simulation { holders: vec![HANGS, answer(3), answer(1)], timeout_ms: 6_000 }.run(&pace);
    assert!(matches!(outcome.ended, Ended::Answer(StoreId(2), _)));
    assert_eq!((outcome.ms, outcome.asked), (23, vec![(1, 0, 6_000), (2, 20, 5_980)]));
}

#[test]
fn the_slow_holder_may_still_be_the_first() {
    let pace = known();
    let outcome =
        Simulation { holders: vec![answer(25), answer(90), answer(1)], timeout_ms: 6_000 }.run(&pace);
    assert!(matches!(outcome.ended, Ended::Answer(StoreId(1), _)));
    assert_eq!((outcome.ms, outcome.asked.len()), (25, 2));
}

#[test]
fn at_most_two_are_asked_at_a_time_and_the_third_when_one_fails() {
    let pace = known();
    let outcome = Simulation { holders: vec![HANGS, HANGS, answer(1)], timeout_ms: 6_000 }.run(&pace);
    assert!(matches!(outcome.ended, Ended::Answer(StoreId(3), _)));
    // The first fails after its two seconds; the second is a slow one then, and the third helps it.
    assert_eq!(outcome.asked, vec![(1, 0, 6_000), (2, 20, 5_980), (3, 2_000, 4_000)]);
    assert_eq!(outcome.ms, 2_001);
}

#[test]
fn without_a_budget_a_slow_holder_is_waited_for_until_there_is_one() {
    let pace = known();
    spend(&pace);
    let outcome = Simulation { holders: vec![answer(500), answer(1)], timeout_ms: 6_000 }.run(&pace);
    assert!(matches!(outcome.ended, Ended::Answer(StoreId(1), _)));
    assert_eq!((outcome.ms, outcome.asked.len()), (500, 1));
    // A holder that fails is no hedge: the next one is asked all the same.
    let said = || (5, Some(Err(Error::Unavailable("it stops".to_owned()))));
    let outcome = Simulation { holders: vec![said(), answer(1)], timeout_ms: 6_000 }.run(&pace);
    assert_eq!((outcome.ms, outcome.asked.len()), (6, 2));
    let gone = || (5, Some(Ok(None)));
    let outcome = Simulation { holders: vec![gone(), answer(1)], timeout_ms: 6_000 }.run(&pace);
    assert_eq!((outcome.ms, outcome.asked.len()), (6, 2));
}

#[test]
fn nobody_is_waited_for_longer_than_the_caller_waits() {
    let pace = known();
    let outcome = Simulation { holders: vec![HANGS, HANGS, answer(1)], timeout_ms: 300 }.run(&pace);
    assert!(matches!(outcome.ended, Ended::Nobody(_)), "{:?}", outcome.ended);
    assert_eq!(outcome.ms, 300);
}

#[test]
fn a_refusal_that_others_would_repeat_ends_it() {
    let pace = known();
    let said = (30, Some(Err(Error::not_found("user", "u1"))));
    let outcome = Simulation { holders: vec![said, HANGS], timeout_ms: 6_000 }.run(&pace);
    assert!(matches!(outcome.ended, Ended::Refused(Error::NotFound { .. })), "{:?}", outcome.ended);
    assert_eq!(outcome.ms, 30);
}

#[test]
fn a_holder_that_was_waited_for_in_vain_is_known_to_be_slow() {
    let pace = Pace::default();
    for _ in 0..10 {
        Simulation { holders: vec![HANGS, answer(80)], timeout_ms: 6_000 }.run(&pace);
    }
    assert_eq!(pace.delay(StoreId(1), Kind::Small), Duration::from_millis(150 + 80));
    assert_eq!(pace.delay(StoreId(2), Kind::Small), Duration::from_millis(80));
}
