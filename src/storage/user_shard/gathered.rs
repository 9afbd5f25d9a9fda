//! What is gathered from all user shards, here and elsewhere.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use super::{
    command::LoadState,
    elsewhere::Missing,
    error::{Result, UserShardError},
    question::{Figures, Sampled, UserAnswer, UserQuestion, unexpected},
    shard::UserShard,
    shards::UserShards,
    trends,
    vectors::nearest_of,
    view::UserView,
};
use crate::types::{Deadline, GenerationId, Region, SpaceName, TrackId, TrackRef, UserId};

impl UserShards {
    /// How many users there are; of shards elsewhere, as of a moment ago.
    #[must_use]
    pub fn user_count(&self) -> u64 {
        self.sum(UserShard::user_count, |figures| figures.users)
    }

    /// Entries applied in all shards: grows with every write; of shards elsewhere, as of a moment ago.
    #[must_use]
    pub fn applied_entries(&self) -> u64 {
        self.sum(|shard| shard.applied().index, |figures| figures.applied)
    }

    /// [`UserShard::figures`] of every shard, now.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked.
    pub fn figures(&self) -> Result<Vec<Figures>> {
        let figures = self.gather(
            UserShard::figures,
            || UserQuestion::Figures,
            |answer| match answer {
                UserAnswer::Figures(figures) => Ok(figures),
                other => Err(unexpected(&other)),
            },
        );
        Ok(figures?.into_iter().map(|(_, figures)| figures).collect())
    }

    /// Whether events wait for each of these tracks to be added, by shard.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked.
    pub fn waiting_for(&self, tracks: &[TrackId]) -> Result<Vec<(usize, Vec<bool>)>> {
        let here = |shard: &UserShard| tracks.iter().map(|track| shard.is_waited_for(track)).collect();
        self.gather(
            here,
            || UserQuestion::Waiting(tracks.to_vec()),
            |answer| match answer {
                UserAnswer::Flags(waiting) => Ok(waiting),
                other => Err(unexpected(&other)),
            },
        )
    }

    /// As [`UserShard::waited_for`], over all shards, each track once.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked.
    pub fn waited_for(&self, cursor: Option<&TrackId>, limit: usize) -> Result<Vec<TrackId>> {
        let asked = u32::try_from(limit).unwrap_or(u32::MAX);
        let question = || UserQuestion::WaitedFor { after: cursor.cloned(), limit: asked };
        let found = self.gather(
            |shard| shard.waited_for(cursor, limit),
            question,
            |answer| match answer {
                UserAnswer::Tracks(tracks) => Ok(tracks),
                other => Err(unexpected(&other)),
            },
        );
        let mut tracks: Vec<TrackId> = found?.into_iter().flat_map(|(_, tracks)| tracks).collect();
        if self.count() > 1 {
            tracks.sort_unstable();
            tracks.dedup();
            tracks.truncate(limit);
        }
        Ok(tracks)
    }

    /// As [`UserShard::load_state`], of every shard, by shard.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked.
    pub fn load_states(&self, load_id: &str) -> Result<Vec<(usize, LoadState)>> {
        let question = || UserQuestion::Load(load_id.to_owned());
        self.gather(
            |shard| shard.load_state(load_id),
            question,
            |answer| match answer {
                UserAnswer::Load(state) => Ok(state),
                other => Err(unexpected(&other)),
            },
        )
    }

    /// Spaces and generations there are vectors of: dimension and rows, over all shards, now.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked.
    pub fn generations(&self) -> Result<Vec<(SpaceName, GenerationId, u32, u64)>> {
        let mut all: BTreeMap<(SpaceName, GenerationId), (u32, u64)> = BTreeMap::new();
        for (space, generation, dim, rows) in self.figures()?.into_iter().flat_map(|it| it.generations) {
            let (known, sum) = all.entry((space, generation)).or_insert((dim, 0));
            // The dimension of a shard without rows says nothing.
            if *sum == 0 {
                *known = dim;
            }
            *sum += rows;
        }
        Ok(all.into_iter().map(|((space, generation), (dim, rows))| (space, generation, dim, rows)).collect())
    }

