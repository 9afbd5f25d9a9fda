//! All user shards of a database: the one place that knows which of them a listener is in.
//!
//! Each shard owns a contiguous range of the slots, in order. Keys begin with the slot, so the shards one after another
//! are in the order of keys, and what is gathered here does not depend on how many there are.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use super::{
    error::{Result, UserShardError},
    shard::UserShard,
    trends,
    vectors::nearest_of,
    view::UserView,
};
use crate::types::{
    GenerationId, Region, SpaceName, TrackId, TrackRef, User, UserId, shard_of_slot, slot_of,
};

/// The shards, in the order of the slots they own. Cheap to clone.
#[derive(Clone)]
pub struct UserShards(Arc<[UserShard]>);

impl UserShards {
    /// Puts shards together; all there are, in order.
    ///
    /// # Panics
    /// Without a shard, or with more than a database may have.
    #[must_use]
    pub fn new(shards: Vec<UserShard>) -> Self {
        assert!((1..=usize::from(crate::types::USER_SHARDS_MAX)).contains(&shards.len()));
        Self(shards.into())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &UserShard> {
        self.0.iter()
    }

    /// Which shard a listener is in.
    #[must_use]
    pub fn place_of(&self, user: &UserId) -> usize {
        let count = u16::try_from(self.0.len()).expect("at most USER_SHARDS_MAX");
        shard_of_slot(slot_of(user.as_str()), count)
    }

    /// A listener's shard.
    #[must_use]
    pub fn of(&self, user: &UserId) -> &UserShard {
        &self.0[self.place_of(user)]
    }

    /// As [`UserShard::user`].
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn user(&self, id: &UserId) -> Result<Option<User>> {
        self.of(id).user(id)
    }

    /// As [`UserShard::view`].
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn view(&self, id: &UserId) -> Result<Option<Arc<UserView>>> {
        self.of(id).view(id)
    }

    /// As [`UserShard::vector`].
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn vector(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        user: &UserId,
    ) -> Result<Option<Vec<f32>>> {
        self.of(user).vector(space, generation, user)
    }

    /// As [`UserShard::list_users`], over all shards.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn list_users(&self, cursor: Option<&UserId>, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        let first = cursor.map_or(0, |user| self.place_of(user));
        let mut users: Vec<User> = Vec::new();
        for (shard, cursor) in
            self.0[first..].iter().zip(std::iter::once(cursor).chain(std::iter::repeat(None)))
        {
            let room = limit - users.len();
            if room == 0 {
                if shard.user_count() > 0 {
                    let next = users.last().map(|user| user.user_id.clone());
                    return Ok((users, next));
                }
                continue;
            }
            let (more, next) = shard.list_users(cursor, room)?;
            users.extend(more);
            if next.is_some() {
                return Ok((users, next));
            }
        }
        Ok((users, None))
    }

    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> u64 {
        self.0.iter().map(UserShard::user_count).sum()
    }

    /// Entries applied in all shards: grows with every write.
    #[must_use]
    pub fn applied_entries(&self) -> u64 {
        self.0.iter().map(|shard| shard.applied().index).sum()
    }

    /// Whether events wait for a track of this id to be added, by shard.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn waiting_for(&self, track: &TrackId) -> Result<Vec<bool>> {
        self.0.iter().map(|shard| shard.is_waited_for(track)).collect()
    }

    /// As [`UserShard::waited_for`], over all shards, each track once.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn waited_for(&self, cursor: Option<&TrackId>, limit: usize) -> Result<Vec<TrackId>> {
        let mut tracks = Vec::new();
        for shard in self.0.iter() {
            tracks.extend(shard.waited_for(cursor, limit)?);
        }
        if self.0.len() > 1 {
            tracks.sort_unstable();
            tracks.dedup();
            tracks.truncate(limit);
        }
        Ok(tracks)
    }

    /// Spaces and generations there are vectors of: dimension and rows, over all shards.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn generations(&self) -> Result<Vec<(SpaceName, GenerationId, u32, u64)>> {
        let mut all: BTreeMap<(SpaceName, GenerationId), (u32, u64)> = BTreeMap::new();
        for shard in self.0.iter() {
            for (space, generation, dim, rows) in shard.generations()? {
                let (known, sum) = all.entry((space, generation)).or_insert((dim, 0));
                // The dimension of a shard without rows says nothing.
                if *sum == 0 {
                    *known = dim;
                }
                *sum += rows;
            }
        }
        Ok(all.into_iter().map(|((space, generation), (dim, rows))| (space, generation, dim, rows)).collect())
    }

    /// As [`UserShard::vector_count`], over all shards.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn vector_count(&self, space: &SpaceName, generation: GenerationId) -> Result<u64> {
        self.0.iter().map(|shard| shard.vector_count(space, generation)).sum()
    }

    /// As [`UserShard::vector_sample`], over all shards.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn vector_sample(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        max: usize,
    ) -> Result<Vec<(UserId, Vec<f32>)>> {
        let mut found = Vec::new();
        for shard in self.0.iter() {
            found.extend(shard.vector_sample(space, generation, max - found.len())?);
        }
        Ok(found)
    }

    /// As [`UserShard::similar_users`], over all shards.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn similar_users(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        query: &[f32],
        k: usize,
        except: Option<&UserId>,
    ) -> Result<Vec<(UserId, f32)>> {
        let mut found = Vec::new();
        for shard in self.0.iter() {
            found.extend(shard.similar_users(space, generation, query, k, except)?);
        }
        Ok(nearest_of(found, k))
    }

    /// As [`UserShard::trend_counts`], over all shards. The newest day with a counted play anywhere decides which days count.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn trend_counts(
        &self,
        region: Option<Region>,
        from_day: i32,
        to_day: i32,
    ) -> Result<Vec<(TrackRef, u64)>> {
        let Some(newest) = self.newest_counted_day() else { return Ok(Vec::new()) };
        let from_day = from_day.max(trends::oldest_kept(newest));
        let mut all = Vec::new();
        for shard in self.0.iter() {
            all.extend(shard.trend_counts(region, from_day, to_day)?);
        }
        if self.0.len() > 1 {
            trends::sum_by_track(&mut all);
        }
        Ok(all)
    }

    /// The newest day (since the epoch) with a counted play.
    #[must_use]
    pub fn newest_counted_day(&self) -> Option<i32> {
        self.0.iter().filter_map(UserShard::newest_day).max()
    }

    /// Visits listeners in key order, each as [`UserShard::view`] gives them, until the visitor breaks. Of more than
    /// `most` listeners those of every `n`-th slot are visited, `n` the smallest power of two that brings their
    /// expected number down to `most`. One snapshot a listener: a pass may see newer listeners beside older ones.
    ///
    /// Cost: one seek and one read of the history a listener; the cache of views is neither asked nor filled.
    ///
    /// # Errors
    /// Damage, I/O; those of the visitor.
    pub fn for_each_view<E: From<UserShardError>>(
        &self,
        most: u64,
        mut visit: impl FnMut(UserView) -> std::result::Result<ControlFlow<()>, E>,
    ) -> std::result::Result<(), E> {
        let stride = self.user_count().div_ceil(most.max(1)).next_power_of_two();
        for shard in self.0.iter() {
            if shard.for_each_view(stride, &mut visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// What was derived from all listeners: the first shard keeps it for all.
    #[must_use]
    pub fn statistics(&self) -> Option<Arc<[u8]>> {
        self.0[0].statistics()
    }
}
