//! One question to the holders of a shard: who is asked when, until one answers. Pure: time and answers are told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use segue_cluster::{RaceEvent, RaceStep, StoreId};

use super::holders::{Said, read_said};
use super::pace::{Kind, Pace};
use crate::error::{Error, ErrorKind, Result};

/// Holders asked at the same time.
const AT_ONCE: usize = 2;

/// How a round ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// This holder's answer.
    Answer(StoreId, Vec<u8>),
    /// What a holder said that no other would say otherwise.
    Refused(Error),
    /// Nobody answered; what the last one said.
    Nobody(Option<String>),
}

/// A round through the holders, each of which is asked at most once.
pub(super) struct Race<'a> {
    pub(super) pace: &'a Pace,
    pub(super) kind: Kind,
    /// Still to be asked, the first one first.
    pub(super) holders: VecDeque<StoreId>,
    /// Nobody is waited for longer.
    pub(super) end: Instant,
    /// How long one holder may take.
    pub(super) try_timeout: Duration,
    /// The request for a caller who waits so long.
    pub(super) request: &'a dyn Fn(Duration) -> Result<Bytes>,
    /// Who is asked and since when; whether beside a slow one.
    pub(super) asked: Vec<(StoreId, Instant, bool)>,
    /// When a slow holder is helped; `None` while there is nobody to help it.
    pub(super) hedge_at: Option<Instant>,
    pub(super) last: Option<String>,
}

impl Race<'_> {
    /// What is done after an event, at the moment `now`.
    pub(super) fn step(&mut self, event: RaceEvent, now: Instant) -> RaceStep<Ended> {
        let mut hedges = false;
        match event {
            RaceEvent::Began => {}
            RaceEvent::Answered { from, outcome, took } => {
                if let Some(ended) = self.answered(from, outcome, took, now) {
                    return RaceStep::Done(ended);
                }
            }
            RaceEvent::Waited => {
                if now >= self.end {
                    return self.nobody();
                }
                if self.hedge_at.is_some_and(|at| now >= at) {
                    hedges = self.pace.may_hedge(self.kind);
                    // Without a budget it is tried again; there may be one then.
                    self.hedge_at = self.asked.last().map(|asked| now + self.pace.delay(asked.0, self.kind));
                }
            }
        }
        if self.asked.is_empty() || hedges {
            return self.ask_next(hedges, now);
        }
        RaceStep::Wait(self.wait(now))
    }

    fn ask_next(&mut self, hedges: bool, now: Instant) -> RaceStep<Ended> {
        let left = self.end.saturating_duration_since(now);
        let Some(to) = self.holders.pop_front().filter(|_| !left.is_zero()) else { return self.nobody() };
        let request = match (self.request)(left) {
            Ok(request) => request,
            Err(error) => return RaceStep::Done(Ended::Refused(error)),
        };
        self.asked.push((to, now, hedges));
        let is_last = self.holders.is_empty() || self.asked.len() >= AT_ONCE;
        self.hedge_at = (!is_last).then(|| now + self.pace.delay(to, self.kind));
        RaceStep::Ask { to, request, timeout: left.min(self.try_timeout), wait: self.wait(now) }
    }

    /// What an answer amounts to; `None` when others may know better.
    fn answered(
        &mut self,
        from: StoreId,
        outcome: std::result::Result<Bytes, String>,
        took: Duration,
        now: Instant,
    ) -> Option<Ended> {
        let was_hedge = self.asked.iter().any(|(store, _, hedge)| *store == from && *hedge);
        self.asked.retain(|(store, ..)| *store != from);
        match outcome.and_then(|reply| read_said(&reply)) {
            Ok(Said::Answer(answer)) => {
                self.pace.took(from, self.kind, took);
                if was_hedge && !self.asked.is_empty() {
                    self.pace.won(self.kind);
                }
                // Whoever was slower took at least so long.
                for (store, since, _) in &self.asked {
                    self.pace.took(*store, self.kind, now.saturating_duration_since(*since));
                }
                return Some(Ended::Answer(from, answer));
            }
            Ok(Said::NotHere) => {}
            Ok(Said::Failed(error)) => {
                let error = Error::from(error);
                if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Exhausted) {
                    return Some(Ended::Refused(error));
                }
                self.last = Some(error.to_string());
            }
            Err(reason) => self.last = Some(reason),
        }
        // The one that is left may be helped again.
        if let Some((store, since, _)) = self.asked.last()
            && !self.holders.is_empty()
        {
            self.hedge_at = Some((*since + self.pace.delay(*store, self.kind)).max(now));
        }
        None
    }

    fn wait(&self, now: Instant) -> Duration {
        let until = self.hedge_at.map_or(self.end, |at| at.min(self.end));
        until.saturating_duration_since(now)
    }

    fn nobody(&mut self) -> RaceStep<Ended> {
        RaceStep::Done(Ended::Nobody(self.last.take()))
    }
}
