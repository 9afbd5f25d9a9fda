//! Is a history of one register linearizable? (Wing and Gong, 1993, with the memory of Lowe, 2017.)
//!
//! The search tries every operation that may come next (it was called before the first answer still
//! outstanding) and remembers pairs of *done operations, value* that led nowhere. A write without an answer may
//! have happened at any time after its call, or never.

use std::collections::HashSet;

/// One call of a client and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub called: u64,
    /// `None`: never, so that nobody knows what became of it.
    pub answered: Option<u64>,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Write(u64),
    Read(u64),
}

/// Returns whether the operations on one register, which starts at `initial`, can be put in an order that agrees with
/// their times. Reads without an answer must be left out by the caller: they say nothing.
pub fn is_linearizable(initial: u64, history: &[Operation]) -> bool {
    let mut operations = history.to_vec();
    operations.sort_by_key(|operation| (operation.called, operation.answered));
    let mut search =
        Search { done: vec![0; operations.len().div_ceil(64)], seen: HashSet::new(), operations };
    search.from(initial)
}

struct Search {
    operations: Vec<Operation>,
    /// A bit for each operation that has its place.
    done: Vec<u64>,
    seen: HashSet<(Vec<u64>, u64)>,
}

impl Search {
    /// A stack instead of recursion: histories are long.
    fn from(&mut self, initial: u64) -> bool {
        let mut value = initial;
        // Where each step looked last, and the value before it.
        let mut path: Vec<(usize, u64)> = Vec::new();
        let mut next = 0;
        loop {
            if self.is_complete() {
                return true;
            }
            let step = self.candidate(next, value);
            if let Some((operation, after)) = step {
                self.flip(operation);
                if self.seen.insert((self.done.clone(), after)) {
                    path.push((operation, value));
                    value = after;
                    next = 0;
                } else {
                    self.flip(operation);
                    next = operation + 1;
                }
                continue;
            }
            let Some((operation, before)) = path.pop() else {
                return false;
            };
            self.flip(operation);
            value = before;
            next = operation + 1;
        }
    }

    fn is_done(&self, operation: usize) -> bool {
        self.done[operation / 64] >> (operation % 64) & 1 == 1
    }

    fn flip(&mut self, operation: usize) {
        self.done[operation / 64] ^= 1 << (operation % 64);
    }

    /// Everything that was answered has its place; the rest may never have happened.
    fn is_complete(&self) -> bool {
        (0..self.operations.len()).all(|at| self.is_done(at) || self.operations[at].answered.is_none())
    }

    /// Returns the first operation from `from` on that may come next, and the value after it.
    fn candidate(&self, from: usize, value: u64) -> Option<(usize, u64)> {
        let open = (0..self.operations.len()).filter(|at| !self.is_done(*at));
        let first_answer = open.filter_map(|at| self.operations[at].answered).min().unwrap_or(u64::MAX);
        let mut candidates = (from..self.operations.len())
            .take_while(|at| self.operations[*at].called <= first_answer)
            .filter(|at| !self.is_done(*at));
        candidates.find_map(|at| match self.operations[at].action {
            Action::Write(written) => Some((at, written)),
            Action::Read(read) => (read == value).then_some((at, value)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
