//! What is asked for when a shard is split, whether that can be, and how it stands.

use segue_cluster::{GroupId, StoreId};
use serde::{Deserialize, Serialize};

use super::engine::Inner;
use super::moving::{check_settled, voters};
use super::split_places::group_of;
use super::stop_points::{SPLIT_CHECKED, hold_point};
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, ShardKind, ShardSplit, SplitPhase};
use crate::types::SlotRange;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRequest {
    /// `users-0`, `users-1`, `tracks-0`, …
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
    /// The new shard is made, or its rows are copied or handed over; everything is served as before.
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

/// A shard that can be split, by its kind and number.
#[derive(Clone, Copy)]
struct Named {
    kind: ShardKind,
    number: u16,
}

impl Named {
    /// Takes a name such as `users-0` apart.
    fn parse(name: &str) -> Option<Self> {
        let of = |kind: ShardKind| {
            let number = (0..kind.most()).find(|number| kind.name(number) == name)?;
            Some(Self { kind, number })
        };
        of(ShardKind::Users).or_else(|| of(ShardKind::Tracks))
    }

    fn group(self, number: u16) -> GroupId {
        group_of(self.kind, number)
    }

    fn begin(self, at: u16, founder: u64, instead_of: Option<u16>) -> MetaCommand {
        let parent = self.number;
        match self.kind {
            ShardKind::Tracks => MetaCommand::BeginTrackSplit { parent, at, founder, instead_of },
            ShardKind::Users => MetaCommand::BeginSplit { parent, at, founder, instead_of },
        }
    }
}

impl Inner {
    /// Begins a split, or says what would be, or how it stands.
    pub(super) fn split_shard(&self, request: &SplitRequest) -> Result<SplitReport> {
        let state = self.meta.shard.state();
        let named = Named::parse(&request.group);
        let owner =
            named.and_then(|named| Some((named, state.ranges(named.kind).range_of(named.number.into())?)));
        let (named, range) = owner.ok_or_else(|| Error::not_found("shard", &request.group))?;
        let ranges = state.ranges(named.kind);
        if let Some(split) = state.split(named.kind)
            && split.parent == named.number
            && request.at.is_none_or(|at| at == split.at)
            && !self.is_founder_lost(named, &split)
        {
            return Ok(self.split_report(named, &split, None));
        }
        if let Some((child, gets)) = request.at.and_then(|at| {
            // It ends there already.
            ranges.in_order().find(|(_, next)| next.first == at && range.end == at)
        }) {
            return Ok(self.done_report(named, range, child, gets));
        }
        let at = request.at.unwrap_or_else(|| match state.split(named.kind) {
            Some(split) if split.parent == named.number => split.at,
            _ => range.first + range.count().div_ceil(2),
        });
        let founder = self.founder_of(named)?;
        let lost = state.split(named.kind).filter(|split| self.is_founder_lost(named, split));
        let command = named.begin(at, founder, lost.map(|split| split.child));
        // What the meta group would say.
        let mut would_be = (*state).clone();
        would_be.apply(command.clone()).into_result()?;
        let planned = would_be.split(named.kind);
        let planned = planned.ok_or_else(|| Error::Internal("a split that began does not run".to_owned()))?;
        self.check_splittable(named)?;
        if request.dry_run {
            return Ok(self.split_report(named, &planned, Some(SplitState::Planned)));
        }
        hold_point(SPLIT_CHECKED);
        self.propose_meta(&command)?;
        let split = self.meta.shard.state().split(named.kind).filter(|split| split.parent == named.number);
        Ok(self.split_report(named, &split.unwrap_or(planned), None))
    }

    /// The store that leads a shard; 0 for a database that is alone.
    fn founder_of(&self, named: Named) -> Result<u64> {
        let Some(peers) = &self.peers else { return Ok(0) };
        let leader = peers.cluster()?.status().leader_of(named.group(named.number));
        leader.map(|store| store.0).ok_or_else(|| {
            let name = named.kind.name(named.number);
            Error::Conflict(format!("{name} has no leader now: try again; nothing was done"))
        })
    }

    fn is_founder_lost(&self, named: Named, split: &ShardSplit) -> bool {
        let Some(cluster) = self.peers.as_ref().and_then(|peers| peers.cluster().ok()) else { return false };
        let (map, founder) = (cluster.map(), StoreId(split.founder));
        let is_there = cluster.others().contains(&founder) || cluster.store() == founder;
        let is_made = map.nodes.values().any(|node| node.replicas.contains_key(&named.group(split.child)));
        split.phase == SplitPhase::Founding && !is_there && !is_made
    }

    /// Refuses what could not be carried out: to wish for it would hide the trouble.
    fn check_splittable(&self, named: Named) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        self.catch_up_map()?;
        let status = peers.cluster()?.status();
        let answers =
            |store: &StoreId| status.nodes.iter().any(|node| node.store == *store && node.groups.is_ok());
        let voters = voters(&status, named.group(named.number));
        match voters.into_iter().find(|store| !answers(store)) {
            Some(store) => Err(Error::Conflict(format!(
                "a node that votes in {} does not answer, and the new shard needs as many: start it, or `repair` first; nothing was \
                 done. node=`{store}`",
                named.kind.name(named.number)
            ))),
            // The split would wait for whoever is on the way, and nobody could be sent elsewhere meanwhile.
            None => check_settled(&status, named.group(named.number)),
        }
    }

    fn split_report(&self, named: Named, split: &ShardSplit, state: Option<SplitState>) -> SplitReport {
        let ranges = self.meta.shard.state().ranges(named.kind);
        let owner = ranges.range_of(split.parent.into());
        let first = owner.map_or(0, |range| range.first);
        let end = ranges.range_of(split.child.into()).or(owner).map_or(split.at, |range| range.end);
        let state = state.unwrap_or(match split.phase {
            SplitPhase::Founding | SplitPhase::Copying => SplitState::Copying,
            SplitPhase::Switched => SplitState::Switched,
        });
        let new_bytes = if state == SplitState::Planned { 0 } else { self.bytes_of(named.kind, split.child) };
        SplitReport {
            state,
            group: named.kind.name(split.parent),
            keeps: (first, split.at),
            new_group: named.kind.name(split.child),
            gets: (split.at, end),
            bytes: self.bytes_of(named.kind, split.parent),
            new_bytes,
            notes: self.split_notes(named.kind, split, state),
        }
    }

    fn split_notes(&self, kind: ShardKind, split: &ShardSplit, state: SplitState) -> Vec<String> {
        let (parent, child) = (kind.name(split.parent), kind.name(split.child));
        let mut notes = vec![match kind {
            ShardKind::Tracks => "the new shard begins with the files of the old one, which both keep until they merge them; writes to its slots, and loads, wait meanwhile".to_owned(),
            ShardKind::Users => "rows are copied while everything is served; writes to the new shard's slots wait for a moment at the end".to_owned(),
        }];
        notes.push(
            "it goes on after a restart, and cannot be taken back; no shard is moved meanwhile".to_owned(),
        );
        if self.peers.is_some() {
            let (needs, begins) = match kind {
                ShardKind::Tracks => ("members", "handed over"),
                ShardKind::Users => ("voters", "copied"),
            };
            notes.push(format!(
                "{child} is placed where {parent} is, and needs as many {needs} before anything is {begins}; with a node of these down it waits"
            ));
        }
        if state == SplitState::Planned {
            notes.push("programs from before splits do not open the database any more".to_owned());
        }
        notes
    }

    fn done_report(&self, named: Named, keeps: SlotRange, child: usize, gets: SlotRange) -> SplitReport {
        let child = u16::try_from(child).unwrap_or(u16::MAX);
        SplitReport {
            state: SplitState::Done,
            group: named.kind.name(named.number),
            keeps: (keeps.first, keeps.end),
            new_group: named.kind.name(child),
            gets: (gets.first, gets.end),
            bytes: self.bytes_of(named.kind, named.number),
            new_bytes: self.bytes_of(named.kind, child),
            notes: vec!["the shard ends there: nothing is to be done".to_owned()],
        }
    }
}
