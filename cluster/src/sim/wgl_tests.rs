//! The checker of histories, against every order tried one by one.

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action as Moment, History};
use todc_utils::specifications::register::{RegisterOperation, RegisterSpecification};

use super::wgl::{Action, Operation, is_linearizable};
use crate::sim::random::Random;

fn operation(called: u64, answered: u64, action: Action) -> Operation {
    Operation { called, answered: (answered > 0).then_some(answered), action }
}

#[test]
fn a_stale_read_is_found_and_an_open_write_may_or_may_not_have_happened() {
    let stale = [operation(1, 2, Action::Write(7)), operation(3, 4, Action::Read(0))];
    assert!(!is_linearizable(0, &stale));
    let overlapping = [operation(1, 5, Action::Write(7)), operation(3, 4, Action::Read(0))];
    assert!(is_linearizable(0, &overlapping));
    for seen in [0, 7] {
        let open = [operation(1, 0, Action::Write(7)), operation(3, 4, Action::Read(seen))];
        assert!(is_linearizable(0, &open));
    }
    let back = [
        operation(1, 0, Action::Write(7)),
        operation(3, 4, Action::Read(7)),
        operation(5, 6, Action::Read(0)),
    ];
    assert!(!is_linearizable(0, &back));
}

/// Tries every order of every subset that leaves out open writes only.
fn by_hand(value: u64, open: &[Operation]) -> bool {
    if open.iter().all(|operation| operation.answered.is_none()) {
        return true;
    }
    let first_answer = open.iter().filter_map(|operation| operation.answered).min().unwrap_or(u64::MAX);
    (0..open.len()).filter(|at| open[*at].called <= first_answer).any(|at| {
        let mut rest = open.to_vec();
        match rest.remove(at).action {
            Action::Write(written) => by_hand(written, &rest),
            Action::Read(read) => read == value && by_hand(value, &rest),
        }
    })
}

#[test]
fn on_small_histories_it_agrees_with_trying_every_order() {
    let mut random = Random(5);
    let mut yes = 0;
    for _ in 0..4_000 {
        let count = 1 + random.below(6);
        let history: Vec<Operation> = (0..count)
            .map(|_| {
                let called = 1 + random.below(12);
                let value = random.below(3);
                if random.one_in(2) {
                    let answered = if random.one_in(4) { 0 } else { called + 1 + random.below(6) };
                    operation(called, answered, Action::Write(value))
                } else {
                    operation(called, called + 1 + random.below(6), Action::Read(value))
                }
            })
            .collect();
        let expected = by_hand(0, &history);
        yes += u32::from(expected);
        assert_eq!(is_linearizable(0, &history), expected, "{history:?}");
    }
    assert!((500..3_500).contains(&yes), "{yes} of 4000 are linearizable");
}

/// What somebody else's checker says. It knows no operation without an answer, and no two moments that are one.
fn by_todc(history: &[Operation]) -> bool {
    let mut moments = Vec::new();
    for (process, operation) in history.iter().enumerate() {
        let (call, response) = match operation.action {
            Action::Write(value) => (RegisterOperation::Write(value), RegisterOperation::Write(value)),
            Action::Read(value) => (RegisterOperation::Read(None), RegisterOperation::Read(Some(value))),
        };
        moments.push((operation.called, process, Moment::Call(call)));
        moments.push((operation.answered.expect("answered"), process, Moment::Response(response)));
    }
    moments.sort_by_key(|(at, _, _)| *at);
    let moments = moments.into_iter().map(|(_, process, moment)| (process, moment)).collect();
    WGLChecker::<RegisterSpecification<u64>>::is_linearizable(History::from_actions(moments))
}

#[test]
fn on_histories_without_open_operations_it_agrees_with_todc() {
    const SEED: u64 = 11;
    eprintln!("seed {SEED}");
    let mut random = Random(SEED);
    let mut yes = 0;
    for _ in 0..4_000 {
        let count = 1 + random.below(12);
        let history: Vec<Operation> = (0..count)
            .map(|number| {
                // No two moments of two operations are the same.
                let called = random.below(24) * count + number;
                let answered = called + (1 + random.below(6)) * count;
                let value = random.below(3);
                let action = if random.one_in(2) { Action::Write(value) } else { Action::Read(value) };
                Operation { called, answered: Some(answered), action }
            })
            .collect();
        let expected = by_todc(&history);
        yes += u32::from(expected);
        assert_eq!(is_linearizable(0, &history), expected, "{history:?}");
    }
    assert!((500..3_500).contains(&yes), "{yes} of 4000 are linearizable");
}
