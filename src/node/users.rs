//! The user shards of a node and their groups: what is written goes to the shards it belongs to, to all at the same time.
//!
//! A shard that is being split refuses what belongs to the new one for a moment. Whoever proposed it waits until the new one
//! serves, and divides it among both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use segue_cluster::GroupHandle;

use super::group::{Group, propose_all};
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::storage::user_shard::{Elsewhere, UserCommand, UserReply, UserShard, UserShards};
use crate::types::{SlotRanges, UserId};

/// How long a write waits for a new shard to take what another one has given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks whether it does.
const PAUSE: Duration = Duration::from_millis(10);
/// Pause before a shard is asked once more that is about to hear of the end of a split.
const AGAIN_PAUSE: Duration = Duration::from_millis(100);

/// The user shards and the groups they apply the logs of.
pub(super) struct UserReplicas {
    /// By number.
    pub shards: UserShards,
    /// By the same number; of every shard a database may have.
    pub groups: Vec<Group>,
}

impl UserReplicas {
    /// Puts the groups of all shards there may be together, by number, and the shards that are here.
    pub(super) fn new(
        replicas: Vec<(Group, Option<UserShard>)>,
        ranges: Arc<ArcSwap<SlotRanges>>,
        elsewhere: Option<Arc<dyn Elsewhere>>,
    ) -> Self {
        let (groups, shards): (Vec<Group>, Vec<Option<UserShard>>) = replicas.into_iter().unzip();
        let here = shards.into_iter().enumerate().filter_map(|(number, shard)| Some((number, shard?)));
        Self { shards: UserShards::ranged(here, ranges, elsewhere), groups }
    }

    /// The groups of the shards that own slots, in the order of these.
    pub(super) fn owners(&self) -> Vec<&Group> {
        self.shards.ranges().in_order().map(|(place, _)| &self.groups[place]).collect()
    }

    /// From now on a replica of a shard serves here.
    pub(super) fn serve(&self, place: usize, replica: GroupHandle, shard: UserShard) {
        self.groups[place].put(Some(replica));
        self.shards.put(place, Some(shard));
    }

    /// From now on none does.
    pub(super) fn serve_no_more(&self, place: usize) {
        self.shards.put(place, None);
        self.groups[place].put(None);
    }

    /// Rows by the shard of their user, in the order they came in.
    pub(super) fn split<T>(&self, rows: Vec<T>, user_of: impl Fn(&T) -> &UserId) -> Vec<Vec<T>> {
        if self.shards.count() == 1 {
            return vec![rows];
        }
        let mut parts: Vec<Vec<T>> = self.groups.iter().map(|_| Vec::new()).collect();
        for row in rows {
            parts[self.shards.place_of(user_of(&row))].push(row);
        }
        parts
    }

    /// Where every group stands that is here.
    pub(super) fn applied(&self) -> impl Iterator<Item = (String, u64)> {
        self.shards.here().map(|(place, shard)| (self.groups[place].name.clone(), shard.applied().index))
    }

    /// Proposes commands to shards, at most one to each, all at the same time; the replies once all are applied, in the same
    /// order, and one token for all.
    ///
    /// Each is applied whole or not at all. Mistakes that any of several shards would refuse are found before anything is proposed.
    ///
    /// # Errors
    /// `InvalidField` before anything was done. Retryable refusals and `Timeout` of the first shard that answered so: others
    /// may have done their part.
    pub(super) fn propose(&self, parts: Vec<(usize, UserCommand)>) -> Result<(Vec<UserReply>, WriteToken)> {
        if parts.len() > 1
            && let Some(reason) = parts.iter().find_map(|(_, command)| command.problem())
        {
            return Err(Error::invalid("batch", reason));
        }
        let proposals = parts.iter().map(|(shard, command)| (&self.groups[*shard], command.encode()));
        let outcomes = propose_all(proposals.collect());
        let mut replies = Vec::with_capacity(parts.len());
        let mut token = WriteToken::default();
        for ((shard, _), outcome) in parts.iter().zip(outcomes) {
            let applied = outcome?;
            token.applied.push((self.groups[*shard].name.clone(), applied.index));
            match UserReply::decode(&applied.reply)? {
                UserReply::Refused(reason) => return Err(Error::invalid("batch", reason)),
                reply => replies.push(reply),
            }
        }
        let end = Instant::now() + PATIENCE;
        for ((shard, command), reply) in parts.iter().zip(&mut replies) {
            if let UserReply::Moved { shard: new } = reply {
                *reply = self.propose_divided((*shard, usize::from(*new)), command, end, &mut token)?;
            }
        }
        Ok((replies, token))
    }

