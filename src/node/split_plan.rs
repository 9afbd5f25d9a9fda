//! What is asked for when a user shard is split, whether that can be, and how it stands.

use segue_cluster::StoreId;
use serde::{Deserialize, Serialize};

use super::engine::Inner;
use super::placing::voters;
use super::split::group_id;
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, SplitPhase, UserSplit};
use crate::types::{SlotRange, USER_SHARDS_MAX};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRequest {
    /// `users-0`, `users-1`, …
    pub group: String,
    /// The first slot of the new shard; absent: the middle.
    pub at: Option<u16>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// How a split stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitState {
    /// It would be begun.
    Planned,
    /// The new shard is made, or its rows are copied; everything is served as before.
    Copying,
    /// The new shard serves; old rows are about to be given up.
    Switched,
    /// It is over.
    Done,
}

/// What a split does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitReport {
    /// How it stands.
    pub state: SplitState,
    /// The shard that is split.
    pub group: String,
    /// The slots it keeps: the first, and one past the last.
    pub keeps: (u16, u16),
    /// The new shard.
    pub new_group: String,
    /// The slots that gets.
    pub gets: (u16, u16),
    /// Bytes of the old shard's files.
    pub bytes: u64,
    /// Bytes of the new shard's files; 0 before there are any.
    pub new_bytes: u64,
    /// What goes with it, or stands against it, a sentence each.
    pub notes: Vec<String>,
}

impl Inner {
    /// Begins a split, or says what would be, or how it stands.
    pub(super) fn split_shard(&self, request: &SplitRequest) -> Result<SplitReport> {
        let state = self.meta.shard.state();
        let named = (0..USER_SHARDS_MAX).find(|number| format!("users-{number}") == request.group);
        let ranges = state.user_ranges();
        let owner = named.and_then(|number| Some((number, ranges.range_of(number.into())?)));
        let (parent, range) = owner.ok_or_else(|| Error::not_found("user shard", &request.group))?;
        if let Some(split) = state.user_split()
            && split.parent == parent
            && request.at.is_none_or(|at| at == split.at)
            && !self.is_founder_lost(&split)
        {
            return Ok(self.split_report(&split, None));
        }
        if let Some((child, gets)) = request.at.and_then(|at| {
            // It ends there already.
            ranges.in_order().find(|(_, next)| next.first == at && range.end == at)
        }) {
            return Ok(self.done_report(&request.group, range, child, gets));
        }
        let at = request.at.unwrap_or_else(|| match state.user_split() {
            Some(split) if split.parent == parent => split.at,
            _ => range.first + range.count().div_ceil(2),
        });
        let founder = self.founder_of(parent)?;
        let lost = state.user_split().filter(|split| self.is_founder_lost(split));
        let instead_of = lost.map(|split| split.child);
        let command = MetaCommand::BeginSplit { parent, at, founder, instead_of };
        // What the meta group would say.
        let mut would_be = (*state).clone();
        would_be.apply(command.clone()).into_result()?;
        let planned = would_be.user_split();
        let planned = planned.ok_or_else(|| Error::Internal("a split that began does not run".to_owned()))?;
        self.check_splittable(parent)?;
        if request.dry_run {
            return Ok(self.split_report(&planned, Some(SplitState::Planned)));
        }
        self.propose_meta(&command)?;
        let split = self.meta.shard.state().user_split().filter(|split| split.parent == parent);
        Ok(self.split_report(&split.unwrap_or(planned), None))
    }

    /// The store that leads a shard; 0 for a database that is alone.
    fn founder_of(&self, parent: u16) -> Result<u64> {
        let Some(peers) = &self.peers else { return Ok(0) };
        let cluster = peers.cluster()?;
        let id = group_id(parent);
        let leader = || cluster.status().leader_of(id);
        leader().map(|store| store.0).ok_or_else(|| {
            Error::Conflict(format!("users-{parent} has no leader now: try again; nothing was done"))
        })
    }

    fn is_founder_lost(&self, split: &UserSplit) -> bool {
        let Some(cluster) = self.peers.as_ref().and_then(|peers| peers.cluster().ok()) else { return false };
        let (map, founder) = (cluster.map(), StoreId(split.founder));
        let is_there = cluster.others().contains(&founder) || cluster.store() == founder;
        let is_made = map.nodes.values().any(|node| node.replicas.contains_key(&group_id(split.child)));
        split.phase == SplitPhase::Founding && !is_there && !is_made
    }

    /// Refuses what could not be carried out: to wish for it would hide the trouble.
    fn check_splittable(&self, parent: u16) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let status = peers.cluster()?.status();
        let answers =
            |store: &StoreId| status.nodes.iter().any(|node| node.store == *store && node.groups.is_ok());
        let silent = voters(&status, group_id(parent)).into_iter().find(|store| !answers(store));
        match silent {
            Some(store) => Err(Error::Conflict(format!(
                "a node that votes in users-{parent} does not answer, and the new shard needs as many: start it, or `repair` \
                 first; nothing was done. node=`{store}`"
            ))),
            None => Ok(()),
        }
    }

    fn split_report(&self, split: &UserSplit, state: Option<SplitState>) -> SplitReport {
        let ranges = self.meta.shard.state().user_ranges();
        let owner = ranges.range_of(split.parent.into());
        let first = owner.map_or(0, |range| range.first);
        let end = ranges.range_of(split.child.into()).or(owner).map_or(split.at, |range| range.end);
        let state = state.unwrap_or(match split.phase {
            SplitPhase::Founding | SplitPhase::Copying => SplitState::Copying,
            SplitPhase::Switched => SplitState::Switched,
        });
        let mut notes = vec![
            "rows are copied while everything is served; writes to the new shard's slots wait for a moment at the end".to_owned(),
            "it goes on after a restart, and cannot be taken back; no shard is moved meanwhile".to_owned(),
        ];
        if self.peers.is_some() {
            notes.push(format!(
                "users-{} is placed where users-{} is, and needs as many voters before anything is copied; with a node down it waits",
                split.child, split.parent
            ));
        }
        if state == SplitState::Planned {
            notes.push("programs from before splits do not open the database any more".to_owned());
        }
        SplitReport {
            state,
            group: format!("users-{}", split.parent),
            keeps: (first, split.at),
            new_group: format!("users-{}", split.child),
            gets: (split.at, end),
            bytes: self.bytes_of_shard(split.parent.into()),
            new_bytes: if state == SplitState::Planned { 0 } else { self.bytes_of_shard(split.child.into()) },
            notes,
        }
    }

    fn done_report(&self, group: &str, keeps: SlotRange, child: usize, gets: SlotRange) -> SplitReport {
        let parent = group.strip_prefix("users-").and_then(|number| number.parse().ok()).unwrap_or(0);
        SplitReport {
            state: SplitState::Done,
            group: group.to_owned(),
            keeps: (keeps.first, keeps.end),
            new_group: format!("users-{child}"),
            gets: (gets.first, gets.end),
            bytes: self.bytes_of_shard(parent),
            new_bytes: self.bytes_of_shard(child),
            notes: vec!["the shard ends there: nothing is to be done".to_owned()],
        }
    }
}
