//! One answer on its way from the node to a caller, who may block for it or await it.
//!
//! The node's side ([`Ticket`]) always answers: dropped unanswered, it says why the group is gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::ClusterError;
use crate::group::shared::GroupShared;

/// An answer that has not come yet. Dropping it does not take the request back.
///
/// Await it, or block with [`Pending::wait`] or [`Pending::wait_timeout`].
#[must_use = "the request goes on, but its outcome is lost"]
#[derive(Debug)]
pub struct Pending<T> {
    slot: Arc<Slot<T>>,
    shared: Arc<GroupShared>,
    /// Whether to give up on it counts as a time-out of the group.
    is_counted: bool,
}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<SlotState<T>>,
    answered: Condvar,
}

#[derive(Debug)]
struct SlotState<T> {
    answer: Option<Result<T, ClusterError>>,
    waker: Option<Waker>,
    then: Option<Then<T>>,
}

/// What is done with an answer by whoever gives it.
struct Then<T>(Box<dyn FnOnce(Result<T, ClusterError>) + Send>);

impl<T> std::fmt::Debug for Then<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Then")
    }
}

/// The node's side of a [`Pending`].
pub(crate) struct Ticket<T> {
    slot: Option<Arc<Slot<T>>>,
    shared: Arc<GroupShared>,
    /// Bytes of the request, given back to the group's budget with the answer.
    bytes: usize,
}

/// Makes both sides of one answer. `bytes` were taken from the group's budget by the caller.
pub(crate) fn pending<T>(shared: Arc<GroupShared>, bytes: usize) -> (Ticket<T>, Pending<T>) {
    let slot = Arc::new(Slot {
        state: Mutex::new(SlotState { answer: None, waker: None, then: None }),
        answered: Condvar::new(),
    });
    (
        Ticket { slot: Some(slot.clone()), shared: shared.clone(), bytes },
        Pending { slot, shared, is_counted: false },
    )
}

impl<T> Pending<T> {
    /// The same, of a request for which nobody having waited long enough is a time-out of the group.
    pub(crate) fn counted(self) -> Self {
        Self { is_counted: true, ..self }
    }

    /// Blocks until the answer comes.
    ///
    /// # Errors
    /// What the group answered.
    pub fn wait(self) -> Result<T, ClusterError> {
        let mut state = self.slot.state.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return answer;
            }
            self.slot.answered.wait(&mut state);
        }
    }

    /// Returns the answer if it has come, or this again.
    #[expect(clippy::missing_errors_doc, reason = "the error is the caller's own value")]
    pub fn try_answer(self) -> Result<Result<T, ClusterError>, Self> {
        let answer = self.slot.state.lock().answer.take();
        answer.ok_or(self)
    }

    /// Has `action` done with the answer, on the thread that gives it: it must not wait.
    pub(crate) fn then(self, action: impl FnOnce(Result<T, ClusterError>) + Send + 'static) {
        let mut state = self.slot.state.lock();
        match state.answer.take() {
            Some(answer) => {
                drop(state);
                action(answer);
            }
            None => state.then = Some(Then(Box::new(action))),
        }
    }

    /// Blocks until the answer comes, or for `timeout`.
    ///
    /// # Errors
    /// What the group answered, or `Timeout`: the request may still succeed later.
    pub fn wait_timeout(self, timeout: Duration) -> Result<T, ClusterError> {
        let Some(deadline) = Instant::now().checked_add(timeout) else {
            return self.wait();
        };
        let mut state = self.slot.state.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return answer;
            }
            if self.slot.answered.wait_until(&mut state, deadline).timed_out() {
                let late = state.answer.take();
                if late.is_none() && self.is_counted {
                    self.shared.counters.timed_out();
                }
                return late.unwrap_or(Err(ClusterError::Timeout { group: self.shared.id }));
            }
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, ClusterError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Ticket<T> {
    /// Gives the answer.
    pub fn resolve(mut self, answer: Result<T, ClusterError>) {
        self.answer(answer);
    }

    fn answer(&mut self, answer: Result<T, ClusterError>) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        self.shared.release(self.bytes);
        match &answer {
            Err(ClusterError::Dropped { .. }) => self.shared.counters.dropped(),
            Err(ClusterError::Timeout { .. }) => self.shared.counters.timed_out(),
            _ => {}
        }
        let waker = {
            let mut state = slot.state.lock();
            if let Some(Then(action)) = state.then.take() {
                drop(state);
                return action(answer);
            }
            state.answer = Some(answer);
            state.waker.take()
        };
        slot.answered.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({})", self.shared.id)
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if self.slot.is_some() {
            let reason = self.shared.gone();
            self.answer(Err(reason));
        }
    }
}
