//! The track shards of a node and their groups: what is written goes to the shards it belongs to, to all at the same time.
//! Every node holds all of them.
//!
//! Which shard owns which slots its own state says, so that whoever looks at a version of all shards sees every track once,
//! in the middle of a split, too. A write that meets a split is refused whole by the shard, waits, and is divided anew.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use segue_cluster::GroupId;

use super::group::{Group, propose_all};
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::storage::track_shard::command::{TrackCommand, TrackReply};
use crate::storage::track_shard::{TrackShard, TrackView, decode_reply, encode, home_place, owners};
use crate::storage::user_shard::EventTrack;
use crate::types::{TrackId, TrackRef};

/// How long a call waits for a split that is about to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// One track shard and the group it applies the log of.
pub(super) struct TrackPart {
    pub group: Group,
    pub shard: Arc<TrackShard>,
    /// Another node needs a checkpoint to begin with.
    pub checkpoint_wanted: Arc<AtomicBool>,
}

/// All of them, those that are being made, too, in the order of their numbers; never none.
pub(super) struct TrackReplicas(ArcSwap<Vec<Arc<TrackPart>>>);

/// The shards that own slots, in the order of these, each with its newest version; together they have every slot once.
pub(super) struct TrackOwners {
    parts: Arc<Vec<Arc<TrackPart>>>,
    views: Vec<Arc<TrackView>>,
}

/// A command that a shard has still to take.
struct Asked {
    /// Its place among those that were asked for.
    original: usize,
    /// Places of its rows in that one, where it is a part of it.
    rows: Option<Vec<u64>>,
    part: Arc<TrackPart>,
    /// The slots that the shard had when rows were divided.
    slots: (u16, u16),
    command: TrackCommand,
}

impl TrackReplicas {
    /// Puts all there are together, in order.
    pub(super) fn new(parts: Vec<TrackPart>) -> Self {
        assert!(!parts.is_empty(), "a database has at least one track shard");
        Self(ArcSwap::from_pointee(parts.into_iter().map(Arc::new).collect()))
    }

    /// Takes a new one in, unless it is there. It owns nothing yet.
    pub(super) fn add(&self, part: TrackPart) {
        let part = Arc::new(part);
        self.0.rcu(|parts| {
            let mut parts = Vec::clone(parts);
            if parts.iter().all(|known| known.group.id() != part.group.id()) {
                parts.push(Arc::clone(&part));
                parts.sort_by_key(|part| part.shard.shard);
            }
            parts
        });
    }

    /// Each, in order.
    pub(super) fn parts(&self) -> Arc<Vec<Arc<TrackPart>>> {
        self.0.load_full()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.load().len()
    }

    /// The first, which says of what dimension a space without generations is. It keeps slot 0 for ever.
    pub(super) fn first(&self) -> Arc<TrackPart> {
        Arc::clone(&self.0.load()[0])
    }

    /// One by its group.
    pub(super) fn of_group(&self, group: GroupId) -> Option<Arc<TrackPart>> {
        self.0.load().iter().find(|part| part.group.id() == group).cloned()
    }

    /// The newest version of each, of those that own nothing, too.
    pub(super) fn all_views(&self) -> Vec<Arc<TrackView>> {
        self.0.load().iter().map(|part| part.shard.view()).collect()
    }

