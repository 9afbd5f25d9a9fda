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
