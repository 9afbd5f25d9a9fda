//! What comes from other nodes, before Raft sees any of it.
//!
//! `raft` trusts its messages: an unknown type, a missing entry or a gap makes it panic, and the parser of
//! protobuf 2.28 recurses as deep as a message tells it to (RUSTSEC-2024-0437). So bytes are measured, walked
//! once without recursion beyond the four known levels, parsed, and checked field by field. What a
//! message may say only in view of a replica's log is checked by `group::core`.
//!
//! Proposals are never taken from here: callers send them to the leader themselves, so that a repeated
//! message cannot become a repeated write.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, Message, MessageType};

use crate::config::ENTRY_BYTES_LIMIT;
use crate::ids::{ClusterId, StoreId};
use crate::members::{MEMBERS_MAX, MemberChange};

/// Bytes of one Raft message: an entry of the largest size, and room for what goes along.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2 * ENTRY_BYTES_LIMIT;
/// Largest term and index; above it sums might overflow.
const NUMBER_MAX: u64 = u64::MAX >> 2;

/// Why something from another node was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it is of another cluster. cluster=`{0}`")]
    OtherCluster(ClusterId),
    #[error("it is for another store, perhaps one that was here before. store=`{0}`")]
    OtherStore(StoreId),
    #[error("this store was removed from the cluster for good. store=`{0}`")]
    Removed(StoreId),
    #[error("message too large, at most {MESSAGE_BYTES_MAX} bytes. bytes=`{0}`")]
    TooLarge(usize),
    #[error("message is malformed: {0}")]
    Malformed(&'static str),
}

/// Whom something is from and for: part of every frame between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub cluster: ClusterId,
    pub from: StoreId,
    pub to: StoreId,
}

impl Address {
    /// Checks that a frame is meant for this node.
    pub fn check(&self, cluster: ClusterId, store: StoreId) -> Result<(), Refused> {
        if self.cluster != cluster {
            return Err(Refused::OtherCluster(self.cluster));
        }
        if self.to != store {
            return Err(Refused::OtherStore(self.to));
        }
        Ok(())
    }
}

/// Reads and checks a message of another node.
pub(crate) fn read_message(bytes: &[u8]) -> Result<Message, Refused> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Refused::TooLarge(bytes.len()));
    }
    walk(bytes, &MESSAGE)?;
    let message = Message::parse_from_bytes(bytes).map_err(|_| Refused::Malformed("protobuf"))?;
    check_message(&message)?;
    Ok(message)
}

/// The fields of a message that are messages themselves.
struct Shape(&'static [(u64, &'static Shape)]);

static FLAT: Shape = Shape(&[]);
static METADATA: Shape = Shape(&[(1, &FLAT)]);
static SNAPSHOT: Shape = Shape(&[(2, &METADATA)]);
static MESSAGE: Shape = Shape(&[(7, &FLAT), (9, &SNAPSHOT)]);
static CHANGE: Shape = Shape(&[(2, &FLAT)]);

/// Walks the wire format, and refuses what the parser would recurse into.
fn walk(mut bytes: &[u8], shape: &Shape) -> Result<(), Refused> {
    const CUT: Refused = Refused::Malformed("a field is cut off");
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let skipped = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            5 => 4,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| CUT)?;
                let inner = bytes.get(..length).ok_or(CUT)?;
                if let Some((_, shape)) = shape.0.iter().find(|(field, _)| *field == tag >> 3) {
                    walk(inner, shape)?;
                }
                length
            }
            _ => return Err(Refused::Malformed("a field of a kind that is not used")),
        };
        bytes = bytes.get(skipped..).ok_or(CUT)?;
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Refused> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(Refused::Malformed("a number is cut off"))?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Refused::Malformed("a number is too long"))
}

fn ensure(holds: bool, what: &'static str) -> Result<(), Refused> {
    if holds { Ok(()) } else { Err(Refused::Malformed(what)) }
}

