//! How the Raft thread waits: for its sockets, for what comes into its mailbox, and for the next tick, all at once.
//!
//! It sleeps in the operating system's poll. Whoever puts something into its mailbox rings the alarm, which costs a system
//! call only while the thread sleeps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use crossbeam_channel::{SendError, Sender, TrySendError};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

/// The token of the alarm itself; sockets have others.
const ALARM: Token = Token(0);
/// Sockets that can be told of at once; the rest is told of in the next turn.
const EVENTS_MAX: usize = 64;
/// Pause when the poll itself fails, so that a broken one does not spin.
const POLL_FAILED_PAUSE: Duration = Duration::from_millis(1);

/// Wakes the thread.
pub(crate) struct Alarm {
    is_asleep: AtomicBool,
    waker: Waker,
}

impl Alarm {
    /// Wakes the thread if it sleeps. What it shall find is put there before.
    pub fn ring(&self) {
        // With the fence of `Bed::sleep`: either the thread sees what was put there, or this sees that it sleeps.
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::AcqRel) {
            // Only a counter that is full fails, and then the thread wakes anyhow.
            let _ = self.waker.wake();
        }
    }
}

/// Where the thread sleeps.
pub(crate) struct Bed {
    poll: Poll,
    events: Events,
    alarm: Arc<Alarm>,
}

impl Bed {
    /// Makes both ends.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new() -> io::Result<(Self, Arc<Alarm>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), ALARM)?;
        let alarm = Arc::new(Alarm { is_asleep: AtomicBool::new(false), waker });
        Ok((Self { poll, events: Events::with_capacity(EVENTS_MAX), alarm: alarm.clone() }, alarm))
    }

    /// Sleeps until the alarm, a socket, or for at most `time`, unless `is_awaited` says that there is something already;
    /// returns the sockets that have news.
    pub fn sleep(&mut self, time: Duration, is_awaited: impl FnOnce() -> bool) -> Vec<Token> {
        let mut time = time;
        if !time.is_zero() {
            self.alarm.is_asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if is_awaited() {
                time = Duration::ZERO;
            }
        }
        let polled = self.poll.poll(&mut self.events, Some(time));
        self.alarm.is_asleep.store(false, Ordering::Release);
        match polled {
            Ok(()) => self.events.iter().map(|event| event.token()).filter(|token| *token != ALARM).collect(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Vec::new(),
            Err(error) => {
                tracing::error!(%error, "sockets cannot be waited for");
                std::thread::sleep(POLL_FAILED_PAUSE);
                Vec::new()
            }
        }
    }

    /// Where sockets are registered, by edges: each piece of news is told once.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }
}

/// What sockets are watched for.
pub(crate) const INCOMING: Interest = Interest::READABLE;
/// The same for one that is written to; readable is what it becomes when it breaks.
pub(crate) const OUTGOING: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A sender into the thread's mailbox. It wakes the thread.
pub(crate) struct Bell<T> {
    sender: Sender<T>,
    alarm: Arc<Alarm>,
}

impl<T> Bell<T> {
    pub fn new(sender: Sender<T>, alarm: Arc<Alarm>) -> Self {
        Self { sender, alarm }
    }

    /// Sends, waiting for room.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn send(&self, what: T) -> Result<(), SendError<T>> {
        self.sender.send(what)?;
        self.alarm.ring();
        Ok(())
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// When there is none, or the thread has ended.
    pub fn try_send(&self, what: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(what)?;
        self.alarm.ring();
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.sender.len()
    }
}

impl<T> Clone for Bell<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), alarm: self.alarm.clone() }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Instant;

    use crossbeam_channel::bounded;

    use super::*;

    /// The goal: nothing put into a mailbox is slept over, whatever the moment. Each number is awaited before the next is
    /// sent, so a lost alarm would cost the whole time of a sleep.
    #[test]
    fn whatever_is_sent_ends_the_sleep() {
        const LONG: Duration = Duration::from_secs(20);
        let (mut bed, alarm) = Bed::new().unwrap();
        let (sender, receiver) = bounded(1);
        let (reply, replies) = bounded(1);
        let bell = Bell::new(sender, alarm);
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            for number in 0..20_000_u32 {
                bell.send(number).unwrap();
                assert_eq!(replies.recv(), Ok(number));
            }
        });
        let mut seen = 0;
        while seen < 20_000 {
            let tokens = bed.sleep(LONG, || !receiver.is_empty());
            assert_eq!(tokens, []);
            for number in receiver.try_iter() {
                seen += 1;
                reply.send(number).unwrap();
            }
        }
        thread.join().unwrap();
        assert!(begun.elapsed() < LONG, "an alarm was lost");
    }
}