    /// Who owns what now.
    ///
    /// # Errors
    /// `Unavailable` when a new shard does not get here in time what its parent has given away.
    pub(super) fn owners(&self) -> Result<TrackOwners> {
        let start = Instant::now();
        loop {
            let parts = self.parts();
            // One after the other: a parent before its child.
            let views: Vec<Arc<TrackView>> = parts.iter().map(|part| part.shard.view()).collect();
            if views.iter().all(|view| view.was_never_split(views.len())) {
                return Ok(TrackOwners { parts, views });
            }
            if let Some(places) = owners(&views) {
                let owning = places.iter().map(|place| Arc::clone(&parts[*place])).collect();
                return Ok(TrackOwners {
                    parts: Arc::new(owning),
                    views: places.iter().map(|place| Arc::clone(&views[*place])).collect(),
                });
            }
            if start.elapsed() >= PATIENCE {
                return Err(Error::Unavailable(
                    "a new track shard is still coming to this node: try again in a moment".to_owned(),
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The newest version of each that owns slots.
    ///
    /// # Errors
    /// As [`TrackReplicas::owners`].
    pub(super) fn views(&self) -> Result<Vec<Arc<TrackView>>> {
        self.owners().map(|owners| owners.views)
    }

    /// The newest version of the shard that an id belongs to.
    ///
    /// # Errors
    /// As [`TrackReplicas::owners`].
    pub(super) fn view_of(&self, id: &TrackId) -> Result<Arc<TrackView>> {
        let owners = self.owners()?;
        Ok(Arc::clone(&owners.views[owners.place_of(id.as_str())]))
    }

    /// Where every group stands.
    pub(super) fn applied(&self) -> Vec<(String, u64)> {
        let applied = |part: &Arc<TrackPart>| (part.group.name.clone(), part.shard.view().applied_index);
        self.0.load().iter().filter(|part| !part.shard.is_new()).map(applied).collect()
    }

    /// Proposes commands to shards, at most one to each, all at the same time; the replies once all are applied, in the same
    /// order, and one token for all. Each is applied whole or not at all.
    ///
    /// A command that meets a split is divided anew behind it. One that cannot be is answered `Moved`, and nothing of it is done.
    ///
    /// # Errors
    /// Retryable refusals and `Timeout` of the first shard that answered so: others may have done their part.
    pub(super) fn propose(
        &self,
        owners: &TrackOwners,
        parts: Vec<(usize, TrackCommand)>,
    ) -> Result<(Vec<TrackReply>, WriteToken)> {
        let mut replies: Vec<Option<TrackReply>> = parts.iter().map(|_| None).collect();
        let mut asked: Vec<Asked> = Vec::with_capacity(parts.len());
        for (original, (place, command)) in parts.into_iter().enumerate() {
            let (part, slots) = (Arc::clone(&owners.parts[place]), owners.views[place].slots());
            asked.push(Asked { original, rows: None, part, slots, command });
        }
        let mut token = WriteToken::default();
        let end = Instant::now() + PATIENCE;
        while !asked.is_empty() {
            let proposals: Vec<_> = asked
                .iter()
                .map(|asked| Ok((&asked.part.group, encode(&asked.command)?)))
                .collect::<Result<_>>()?;
            let outcomes = propose_all(proposals);
            let mut moved = Vec::new();
            for (asked, outcome) in asked.into_iter().zip(outcomes) {
                let applied = outcome?;
                token.applied.push((asked.part.group.name.clone(), applied.index));
                match decode_reply(&applied.reply)? {
                    TrackReply::Moved => moved.push(asked),
                    reply => join(&mut replies[asked.original], reply, asked.rows.as_deref()),
                }
            }
            asked = self.divide_anew(moved, end, &mut replies)?;
        }
        let gone = || Error::Internal("track shards left rows unanswered".to_owned());
        let replies = replies.into_iter().map(|reply| reply.ok_or_else(gone)).collect::<Result<_>>()?;
        Ok((replies, token))
    }

    /// Divides refused commands among those that own their slots by now.
    fn divide_anew(
        &self,
        moved: Vec<Asked>,
        end: Instant,
        replies: &mut [Option<TrackReply>],
    ) -> Result<Vec<Asked>> {
        let mut again = Vec::new();
        for asked in moved {
            wait_for_split(&asked.part, end)?;
            let owners = self.owners()?;
            let Asked { original, rows, slots, command, .. } = asked;
            let heirs = owners.places_within(slots);
            let Some(parts) = command.divided(&|id| owners.place_of(id.as_str()), &heirs) else {
                replies[original] = Some(TrackReply::Moved);
                continue;
            };
            for (place, own, command) in parts {
                let row = |own: u64| match (&rows, usize::try_from(own)) {
                    (Some(rows), Ok(at)) => rows.get(at).copied().unwrap_or(own),
                    _ => own,
                };
                let rows = Some(own.into_iter().map(row).collect());
                let (part, slots) = (Arc::clone(&owners.parts[place]), owners.views[place].slots());
                again.push(Asked { original, rows, part, slots, command });
            }
        }
        Ok(again)
    }

    /// The same of parts of one batch; the sum of what was counted.
    pub(super) fn propose_counted(
        &self,
        owners: &TrackOwners,
        parts: Vec<(usize, TrackCommand)>,
    ) -> Result<(u64, WriteToken)> {
        let (replies, token) = self.propose(owners, parts)?;
        let mut sum = 0;
        for reply in &replies {
            match reply {
                TrackReply::Done(count) => sum += count,
                other => return Err(unexpected(other)),
            }
        }
        Ok((sum, token))
    }
}

impl TrackOwners {
    /// Each with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<TrackPart>)> {
        self.parts.iter().enumerate()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.parts.len()
    }

    /// Whether these are the same shards; of what version is another matter.
    pub(super) fn are_those_of(&self, other: &Self) -> bool {
        self.groups().map(Group::id).eq(other.groups().map(Group::id))
    }

    /// The versions.
    pub(super) fn views(&self) -> &[Arc<TrackView>] {
        &self.views
    }

    /// Versions and names of their groups.
    pub(super) fn into_named_views(self) -> (Vec<Arc<TrackView>>, Vec<String>) {
        let names = self.parts.iter().map(|part| part.group.name.clone()).collect();
        (self.views, names)
    }

    /// The groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.parts.iter().map(|part| &part.group)
    }

    /// Which an id belongs to.
    pub(super) fn place_of(&self, id: &str) -> usize {
        home_place(&self.views, id)
    }

    /// Those whose slots are all of a range.
    fn places_within(&self, (first, end): (u16, u16)) -> Vec<usize> {
        let is_within = |view: &Arc<TrackView>| first <= view.slots().0 && view.slots().1 <= end;
        (0..self.views.len()).filter(|place| is_within(&self.views[*place])).collect()
    }

    /// The name of the track that an id was given, whether or not it still exists.
    pub(super) fn find(&self, id: &TrackId) -> Option<TrackRef> {
        let view = &self.views[self.place_of(id.as_str())];
        Some(view.reference(view.ordinal_of(id.as_str())?))
    }

    /// Where a track is, and how long it lasts; by id when it is not known (yet).
    pub(super) fn event_track(&self, id: &TrackId) -> (EventTrack, Option<u32>) {
        let view = &self.views[self.place_of(id.as_str())];
        match view.ordinal_of(id.as_str()) {
            Some(ordinal) => {
                let duration_ms = Some(view.hot(ordinal).duration_ms).filter(|ms| *ms > 0);
                (EventTrack::Resolved(view.reference(ordinal)), duration_ms)
            }
            None => (EventTrack::Unknown(id.clone()), None),
        }
    }

    /// Rows by the shard of their track, in the order they came in.
    pub(super) fn split<T>(&self, rows: Vec<T>, id_of: impl Fn(&T) -> &TrackId) -> Vec<Vec<T>> {
        if self.parts.len() == 1 {
            return vec![rows];
        }
        let mut parts: Vec<Vec<T>> = self.parts.iter().map(|_| Vec::new()).collect();
        for row in rows {
            parts[self.place_of(id_of(&row).as_str())].push(row);
        }
        parts
    }
}

/// Waits until a shard that refused something gives no slots away.
///
/// # Errors
/// `Unavailable` when that takes too long: what was refused has not been done.
pub(super) fn wait_for_split(part: &TrackPart, end: Instant) -> Result<()> {
    loop {
        let parting = part.shard.view().parting();
        if Instant::now() >= end {
            let new = parting.map_or_else(String::new, |parting| format!(", new=`tracks-{}`", parting.child));
            return Err(Error::Unavailable(format!(
                "a track shard is being split: send it again in a moment. group=`{}`{new}",
                part.group.name
            )));
        }
        if parting.is_none() {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

/// How long a call waits for a split from now on.
pub(super) fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// Adds the reply to a part of a command to those of its other parts; `rows` are the places of the part's rows in the whole.
fn join(known: &mut Option<TrackReply>, reply: TrackReply, rows: Option<&[u64]>) {
    let reply = match (reply, rows) {
        (TrackReply::UnknownTrack { row }, Some(rows)) => {
            let place = usize::try_from(row).ok().and_then(|row| rows.get(row).copied());
            TrackReply::UnknownTrack { row: place.unwrap_or(row) }
        }
        (reply, _) => reply,
    };
    *known = Some(match (known.take(), reply) {
        (None, reply) => reply,
        (Some(TrackReply::Done(some)), TrackReply::Done(more)) => TrackReply::Done(some + more),
        (Some(TrackReply::Done(_)), refused) => refused,
        (Some(refused), _) => refused,
    });
}

/// Parts with rows as commands.
pub(super) fn commands<T>(
    parts: Vec<Vec<T>>,
    command: impl Fn(Vec<T>) -> TrackCommand,
) -> Vec<(usize, TrackCommand)> {
    let parts = parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    parts.map(|(place, rows)| (place, command(rows))).collect()
}

pub(super) fn unexpected(reply: &TrackReply) -> Error {
    Error::Internal(format!("unexpected reply of a track shard: {reply:?}"))
}
