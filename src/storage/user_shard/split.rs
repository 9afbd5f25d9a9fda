//! A shard that gives a part of its slots to another one, and the shard that gets them: what each knows of it, and the entries
//! that change that. The whole way is in `docs/adr/0022`.
//!
//! Rows go from the *parent* to the *child* as they are stored. The parent notes every key of that part that is written
//! from [`SplitOp::BeginSplit`](super::SplitOp::BeginSplit) on, so that the child can be told what has changed since it was told
//! of a row.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize, rancor, util::AlignedVec};

use super::{
    command::{UserCommand, UserOp, UserReply},
    engine::Snapshot,
    error::Result,
    keys,
    value::{self, damaged},
};
use crate::types::{SLOTS, SlotRange, SpaceName, UserId, slot_of};

/// Vectors by space and generation.
pub(super) type VectorCounts = [(SpaceName, u32, u64)];

/// What a shard knows of splits; written once there was one.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct SplitState {
    /// One past the last slot that means something here: rows of later ones were given away, and are being removed.
    pub end: u16,
    /// Who got those last.
    pub given_to: u16,
    /// The shard has become whole by an import: there is no second one.
    pub was_child: bool,
    /// What is under way.
    pub role: SplitRole,
}

/// A shard's part in a split that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum SplitRole {
    /// None.
    Whole,
    /// It gives slots away.
    Parent(Parting),
    /// It gets its rows, and serves nobody.
    Child(Import),
}

/// How far a parent has come.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Parting {
    /// Who gets the slots.
    pub child: u16,
    /// From which slot on.
    pub at: u16,
    /// The entry since which changed keys are noted.
    pub since: u64,
    /// The stage.
    pub stage: PartingStage,
}

/// The stage of a parent.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum PartingStage {
    /// It takes writes, and notes what they change.
    Noting,
    /// It refuses writes to what it gives away.
    Frozen,
    /// The child has everything, and counts so much of it.
    HandedOver {
        /// Listeners.
        users: u64,
        /// Vectors by space and generation.
        vectors: Vec<(SpaceName, u32, u64)>,
    },
}

/// How far a child has come.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Import {
    /// Who gives the rows.
    pub parent: u16,
    /// The number of the next batch of rows; another one is not taken.
    pub step: u64,
    /// What has been taken.
    pub place: ImportPlace,
}

/// What of a parent's rows has been taken.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum ImportPlace {
    /// Its rows up to this key; empty: none.
    Rows(Vec<u8>),
    /// All of them, and what its notes up to this one say; empty: none of those.
    Notes(Vec<u8>),
}

impl Default for SplitState {
    fn default() -> Self {
        Self { end: SLOTS, given_to: 0, was_child: false, role: SplitRole::Whole }
    }
}

impl SplitState {
    pub(super) fn encode(&self) -> Vec<u8> {
        let payload = rkyv::to_bytes::<rancor::Error>(self).expect("plain data serialises into memory");
        value::seal(&payload)
    }

