//! Vectors of users: stored by space and generation, read by user, and scanned for similar users.

use std::{cmp::Ordering, collections::BinaryHeap, ops::ControlFlow};

use super::{
    apply::Entry,
    command::UserReply,
    engine::Snapshot,
    error::{Result, UserShardError},
    garbage::Garbage,
    keys,
    rows::{GenerationRow, decode_vector, encode_vector},
    shard::UserShard,
    value::damaged,
};
use crate::types::{Deadline, GenerationId, Slot, SpaceName, UserId};

/// Vectors that are looked at between two looks at the clock.
const DEADLINE_EVERY: u32 = 1_024;

/// All generations there were ever vectors of.
pub(super) fn generations(snapshot: &Snapshot<'_>) -> Result<Vec<(SpaceName, u32, GenerationRow)>> {
    let mut found = Vec::new();
    snapshot.scan_prefix(&[keys::GENERATION], |key, value| {
        let row = GenerationRow::decode(value).map_err(|what| damaged(key, what))?;
        let (space, generation) =
            keys::parse_generation(key).ok_or_else(|| damaged(key, "key is malformed"))?;
        found.push((space, generation, row));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

impl Entry<'_> {
    fn generation(&self, space: &SpaceName, generation: u32) -> Result<Option<GenerationRow>> {
        let key = keys::generation(space, generation);
        let stored = self.engine.get(&key)?;
        stored.map(|value| GenerationRow::decode(&value).map_err(|what| damaged(&key, what))).transpose()
    }

    pub(super) fn upsert_vectors(
        &mut self,
        space: &SpaceName,
        generation: GenerationId,
        rows: &[(UserId, Vec<f32>)],
    ) -> Result<UserReply> {
        let Some((_, first)) = rows.first() else { return Ok(UserReply::Done(0)) };
        let dim = u32::try_from(first.len()).unwrap_or(u32::MAX);
        let mut row =
            self.generation(space, generation.0)?.unwrap_or(GenerationRow { dim, rows: 0, dropped: false });
        if row.dropped {
            return Ok(UserReply::Refused(format!(
                "generation was dropped. space=`{space}`, generation=`{generation}`"
            )));
        }
        if row.rows > 0 && row.dim != dim {
            let expected = row.dim;
            return Ok(UserReply::Refused(format!(
                "vector has a wrong dimension. space=`{space}`, generation=`{generation}`, \
                 expected=`{expected}`, found=`{dim}`"
            )));
        }
        let mut seen = std::collections::HashSet::new();
        let mut new = 0;
        for (user, vector) in rows {
            let key = keys::vector(space, generation.0, &keys::user(user));
            new += u64::from(seen.insert(user) && self.engine.get(&key)?.is_none());
            self.writes.put(key, encode_vector(vector));
        }
        row = GenerationRow { dim, rows: row.rows + new, dropped: false };
        self.writes.put(keys::generation(space, generation.0), row.encode());
        Ok(UserReply::Done(new))
    }

    pub(super) fn delete_vectors(
        &mut self,
        space: &SpaceName,
        generation: GenerationId,
        users: &[UserId],
    ) -> Result<UserReply> {
        let Some(mut row) = self.generation(space, generation.0)?.filter(|row| !row.dropped) else {
            return Ok(UserReply::Done(0));
        };
        let mut removed = 0;
        for user in users.iter().collect::<std::collections::BTreeSet<_>>() {
            let key = keys::vector(space, generation.0, &keys::user(user));
            if self.engine.get(&key)?.is_some() {
                self.writes.delete(key);
                removed += 1;
            }
        }
        row.rows -= removed;
        self.writes.put(keys::generation(space, generation.0), row.encode());
        Ok(UserReply::Done(removed))
    }

    pub(super) fn drop_generation(
        &mut self,
        space: &SpaceName,
        generation: GenerationId,
        garbage: &mut Garbage,
    ) -> Result<UserReply> {
        let stored = self.generation(space, generation.0)?;
        let row = stored.unwrap_or(GenerationRow { dim: 0, rows: 0, dropped: false });
        if row.dropped {
            return Ok(UserReply::Done(0));
        }
        let dropped = GenerationRow { rows: 0, dropped: true, ..row };
        self.writes.put(keys::generation(space, generation.0), dropped.encode());
        garbage.drop_generation(space, generation.0);
        Ok(UserReply::Done(row.rows))
    }
}

/// A user with a score; the better one is the greater one: higher score, then smaller id.
#[derive(Debug, PartialEq)]
struct Scored {
    score: f32,
    user: UserId,
}

impl Eq for Scored {}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.user.cmp(&self.user))
    }
}

