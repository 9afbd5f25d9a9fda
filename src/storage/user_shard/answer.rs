//! How a user shard answers what it is asked: from what is applied here.

use std::ops::ControlFlow;

use super::error::{Result, UserShardError};
use super::list::{rows_of, users_page};
use super::question::{FriendPlays, PAGE_BYTES, Sampled, UserAnswer, UserQuestion};
use super::shard::UserShard;
use super::view::UserView;
use crate::types::{Deadline, GenerationId, SpaceName, Timestamp, TrackRef, UserId};

/// Rows of a page of counts.
const TREND_ROWS: usize = PAGE_BYTES / size_of::<(TrackRef, u64)>();

impl UserShard {
    /// Answers a question from what is applied here.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn answer(&self, question: &UserQuestion) -> Result<UserAnswer> {
        Ok(match question {
            UserQuestion::User(id) => UserAnswer::User(self.user(id)?),
            UserQuestion::Known(ids) => {
                let known = ids.iter().map(|id| Ok(self.user(id)?.is_some()));
                UserAnswer::Flags(known.collect::<Result<_>>()?)
            }
            UserQuestion::View(id) => {
                UserAnswer::View(self.view(id)?.map(|view| Box::new(UserView::clone(&view))))
            }
            UserQuestion::Views { after, stride } => self.views_page(after.as_ref(), *stride)?,
            UserQuestion::Vectors { space, generation, users } => {
                let vectors = users.iter().map(|user| self.vector(space, *generation, user));
                UserAnswer::Vectors(vectors.collect::<Result<_>>()?)
            }
            UserQuestion::List { after, limit } => {
                users_page(self.list_users(after.as_ref(), rows_of(*limit))?)
            }
            UserQuestion::ListFrom { slot, limit } => {
                users_page(self.list_users_from(*slot, rows_of(*limit))?)
            }
            UserQuestion::Waiting(tracks) => {
                let waiting = tracks.iter().map(|track| self.is_waited_for(track));
                UserAnswer::Flags(waiting.collect::<Result<_>>()?)
            }
            UserQuestion::WaitedFor { after, limit } => {
                UserAnswer::Tracks(self.waited_for(after.as_ref(), *limit as usize)?)
            }
            UserQuestion::Load(load_id) => UserAnswer::Load(self.load_state(load_id)?),
            UserQuestion::Figures => UserAnswer::Figures(self.figures()?),
            UserQuestion::Statistics => UserAnswer::Statistics(self.statistics().map(|bytes| bytes.to_vec())),
            UserQuestion::Sample { space, generation, skip, limit } => {
                UserAnswer::Sample(self.sample(space, *generation, *skip as usize, *limit as usize)?)
            }
            UserQuestion::Similar { space, generation, query, k, except } => {
                let found = self.similar_users(
                    space,
                    *generation,
                    query,
                    *k as usize,
                    except.as_ref(),
                    Deadline::NEVER,
                );
                UserAnswer::Similar(found?)
            }
            UserQuestion::Trends { region, from_day, to_day, after } => {
                let mut counts = self.trend_counts(*region, *from_day, *to_day)?;
                if let Some(after) = after {
                    counts.drain(..counts.partition_point(|(track, _)| track <= after));
                }
                let has_more = counts.len() > TREND_ROWS;
                counts.truncate(TREND_ROWS);
                let last = counts.last().filter(|_| has_more).map(|(track, _)| *track);
                UserAnswer::Trends(counts, last)
            }
            UserQuestion::Friends { of, friends, since, until } => {
                let played = friends.iter().map(|friend| self.friend(friend, of, *since, *until));
                UserAnswer::Friends(played.collect::<Result<_>>()?)
            }
            UserQuestion::PlaysUntil { of, until, from_day } => {
                let (plays, next) = self.plays_until(of, *until, *from_day)?;
                UserAnswer::Plays(plays, next)
            }
            UserQuestion::Within { end, question } => {
                let question = UserQuestion::decode(question)
                    .map_err(|error| UserShardError::Elsewhere { source: Box::new(error) })?;
                // One in another is a mistake, and would let a stranger have this called as deep as they like.
                if matches!(question, UserQuestion::Within { .. }) {
                    let reason = "a question about a range is asked in another one".to_owned();
                    return Err(UserShardError::Elsewhere {
                        source: Box::new(crate::Error::Corrupt(reason)),
                    });
                }
                self.within(*end).answer(&question)?
            }
        })
    }

    /// The first listeners with a vector, but for `skip`, at most `limit` and a page of them, in key order.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn sample(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Sampled>> {
        let mut page = Vec::new();
        let mut bytes = 0;
        for (id, vector) in
            self.vector_sample(space, generation, skip.saturating_add(limit))?.into_iter().skip(skip)
        {
            bytes += 64 + size_of_val(vector.as_slice());
            page.push(match self.user(&id)? {
                Some(user) => Sampled { region: user.region, age_band: user.age_band, vector },
                None => Sampled { region: None, age_band: None, vector: Vec::new() },
            });
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    /// What a friend of `of` played after `since` until `until`; `None` unless the friend consents.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn friend(
        &self,
        friend: &UserId,
        of: &UserId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<FriendPlays>> {
        // The record first: it is small, and most of what is refused is refused by it.
        let record = self.user(friend)?.filter(|record| record.social_consent && record.user_id != *of);
        let Some(record) = record else { return Ok(None) };
        let Some(view) = self.view(friend)? else { return Ok(None) };
        let plays = view.plays.iter().filter(|play| play.at > since && play.at <= until);
        Ok(Some(FriendPlays { is_close: record.friends.contains(of), plays: plays.copied().collect() }))
    }

    fn views_page(&self, after: Option<&UserId>, stride: u64) -> Result<UserAnswer> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut last = None;
        let mut visit = |view: UserView| -> Result<ControlFlow<()>> {
            bytes += view.size_bytes();
            last = Some(view.user.user_id.clone());
            page.push(view);
            Ok(if bytes < PAGE_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        let has_more = self.for_each_view(after, stride.max(1), &mut visit)?.is_break();
        Ok(UserAnswer::Views(page, last.filter(|_| has_more)))
    }
}