    /// As [`UserShard::vector_count`], over all shards; of shards elsewhere, as of a moment ago.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn vector_count(&self, space: &SpaceName, generation: GenerationId) -> Result<u64> {
        let mut sum = 0;
        for (place, range) in self.ranges().in_order() {
            sum += match self.at(place) {
                Some(shard) => shard.within(range.end).vector_count(space, generation)?,
                None => self.last_figures(place).map_or(0, |figures| {
                    let of = figures
                        .generations
                        .iter()
                        .filter(|(of, number, ..)| of == space && *number == generation);
                    of.map(|(.., rows)| *rows).sum()
                }),
            };
        }
        Ok(sum)
    }

    /// The first `max` users with a vector, in key order, with what means are taken by; see [`UserShard::vector_sample`].
    /// Shards elsewhere that do not answer are missing.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn sample(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        max: usize,
        missing: &Missing,
    ) -> Result<Vec<Sampled>> {
        let mut found: Vec<Sampled> = Vec::new();
        for (place, range) in self.ranges().in_order() {
            let first = found.len();
            while found.len() < max {
                let (skip, limit) = (found.len() - first, max - found.len());
                let page = match self.at(place) {
                    Some(shard) => shard.within(range.end).sample(space, generation, skip, limit)?,
                    None => {
                        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                        let (skip, limit) = (number(skip), number(limit));
                        let question = UserQuestion::Sample { space: space.clone(), generation, skip, limit };
                        match self.ask_within((place, range), &question) {
                            Ok(UserAnswer::Sample(page)) => page,
                            Ok(other) => return Err(unexpected(&other)),
                            Err(error) => {
                                missing.note(place, error)?;
                                break;
                            }
                        }
                    }
                };
                if page.is_empty() {
                    break;
                }
                found.extend(page);
            }
        }
        Ok(found)
    }

    /// As [`UserShard::similar_users`], over all shards. Shards elsewhere know no deadline: they are waited for for some seconds.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked.
    pub fn similar_users(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        query: &[f32],
        k: usize,
        except: Option<&UserId>,
        deadline: Deadline,
    ) -> Result<Vec<(UserId, f32)>> {
        let question = || UserQuestion::Similar {
            space: space.clone(),
            generation,
            query: query.to_vec(),
            k: u32::try_from(k).unwrap_or(u32::MAX),
            except: except.cloned(),
        };
        let here = |shard: &UserShard| shard.similar_users(space, generation, query, k, except, deadline);
        let found = self.gather(here, question, |answer| match answer {
            UserAnswer::Similar(found) => Ok(found),
            other => Err(unexpected(&other)),
        });
        Ok(nearest_of(found?.into_iter().flat_map(|(_, found)| found).collect(), k))
    }

    /// As [`UserShard::trend_counts`], over all shards. The newest day with a counted play anywhere decides which days count.
    /// Shards elsewhere that do not answer are missing.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn trend_counts(
        &self,
        region: Option<Region>,
        from_day: i32,
        to_day: i32,
        missing: &Missing,
    ) -> Result<Vec<(TrackRef, u64)>> {
        let Some(newest) = self.newest_counted_day() else { return Ok(Vec::new()) };
        let from_day = from_day.max(trends::oldest_kept(newest));
        let mut all = Vec::new();
        let mut asked: Vec<(usize, UserQuestion)> = Vec::new();
        let question = |after| UserQuestion::Trends { region, from_day, to_day, after };
        for (place, _) in self.ranges().in_order() {
            match self.at(place) {
                Some(shard) => all.extend(shard.trend_counts(region, from_day, to_day)?),
                None => asked.push((place, question(None))),
            }
        }
        while !asked.is_empty() {
            for (place, answer) in self.ask_all(std::mem::take(&mut asked)) {
                match answer {
                    Ok(UserAnswer::Trends(counts, next)) => {
                        all.extend(counts);
                        asked.extend(next.map(|last| (place, question(Some(last)))));
                    }
                    Ok(other) => return Err(unexpected(&other)),
                    Err(error) => missing.note(place, error)?,
                }
            }
        }
        if self.count() > 1 {
            trends::sum_by_track(&mut all);
        }
        Ok(all)
    }

    /// The newest day (since the epoch) with a counted play; of shards elsewhere, as of a moment ago.
    #[must_use]
    pub fn newest_counted_day(&self) -> Option<i32> {
        let newest = |place| match self.at(place) {
            Some(shard) => shard.newest_day(),
            None => self.last_figures(place).and_then(|figures| figures.newest_day),
        };
        self.ranges().in_order().filter_map(|(place, _)| newest(place)).max()
    }

    /// Visits listeners in key order, each as [`UserShard::view`] gives them, until the visitor breaks. Of more than
    /// `most` listeners those of every `n`-th slot are visited, `n` the smallest power of two that brings their
    /// expected number down to `most`. One snapshot a listener: a pass may see newer listeners beside older ones.
    ///
    /// Cost: one seek and one read of the history a listener; the cache of views is neither asked nor filled. Listeners
    /// elsewhere come in pages.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked; those of the visitor.
    pub fn for_each_view<E: From<UserShardError>>(
        &self,
        most: u64,
        mut visit: impl FnMut(UserView) -> std::result::Result<ControlFlow<()>, E>,
    ) -> std::result::Result<(), E> {
        let stride = self.user_count().div_ceil(most.max(1)).next_power_of_two();
        for (place, range) in self.ranges().in_order() {
            if let Some(shard) = self.at(place) {
                if shard.within(range.end).for_each_view(None, stride, &mut visit)?.is_break() {
                    return Ok(());
                }
                continue;
            }
            let mut after = None;
            loop {
                let (page, next) =
                    match self.ask_within((place, range), &UserQuestion::Views { after, stride })? {
                        UserAnswer::Views(page, next) => (page, next),
                        other => return Err(unexpected(&other).into()),
                    };
                for view in page {
                    if visit(view)?.is_break() {
                        return Ok(());
                    }
                }
                if next.is_none() {
                    break;
                }
                after = next;
            }
        }
        Ok(())
    }

    /// What was derived from all listeners: the first shard keeps it for all. From another node, as of a moment ago.
    #[must_use]
    pub fn statistics(&self) -> Option<Arc<[u8]>> {
        match &*self.0.here[0].load() {
            Some(shard) => shard.statistics(),
            None => self.0.elsewhere.as_ref().and_then(|elsewhere| elsewhere.statistics()),
        }
    }
}