    pub(super) fn decode(stored: &[u8]) -> std::result::Result<Self, &'static str> {
        let mut aligned = AlignedVec::<16>::new();
        aligned.extend_from_slice(value::open(stored)?);
        rkyv::from_bytes::<Self, rancor::Error>(&aligned)
            .map_err(|_| "what is known of splits cannot be decoded")
    }

    /// Reads it; the default when there never was a split.
    pub(super) fn read(snapshot: &Snapshot<'_>) -> Result<Self> {
        let stored = snapshot.get(&keys::SPLIT)?;
        let state = stored.map_or(Ok(Self::default()), |value| Self::decode(&value));
        state.map_err(|what| damaged(&keys::SPLIT, what))
    }

    /// The parent's side, if it gives slots to this child.
    #[must_use]
    pub fn parting_with(&self, child: u16) -> Option<&Parting> {
        match &self.role {
            SplitRole::Parent(parting) if parting.child == child => Some(parting),
            _ => None,
        }
    }

    /// Whether rows are still being taken in.
    #[must_use]
    pub fn is_importing(&self) -> bool {
        matches!(self.role, SplitRole::Child(_))
    }

    /// The slots whose changed keys are noted.
    pub(super) fn noted(&self) -> Option<SlotRange> {
        match &self.role {
            SplitRole::Parent(Parting { at, stage: PartingStage::Noting | PartingStage::Frozen, .. }) => {
                Some(SlotRange { first: *at, end: self.end })
            }
            _ => None,
        }
    }

    /// From which slot on nothing may be written, and who takes it, or will in a moment.
    pub(super) fn closed_from(&self) -> Option<(u16, u16)> {
        match &self.role {
            SplitRole::Parent(Parting { stage: PartingStage::Noting, .. }) | SplitRole::Whole => {
                (self.end < SLOTS).then_some((self.end, self.given_to))
            }
            SplitRole::Parent(Parting { at, child, .. }) => Some((*at, *child)),
            SplitRole::Child(Import { parent, .. }) => Some((0, *parent)),
        }
    }

    /// Whether a listener's rows may not be written.
    pub(super) fn is_closed(&self, user: &UserId) -> bool {
        self.closed_from().is_some_and(|(first, _)| slot_of(user.as_str()).0 >= first)
    }

    /// The shard that takes a command instead of this one, now or in a moment; `None` when this one does.
    ///
    /// While slots are closed and not yet given up, what concerns all slots of the shard is refused, too: it has to come
    /// to both shards.
    pub(super) fn refuses(&self, command: &UserCommand) -> Option<u16> {
        let (_, other) = self.closed_from()?;
        if matches!(command.op, UserOp::Split(_)) {
            return None;
        }
        let is_about_all = command.load.is_some() || matches!(command.op, UserOp::DropGeneration { .. });
        let is_refused = self.is_importing()
            || (is_about_all && self.is_frozen())
            || command.op.users().any(|user| self.is_closed(user));
        is_refused.then_some(other)
    }

    /// Whether a part of the slots takes no writes any more and is still here.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        matches!(
            &self.role,
            SplitRole::Parent(Parting { stage: PartingStage::Frozen | PartingStage::HandedOver { .. }, .. })
        )
    }

    /// Vectors and listeners that are counted here and were given to the child already, as somebody sees it who looks at the
    /// slots before `end` only.
    pub(super) fn given(&self, end: u16) -> Option<(u64, &VectorCounts)> {
        match &self.role {
            SplitRole::Parent(Parting { at, stage: PartingStage::HandedOver { users, vectors }, .. })
                if end <= *at =>
            {
                Some((*users, vectors.as_slice()))
            }
            _ => None,
        }
    }
}

impl SplitState {
    /// [`SplitState::given`] of one generation.
    pub(super) fn given_vectors(&self, end: u16, space: &SpaceName, generation: u32) -> u64 {
        let vectors = self.given(end).map_or(&[][..], |(_, vectors)| vectors);
        vectors
            .iter()
            .find(|(of, number, _)| of == space && *number == generation)
            .map_or(0, |(.., rows)| *rows)
    }
}

/// Whether a row belongs to who gets a range of slots: rows of its listeners; loads and generations belong to both.
pub(super) fn goes_with(key: &[u8], range: SlotRange) -> bool {
    match key.first() {
        Some(&(keys::LOAD | keys::GENERATION)) => true,
        _ => keys::slot_of_row(key).is_some_and(|slot| range.contains(slot)),
    }
}

impl UserOp {
    /// Whose rows it is about, with repetitions.
    pub(super) fn users(&self) -> Box<dyn Iterator<Item = &UserId> + '_> {
        match self {
            Self::UpsertUsers(users) => Box::new(users.iter().map(|user| &user.user_id)),
            Self::DeleteUsers(users) | Self::DeleteVectors { users, .. } => Box::new(users.iter()),
            Self::Record(events) | Self::RecordShown(events, _) => {
                Box::new(events.iter().map(|event| &event.user))
            }
            Self::RecordByTime(timed) => Box::new(timed.events.iter().map(|event| &event.user)),
            Self::RecordLists(listed) => Box::new(listed.timed.events.iter().map(|event| &event.user)),
            Self::RecordPlays(batch) => Box::new(batch.users.iter()),
            Self::UpsertVectors { rows, .. } => Box::new(rows.iter().map(|(user, _)| user)),
            Self::Nothing
            | Self::DropGeneration { .. }
            | Self::ResolveTracks(_)
            | Self::PutStatistics(_)
            | Self::Split(_) => Box::new(std::iter::empty()),
        }
    }
}

/// A step was taken, or had been before.
pub(super) fn done(now: bool) -> UserReply {
    UserReply::Done(u64::from(now))
}

pub(super) fn refused(what: &str, child: u16) -> UserReply {
    UserReply::Refused(format!("{what}. child=`users-{child}`"))
}