fn check_message(message: &Message) -> Result<(), Refused> {
    // The parser keeps an enum value it does not know as an unknown field, and the field at its default.
    let unknown =
        |fields: &protobuf::UnknownFields| fields.fields.as_ref().is_some_and(|map| !map.is_empty());
    ensure(!unknown(message.get_unknown_fields()), "it has fields of another version")?;
    ensure(message.from != 0 && message.to != 0 && message.from != message.to, "peer ids")?;
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ];
    ensure(numbers.iter().all(|number| *number <= NUMBER_MAX), "a number is out of range")?;
    let entries = &message.entries;
    ensure(!entries.iter().any(|entry| unknown(entry.get_unknown_fields())), "an entry of another version")?;
    let is_append = message.get_msg_type() == MessageType::MsgAppend;
    match message.get_msg_type() {
        MessageType::MsgAppend => {
            // Raft takes term 0 for that of any entry it does not have.
            let placed = message.log_term != 0 || message.index == 0;
            ensure(message.term != 0 && placed, "an append without a term")?;
            check_entries(message)?;
        }
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => {
            let answer = message.get_msg_type() == MessageType::MsgReadIndexResp;
            ensure(!answer || message.term != 0, "a read index without a term")?;
            ensure(entries.len() == 1 && entries[0].data.len() <= 64, "a read index without its context")?;
        }
        MessageType::MsgSnapshot => check_snapshot(message)?,
        MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow => {
            ensure(message.term != 0, "a message without a term")?;
        }
        _ => return Err(Refused::Malformed("a message of a kind that nodes do not send")),
    }
    let has_snapshot = message.has_snapshot() && message.get_msg_type() != MessageType::MsgSnapshot;
    ensure(!has_snapshot, "a snapshot in a message of another kind")?;
    let read = matches!(message.get_msg_type(), MessageType::MsgReadIndex | MessageType::MsgReadIndexResp);
    ensure(entries.is_empty() || is_append || read, "entries in a message of another kind")
}

fn check_entries(message: &Message) -> Result<(), Refused> {
    let mut term = message.log_term;
    for (index, entry) in (message.index + 1..).zip(message.entries.iter()) {
        ensure(entry.index == index, "entries with a gap")?;
        ensure(entry.term >= term && entry.term <= message.term, "entries whose terms are out of order")?;
        term = entry.term;
        check_entry(entry)?;
    }
    Ok(())
}

fn check_entry(entry: &Entry) -> Result<(), Refused> {
    match entry.get_entry_type() {
        EntryType::EntryNormal => Ok(()),
        EntryType::EntryConfChange => Err(Refused::Malformed("a membership change of an older kind")),
        EntryType::EntryConfChangeV2 => {
            walk(&entry.data, &CHANGE)?;
            let change = ConfChangeV2::parse_from_bytes(&entry.data)
                .map_err(|_| Refused::Malformed("a membership change"))?;
            ensure(change.changes.len() <= MEMBERS_MAX, "a membership change of too many members")?;
            ensure(change.changes.iter().all(|single| single.node_id != 0), "a member without an id")?;
            MemberChange::added(&entry.context).map(drop).map_err(|error| Refused::Malformed(error.0))
        }
    }
}

fn check_snapshot(message: &Message) -> Result<(), Refused> {
    let metadata = message.get_snapshot().get_metadata();
    ensure(message.term != 0 && metadata.term <= message.term, "a snapshot of a later term")?;
    ensure(metadata.index != 0 && metadata.index <= NUMBER_MAX, "a snapshot of no place")?;
    let conf = metadata.get_conf_state();
    ensure(!conf.auto_leave, "a membership that leaves by itself")?;
    for list in [&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next] {
        let mut sorted = list.clone();
        sorted.sort_unstable();
        let unique = sorted.windows(2).all(|pair| pair[0] != pair[1]);
        ensure(unique && !list.contains(&0) && list.len() <= MEMBERS_MAX, "a list of members")?;
    }
    ensure(!conf.voters.is_empty(), "a membership without voters")?;
    let votes = |peer: &u64| conf.voters.contains(peer) || conf.voters_outgoing.contains(peer);
    ensure(!conf.learners.iter().any(votes), "a learner that votes")?;
    // Whoever becomes a learner next still votes in the old half, and only there.
    let leaving = |peer: &u64| conf.voters_outgoing.contains(peer) && !conf.voters.contains(peer);
    ensure(conf.learners_next.iter().all(leaving), "a learner to be that does not vote")
}
