//! Calls of which the first good answer counts: when the next node is asked is the caller's decision, step by step; the thread
//! that asks also waits, so that an answer wakes nobody else.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ids::StoreId;

/// What happened in a race.
#[derive(Debug)]
pub enum RaceEvent {
    /// It begins; nobody is asked yet.
    Began,
    /// A call ended.
    Answered {
        /// Who was asked.
        from: StoreId,
        /// The reply, or a sentence: refused, not reached, or not in time.
        outcome: Result<Bytes, String>,
        /// How long it took.
        took: Duration,
    },
    /// Nothing happened for as long as the last step said.
    Waited,
}

/// What is done next.
#[derive(Debug)]
pub enum RaceStep<T> {
    /// One more node is asked; the next step comes when any call ends, or after `wait`.
    Ask {
        /// The node.
        to: StoreId,
        /// The request, opaque here.
        request: Bytes,
        /// How long this call may take.
        timeout: Duration,
        /// How long until something should be done.
        wait: Duration,
    },
    /// Nothing; the next step comes when any call ends, or after so long.
    Wait(Duration),
    /// The race is over. Calls under way are given up; whoever was asked may still be at work.
    Done(T),
}

/// One call under way.
pub(super) struct Running<'a> {
    pub to: StoreId,
    pub begun: Instant,
    pub outcome: Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send + 'a>>,
}

/// Waits until one of the calls ends, which is taken out, or for `wait`.
pub(super) async fn next_event(running: &mut Vec<Running<'_>>, wait: Duration) -> RaceEvent {
    let first = poll_fn(|context| {
        for at in 0..running.len() {
            if let Poll::Ready(outcome) = running[at].outcome.as_mut().poll(context) {
                let ended = running.swap_remove(at);
                let (from, took) = (ended.to, ended.begun.elapsed());
                return Poll::Ready(RaceEvent::Answered { from, outcome, took });
            }
        }
        Poll::Pending
    });
    tokio::time::timeout(wait, first).await.unwrap_or(RaceEvent::Waited)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn call(to: u64, ms: u64) -> Running<'static> {
        let outcome = async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(Bytes::copy_from_slice(&to.to_le_bytes()))
        };
        Running { to: StoreId(to), begun: Instant::now(), outcome: Box::pin(outcome) }
    }

    #[test]
    fn the_first_answer_comes_first_and_silence_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut running = vec![call(1, 10_000), call(2, 20)];
            assert!(matches!(next_event(&mut running, Duration::from_millis(2)).await, RaceEvent::Waited));
            assert_eq!(running.len(), 2, "who did not answer in time goes on");
            match next_event(&mut running, Duration::from_secs(5)).await {
                RaceEvent::Answered { from, outcome: Ok(reply), .. } => {
                    assert_eq!((from, &reply[..]), (StoreId(2), &2_u64.to_le_bytes()[..]));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(running.len(), 1);
            // With nobody under way, time passes all the same.
            running.clear();
            assert!(matches!(next_event(&mut running, Duration::from_millis(2)).await, RaceEvent::Waited));
        });
    }
}
