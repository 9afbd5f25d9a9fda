//! How shards on other nodes are asked: one, several at a time, or all that users of a list are in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{Result, UserShardError};
use super::question::{Figures, UserAnswer, UserQuestion};
use super::shard::UserShard;
use super::shards::UserShards;
use crate::types::{SlotRange, SlotRanges, UserId};

impl UserShards {
    pub(super) fn ask(&self, place: usize, question: &UserQuestion) -> Result<UserAnswer> {
        match &self.0.elsewhere {
            Some(elsewhere) => elsewhere.ask(place, question),
            None => Err(UserShardError::Elsewhere {
                source: Box::new(crate::Error::Unavailable(format!(
                    "the shard is not here. shard=`{place}`"
                ))),
            }),
        }
    }

    /// [`UserShards::ask`] about the listeners of a range of slots. Before anything was split there is nobody else in the shard,
    /// and the question is one that older programs know.
    pub(super) fn ask_within(
        &self,
        (place, range): (usize, SlotRange),
        question: &UserQuestion,
    ) -> Result<UserAnswer> {
        self.ask(place, &self.within((place, range), question.clone()))
    }

    pub(super) fn within(&self, (place, range): (usize, SlotRange), question: UserQuestion) -> UserQuestion {
        let ranges = self.ranges();
        let count = u16::try_from(ranges.count()).unwrap_or(u16::MAX);
        let is_even = *ranges == SlotRanges::even(count) && ranges.range_of(place) == Some(range);
        if is_even { question } else { question.within(range.end) }
    }

    /// Asks several shards at a time; the answers in the same order. Cost: a thread for each but one.
    pub(super) fn ask_all(&self, mut asked: Vec<(usize, UserQuestion)>) -> Vec<(usize, Result<UserAnswer>)> {
        let Some((last, question)) = asked.pop() else { return Vec::new() };
        std::thread::scope(|scope| {
            let others = asked.iter();
            let threads: Vec<_> = others
                .map(|(place, question)| (*place, scope.spawn(|| self.ask(*place, question))))
                .collect();
            let answer = (last, self.ask(last, &question));
            let gone = |_| {
                let reason = "a thread that asked another node has panicked".to_owned();
                Err(UserShardError::Elsewhere { source: Box::new(crate::Error::Internal(reason)) })
            };
            let joined = threads.into_iter();
            let mut answers: Vec<_> =
                joined.map(|(place, thread)| (place, thread.join().unwrap_or_else(gone))).collect();
            answers.push(answer);
            answers
        })
    }

    /// Asks every shard the same about the listeners of its range; the answers by shard, in the order of the slots.
    pub(super) fn gather<T>(
        &self,
        here: impl Fn(&UserShard) -> Result<T>,
        question: impl Fn() -> UserQuestion,
        read: impl Fn(UserAnswer) -> Result<T>,
    ) -> Result<Vec<(usize, T)>> {
        let ranges = self.ranges();
        let far = ranges.in_order().filter(|(place, _)| self.at(*place).is_none());
        let far: Vec<(usize, UserQuestion)> =
            far.map(|(place, range)| (place, self.within((place, range), question()))).collect();
        let mut answers: BTreeMap<usize, Result<UserAnswer>> = self.ask_all(far).into_iter().collect();
        let mut one = |(place, range): (usize, SlotRange)| match answers.remove(&place) {
            Some(answer) => read(answer?),
            None => match self.at(place) {
                Some(shard) => here(&shard.within(range.end)),
                // It has just been moved.
                None => read(self.ask_within((place, range), &question())?),
            },
        };
        ranges.in_order().map(|(place, range)| Ok((place, one((place, range))?))).collect()
    }

    /// Asks about several users, each shard elsewhere once; the answers in the order of the users.
    pub(super) fn each<T: Clone>(
        &self,
        users: &[UserId],
        here: impl Fn(&UserShard, &UserId) -> Result<Option<T>>,
        question: impl Fn(Vec<UserId>) -> UserQuestion,
        read: impl Fn(UserAnswer) -> Result<Vec<Option<T>>>,
    ) -> Result<Vec<Option<T>>> {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut found = Vec::with_capacity(users.len());
        for (at, user) in users.iter().enumerate() {
            let place = self.place_of(user);
            found.push(match self.at(place) {
                Some(shard) => here(&shard, user)?,
                None => {
                    parts.entry(place).or_default().push(at);
                    None
                }
            });
        }
        let users_of = |at: &Vec<usize>| at.iter().map(|at| users[*at].clone()).collect();
        let asked = parts.iter().map(|(place, at)| (*place, question(users_of(at))));
        for (place, answer) in self.ask_all(asked.collect()) {
            parts[&place].iter().zip(read(answer?)?).for_each(|(at, value)| found[*at] = value);
        }
        Ok(found)
    }

    pub(super) fn sum(&self, here: impl Fn(&UserShard) -> u64, figures: impl Fn(&Figures) -> u64) -> u64 {
        let one = |(place, range): (usize, SlotRange)| match self.at(place) {
            Some(shard) => here(&shard.within(range.end)),
            None => self.last_figures(place).map_or(0, |found| figures(&found)),
        };
        self.ranges().in_order().map(one).sum()
    }

    pub(super) fn last_figures(&self, place: usize) -> Option<Arc<Figures>> {
        self.0.elsewhere.as_ref()?.figures(place)
    }
}