    /// Proposes a command that a shard has refused because rows of it belong to another one, once that serves; the reply as if
    /// one shard had them all.
    ///
    /// # Errors
    /// `Unavailable` when the other one does not serve in time: what was refused has not been done. As
    /// [`UserReplicas::propose`].
    fn propose_divided(
        &self,
        (old, new): (usize, usize),
        command: &UserCommand,
        end: Instant,
        token: &mut WriteToken,
    ) -> Result<UserReply> {
        let ranges = self.wait_for_owner((old, new), end)?;
        let place_of = |user: &UserId| ranges.shard_of(crate::types::slot_of(user.as_str()));
        let parts = command.divided(&place_of, &[old, new]);
        let proposals = parts.iter().map(|(shard, command)| (&self.groups[*shard], command.encode()));
        let outcomes = propose_all(proposals.collect());
        let mut replies = BTreeMap::new();
        for ((shard, part), outcome) in parts.iter().zip(outcomes) {
            let applied = outcome?;
            token.applied.push((self.groups[*shard].name.clone(), applied.index));
            let reply = match UserReply::decode(&applied.reply)? {
                UserReply::Refused(reason) => return Err(Error::invalid("batch", reason)),
                UserReply::Moved { shard: next } => {
                    self.propose_again((*shard, next.into()), part, &ranges, end, token)?
                }
                reply => reply,
            };
            replies.insert(*shard, reply);
        }
        command.joined(&place_of, replies).ok_or_else(|| {
            Error::Internal(format!(
                "user shards left rows unanswered. group=`users-{old}`, new=`users-{new}`"
            ))
        })
    }

    /// Proposes a part that was refused once more: it is divided further if another split has taken rows of it; otherwise the
    /// shard has still to hear that the split is over, and takes it then.
    fn propose_again(
        &self,
        (shard, mut next): (usize, usize),
        part: &UserCommand,
        ranges: &SlotRanges,
        end: Instant,
        token: &mut WriteToken,
    ) -> Result<UserReply> {
        loop {
            if ranges.range_of(next).is_none() {
                return self.propose_divided((shard, next), part, end, token);
            }
            if Instant::now() >= end {
                return Err(being_split(shard, next));
            }
            std::thread::sleep(AGAIN_PAUSE);
            let applied = self.groups[shard].propose(part.encode())?;
            token.applied.push((self.groups[shard].name.clone(), applied.index));
            match UserReply::decode(&applied.reply)? {
                UserReply::Refused(reason) => return Err(Error::invalid("batch", reason)),
                UserReply::Moved { shard: other } => next = other.into(),
                reply => return Ok(reply),
            }
        }
    }

    fn wait_for_owner(&self, (old, new): (usize, usize), end: Instant) -> Result<Arc<SlotRanges>> {
        loop {
            let ranges = self.shards.ranges();
            if ranges.range_of(new).is_some() && Instant::now() < end {
                return Ok(ranges);
            }
            if Instant::now() >= end {
                return Err(being_split(old, new));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The same of parts of one batch; the sum of what was counted.
    pub(super) fn propose_counted(&self, parts: Vec<(usize, UserCommand)>) -> Result<(u64, WriteToken)> {
        let (replies, token) = self.propose(parts)?;
        let mut sum = 0;
        for reply in replies {
            match reply {
                UserReply::Done(count) => sum += count,
                other => return Err(unexpected(&other)),
            }
        }
        Ok((sum, token))
    }
}

fn being_split(old: usize, new: usize) -> Error {
    Error::Unavailable(format!(
        "a user shard is being split: send it again in a moment. group=`users-{old}`, new=`users-{new}`"
    ))
}

/// Parts with rows as commands.
pub(super) fn commands<T, C: Into<UserCommand>>(
    parts: Vec<Vec<T>>,
    command: impl Fn(Vec<T>) -> C,
) -> Vec<(usize, UserCommand)> {
    let parts = parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    parts.map(|(shard, rows)| (shard, command(rows).into())).collect()
}

pub(super) fn unexpected(reply: &UserReply) -> Error {
    Error::Internal(format!("unexpected reply of a user shard: {reply:?}"))
}
