//! Who is in a group: Raft's membership, which store each member is on, and the entry that made it so.
//!
//! A membership is written to the log with the index of its entry, in one atomic write, before the state
//! machine is given anything behind that entry. After a restart the entries up to that index are not
//! applied to the membership again, however old the state machine's own files are; so a checkpoint need not know
//! about members, and a change is never applied twice (etcd#12582).

use std::collections::BTreeMap;

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use crate::codec::{Malformed, Reader, Writer};
use crate::ids::{PeerId, StoreId};

/// Members a group may have, learners included; more in a message or a file is damage.
pub(crate) const MEMBERS_MAX: usize = 64;

/// The membership of a group as of one entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Members {
    /// The entry that made it; entries up to it do not change it again.
    pub index: u64,
    pub conf_state: ConfState,
    /// Where each member is.
    pub stores: BTreeMap<u64, StoreId>,
}

/// One change of a group's membership; a group has at most one under way.
///
/// A replica is replaced in five steps: `AddLearner`, wait until it has caught up, `Enter`, `Leave`,
/// `RemoveLearner`. A voter is never removed at once: were its node to vanish in the middle of the joint
/// membership, its old majority might be gone with it (cockroach#42251).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberChange {
    /// Adds a replica that receives entries and does not vote.
    AddLearner {
        /// The new replica.
        peer: PeerId,
        /// Where it is.
        store: StoreId,
    },
    /// Enters the joint membership in which `promote` becomes a voter and `demote` a learner.
    Enter {
        /// A learner that has caught up.
        promote: Option<PeerId>,
        /// A voter that is not the leader.
        demote: Option<PeerId>,
    },
    /// Leaves the joint membership.
    Leave,
    /// Removes a learner.
    RemoveLearner {
        /// The learner.
        peer: PeerId,
    },
}

impl Members {
    /// Makes the membership a group starts with.
    pub fn bootstrap(index: u64, voters: &[(PeerId, StoreId)]) -> Self {
        let mut conf_state = ConfState::default();
        conf_state.set_voters(voters.iter().map(|(peer, _)| peer.0).collect());
        Self { index, conf_state, stores: voters.iter().map(|(peer, store)| (peer.0, *store)).collect() }
    }

    /// Returns every member, voting or not, ascending.
    pub fn peers(&self) -> Vec<u64> {
        let conf = &self.conf_state;
        let lists = [&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next];
        let mut peers: Vec<u64> = lists.iter().flat_map(|list| list.iter().copied()).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    pub fn contains(&self, peer: PeerId) -> bool {
        self.peers().contains(&peer.0)
    }

    pub fn is_voter(&self, peer: u64) -> bool {
        self.conf_state.voters.contains(&peer) || self.conf_state.voters_outgoing.contains(&peer)
    }

    pub fn is_joint(&self) -> bool {
        !self.conf_state.voters_outgoing.is_empty()
    }

    /// Takes over the outcome of the change at `index`.
    pub fn change(&mut self, index: u64, conf_state: ConfState, added: Option<(PeerId, StoreId)>) {
        self.index = index;
        self.conf_state = conf_state;
        self.stores.extend(added.map(|(peer, store)| (peer.0, store)));
        let peers = self.peers();
        self.stores.retain(|peer, _| peers.contains(peer));
    }

    /// Writes everything but Raft's own part: index and stores.
    pub fn encode_stores(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.index);
        out.u32(self.stores.len() as u32);
        for (peer, store) in &self.stores {
            out.u64(*peer);
            out.u64(store.0);
        }
        out.0
    }

    /// Joins the two parts.
    ///
    /// # Errors
    /// When the bytes are not what [`Members::encode_stores`] writes.
    pub fn decode_stores(conf_state: ConfState, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let index = reader.u64()?;
        let count = reader.count(MEMBERS_MAX)?;
        let stores =
            (0..count).map(|_| Ok((reader.u64()?, StoreId(reader.u64()?)))).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { index, conf_state, stores })
    }

    /// Writes everything. Not with protobuf: its parser must not see what came unchecked in an offer.
    pub fn encode(&self, out: &mut Writer) {
        out.bytes(&self.encode_stores());
        let conf = &self.conf_state;
        for list in [&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next] {
            out.u32(list.len() as u32);
            list.iter().for_each(|peer| out.u64(*peer));
        }
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are not what [`Members::encode`] writes, or nobody votes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let stores = reader.bytes()?;
        let mut list = || -> Result<Vec<u64>, Malformed> {
            let count = reader.count(MEMBERS_MAX)?;
            (0..count).map(|_| reader.u64()).collect()
        };
        let mut conf_state = ConfState::default();
        conf_state.set_voters(list()?);
        conf_state.set_learners(list()?);
        conf_state.set_voters_outgoing(list()?);
        conf_state.set_learners_next(list()?);
        if conf_state.voters.is_empty() {
            return Err(Malformed("a membership without voters"));
        }
        Self::decode_stores(conf_state, stores)
    }
}

impl MemberChange {
    /// Returns the change as Raft proposes it. Joint memberships are left explicitly: Raft's own
    /// automatic way forgets to when the leader changes (etcd#12136).
    pub(crate) fn to_raft(self) -> ConfChangeV2 {
        let mut change = ConfChangeV2::default();
        let singles = match self {
            Self::AddLearner { peer, .. } => vec![(ConfChangeType::AddLearnerNode, peer)],
            Self::RemoveLearner { peer } => vec![(ConfChangeType::RemoveNode, peer)],
            Self::Leave => Vec::new(),
            Self::Enter { promote, demote } => {
                change.set_transition(ConfChangeTransition::Explicit);
                let promote = promote.map(|peer| (ConfChangeType::AddNode, peer));
                promote.into_iter().chain(demote.map(|peer| (ConfChangeType::AddLearnerNode, peer))).collect()
            }
        };
        for (kind, peer) in singles {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = peer.0;
            change.mut_changes().push(single);
        }
        change
    }

    /// Writes what Raft's change does not say, for the entry's context.
    pub(crate) fn context(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.0.push(CHANGE);
        if let Self::AddLearner { peer, store } = self {
            out.u64(peer.0);
            out.u64(store.0);
        }
        out.0
    }

    /// Reads it back: who was added, and where.
    pub(crate) fn added(context: &[u8]) -> Result<Option<(PeerId, StoreId)>, Malformed> {
        match context {
            [CHANGE] => Ok(None),
            [CHANGE, rest @ ..] => {
                let mut reader = Reader(rest);
                let added = (PeerId(reader.u64()?), StoreId(reader.u64()?));
                reader.end()?;
                Ok(Some(added))
            }
            _ => Err(Malformed("a membership change of an unknown kind")),
        }
    }
}

/// First byte of a membership change's context.
const CHANGE: u8 = 3;