/// The `k` best of what several shards found, best first, ties by id.
pub(super) fn nearest_of(found: Vec<(UserId, f32)>, k: usize) -> Vec<(UserId, f32)> {
    let mut all: Vec<Scored> = found.into_iter().map(|(user, score)| Scored { score, user }).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.truncate(k);
    all.into_iter().map(|found| (found.user, found.score)).collect()
}

impl UserShard {
    /// A user's vector.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn vector(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        user: &UserId,
    ) -> Result<Option<Vec<f32>>> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        if !live(&snapshot, space, generation)? {
            return Ok(None);
        }
        let key = keys::vector(space, generation.0, &keys::user(user));
        let Some(stored) = snapshot.get(&key)? else { return Ok(None) };
        let vector = decode_vector(&stored).map_err(|what| damaged(&key, what))?;
        Ok(Some(vector.collect()))
    }

    /// The first `max` users with a vector, in key order, and their vectors. Keys begin with the slot, a hash of the id:
    /// the first ones are as good a sample as any, and the same one for the same state.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn vector_sample(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        max: usize,
    ) -> Result<Vec<(UserId, Vec<f32>)>> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let mut found = Vec::new();
        if max == 0 || !live(&snapshot, space, generation)? {
            return Ok(found);
        }
        let prefix = keys::vectors(space, generation.0);
        snapshot.scan(&prefix, &self.vectors_end(&prefix), |key, value| {
            let vector = decode_vector(value).map_err(|what| damaged(key, what))?;
            let user = key.get(prefix.len()..).and_then(keys::user_id_of);
            found.push((user.ok_or_else(|| damaged(key, "key is malformed"))?, vector.collect()));
            Ok(if found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    /// Where the vectors of the last slot that is read end.
    fn vectors_end(&self, prefix: &[u8]) -> Vec<u8> {
        [prefix, &keys::slot(Slot(self.end))[..]].concat()
    }

    /// The `k` users whose vectors have the largest cosine with `query`, best first, ties by id; `except` is left
    /// out, and so are zero vectors and vectors of another dimension. A zero query finds nobody.
    ///
    /// Exact: reads every vector of the generation, O(n · dim); sums are in `f64` in one fixed order.
    ///
    /// # Errors
    /// Damage, I/O; `Late` soon after the deadline has passed.
    pub fn similar_users(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        query: &[f32],
        k: usize,
        except: Option<&UserId>,
        deadline: Deadline,
    ) -> Result<Vec<(UserId, f32)>> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let query: Vec<f64> = query.iter().copied().map(f64::from).collect();
        let norm = query.iter().map(|x| x * x).sum::<f64>().sqrt();
        if k == 0 || !norm.is_normal() || !live(&snapshot, space, generation)? {
            return Ok(Vec::new());
        }
        let prefix = keys::vectors(space, generation.0);
        let mut best = BinaryHeap::new();
        let mut looked_at = 0_u32;
        snapshot.scan(&prefix, &self.vectors_end(&prefix), |key, value| {
            if looked_at.is_multiple_of(DEADLINE_EVERY) {
                deadline.check().map_err(|error| UserShardError::Late { source: Box::new(error) })?;
            }
            looked_at += 1;
            let vector = decode_vector(value).map_err(|what| damaged(key, what))?;
            let Some(score) = cosine(&query, norm, vector) else { return Ok(ControlFlow::Continue(())) };
            let user = key.get(prefix.len()..).and_then(keys::user_id_of);
            let user = user.ok_or_else(|| damaged(key, "key is malformed"))?;
            if Some(&user) != except {
                best.push(std::cmp::Reverse(Scored { score, user }));
                if best.len() > k {
                    best.pop();
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(best.into_sorted_vec().into_iter().map(|found| (found.0.user, found.0.score)).collect())
    }
}

pub(super) fn row_of(
    snapshot: &Snapshot<'_>,
    space: &SpaceName,
    generation: GenerationId,
) -> Result<Option<GenerationRow>> {
    let key = keys::generation(space, generation.0);
    let stored = snapshot.get(&key)?;
    stored.map(|value| GenerationRow::decode(&value).map_err(|what| damaged(&key, what))).transpose()
}

fn live(snapshot: &Snapshot<'_>, space: &SpaceName, generation: GenerationId) -> Result<bool> {
    Ok(row_of(snapshot, space, generation)?.is_some_and(|row| !row.dropped))
}

fn cosine(query: &[f64], query_norm: f64, vector: impl ExactSizeIterator<Item = f32>) -> Option<f32> {
    if vector.len() != query.len() {
        return None;
    }
    let (mut dot, mut square) = (0.0, 0.0);
    for (a, b) in query.iter().zip(vector) {
        let b = f64::from(b);
        dot += a * b;
        square += b * b;
    }
    let norm = square.sqrt();
    norm.is_normal().then(|| (dot / (query_norm * norm)) as f32)
}
