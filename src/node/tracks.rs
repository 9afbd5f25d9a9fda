//! The track shards of a database and their groups: what is written goes to the shards it belongs to, to all at the same time,
//! wherever they are.
//!
//! Which shard owns which slots its own state says, so that whoever looks at a version of all shards sees every track once,
//! in the middle of a split, too. A write that meets a split is refused whole by the shard, waits, and is divided anew.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use segue_cluster::GroupId;

use super::far_tracks::{FarTrack, FarTracks};
use super::group::{Group, propose_all};
use super::track_owners::{Owner, TrackOwners};
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::storage::track_shard::command::{TrackCommand, TrackReply};
use crate::storage::track_shard::{TrackShard, TrackView, decode_reply, encode, owners};
use crate::types::ShardId;

/// How long a call waits for a split that is about to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(2);
/// The same at a shard elsewhere.
const FAR_PAUSE: Duration = Duration::from_millis(20);

/// One track shard and the group it applies the log of.
pub(super) struct TrackPart {
    pub group: Group,
    pub shard: Arc<TrackShard>,
    /// Another node needs a checkpoint to begin with.
    pub checkpoint_wanted: Arc<AtomicBool>,
}

/// Those that are here, also ones that are being made by a split, in the order of their numbers; and where the others are asked.
pub(super) struct TrackReplicas {
    here: ArcSwap<Vec<Arc<TrackPart>>>,
    /// `None` for a database that is alone.
    far: Option<Arc<FarTracks>>,
}

/// A command that a shard has still to take.
struct Asked {
    /// Its place among those that were asked for.
    original: usize,
    /// Places of its rows in that one, where it is a part of it.
    rows: Option<Vec<u64>>,
    owner: Owner,
    /// The slots that the shard had when rows were divided.
    slots: (u16, u16),
    command: TrackCommand,
}

impl TrackReplicas {
    /// Puts those that are here together, in order.
    pub(super) fn new(parts: Vec<Arc<TrackPart>>, far: Option<Arc<FarTracks>>) -> Self {
        assert!(!parts.is_empty() || far.is_some(), "a database has at least one track shard");
        Self { here: ArcSwap::from_pointee(parts), far }
    }

    /// Takes one in, unless it is there.
    pub(super) fn add(&self, part: Arc<TrackPart>) {
        self.here.rcu(|parts| {
            let mut parts = Vec::clone(parts);
            if parts.iter().all(|known| known.group.id() != part.group.id()) {
                parts.push(Arc::clone(&part));
                parts.sort_by_key(|part| part.shard.shard);
            }
            parts
        });
    }

    /// From now on one serves here no more.
    pub(super) fn serve_no_more(&self, part: &TrackPart) {
        self.here.rcu(|parts| {
            let mut parts = Vec::clone(parts);
            parts.retain(|known| known.group.id() != part.group.id());
            parts
        });
        part.group.put(None);
    }

    /// Each that is here, in order.
    pub(super) fn parts(&self) -> Arc<Vec<Arc<TrackPart>>> {
        self.here.load_full()
    }

    /// Whether the database has one, and it is here.
    pub(super) fn is_only_one(&self) -> bool {
        self.here.load().len() == 1 && self.elsewhere().is_empty()
    }

    /// Where shards on other nodes are asked; `None` for a database that is alone.
    pub(super) fn far(&self) -> Option<&Arc<FarTracks>> {
        self.far.as_ref()
    }

    /// Those that have their places and do not serve here.
    pub(super) fn elsewhere(&self) -> Vec<Arc<FarTrack>> {
        let here = self.here.load();
        let is_here = |shard: ShardId| here.iter().any(|part| part.shard.shard == shard);
        self.far.as_ref().map_or_else(Vec::new, |far| far.elsewhere(is_here))
    }

    /// One that is here, by its group.
    pub(super) fn of_group(&self, group: GroupId) -> Option<Arc<TrackPart>> {
        self.here.load().iter().find(|part| part.group.id() == group).cloned()
    }

    /// The newest version of each that is here, of those that own nothing, too.
    pub(super) fn all_views(&self) -> Vec<Arc<TrackView>> {
        self.here.load().iter().map(|part| part.shard.view()).collect()
    }

    /// Who owns what now.
    ///
    /// # Errors
    /// `Unavailable` when a new shard does not get here in time what its parent has given away, or nothing is known yet of one on
    /// other nodes.
    pub(super) fn owners(&self) -> Result<TrackOwners> {
        let end = patience();
        loop {
            if let Some(owners) = self.owners_now()? {
                return Ok(owners);
            }
            if Instant::now() >= end {
                return Err(unowned());
            }
            match (&self.far, self.elsewhere()) {
                (Some(far), shards) if !shards.is_empty() => {
                    far.look_for(&shards, || Ok(self.owners_now()?.is_none()))?;
                }
                _ => {}
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The same for whoever must not miss a shard that was split off a moment ago: one hears of those elsewhere first.
    ///
    /// # Errors
    /// As [`TrackReplicas::owners`].
    pub(super) fn newest_owners(&self) -> Result<TrackOwners> {
        if let Some(far) = &self.far {
            far.look_at(&self.elsewhere());
        }
        self.owners()
    }

    /// The same; `None` while some slots have no owner.
    fn owners_now(&self) -> Result<Option<TrackOwners>> {
        let parts = self.parts();
        let is_here = |shard: ShardId| parts.iter().any(|part| part.shard.shard == shard);
        let mut all: Vec<Owner> = parts.iter().cloned().map(Owner::Here).collect();
        if let Some(far) = &self.far {
            all.extend(far.elsewhere(is_here).into_iter().map(Owner::Elsewhere));
            all.sort_by_key(Owner::shard);
        }
        let view = |owner: &Owner| match (owner, &self.far) {
            (Owner::Elsewhere(shard), Some(far)) => far.view(shard),
            (Owner::Elsewhere(_), None) => Err(no_others()),
            (Owner::Here(part), _) => Ok(Some(part.shard.view())),
        };
        // One after the other: a parent before its child.
        let views: Option<Vec<Arc<TrackView>>> = all.iter().map(view).collect::<Result<_>>()?;
        let Some(views) = views else { return Ok(None) };
        if views.iter().all(|view| view.was_never_split(views.len())) {
            return Ok(Some(TrackOwners::new(all, views)));
        }
        let places = owners(&views);
        Ok(places.map(|places| {
            let owning = places.iter().map(|place| all[*place].clone()).collect();
            TrackOwners::new(owning, places.iter().map(|place| Arc::clone(&views[*place])).collect())
        }))
    }

    /// Where every group stands that is here.
    pub(super) fn applied(&self) -> Vec<(String, u64)> {
        let applied = |part: &Arc<TrackPart>| (part.group.name.clone(), part.shard.view().applied_index);
        self.here.load().iter().filter(|part| !part.shard.is_new()).map(applied).collect()
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
            let (owner, slots) = (owners.owner(place).clone(), owners.slots(place));
            asked.push(Asked { original, rows: None, owner, slots, command });
        }
        let mut token = WriteToken::default();
        let end = Instant::now() + PATIENCE;
        while !asked.is_empty() {
            let proposals: Vec<_> = asked
                .iter()
                .map(|asked| Ok((asked.owner.group(), encode(&asked.command)?)))
                .collect::<Result<_>>()?;
            let outcomes = propose_all(proposals);
            let mut moved = Vec::new();
            for (asked, outcome) in asked.into_iter().zip(outcomes) {
                let applied = outcome?;
                token.applied.push((asked.owner.group().name.clone(), applied.index));
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
            self.wait_for_split(&asked.owner, end)?;
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
                let (owner, slots) = (owners.owner(place).clone(), owners.slots(place));
                again.push(Asked { original, rows, owner, slots, command });
            }
        }
        Ok(again)
    }

    /// Waits until a shard that refused something gives no slots away.
    ///
    /// # Errors
    /// `Unavailable` when that takes too long, or the shard cannot be asked: what was refused has not been done.
    pub(super) fn wait_for_split(&self, owner: &Owner, end: Instant) -> Result<()> {
        loop {
            let (parting, pause) = match (owner, &self.far) {
                (Owner::Here(part), _) => (part.shard.view().parting(), PAUSE),
                (Owner::Elsewhere(shard), Some(far)) => (far.newest(shard)?.parting(), FAR_PAUSE),
                (Owner::Elsewhere(_), None) => return Err(no_others()),
            };
            if Instant::now() >= end {
                let new =
                    parting.map_or_else(String::new, |parting| format!(", new=`tracks-{}`", parting.child));
                return Err(being_split(owner, &new));
            }
            if parting.is_none() {
                return Ok(());
            }
            std::thread::sleep(pause);
        }
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

/// Some slots have no owner yet.
pub(super) fn unowned() -> Error {
    Error::Unavailable("a new track shard is still coming: try again in a moment".to_owned())
}

fn no_others() -> Error {
    Error::Internal("no other node is known".to_owned())
}

fn being_split(owner: &Owner, new: &str) -> Error {
    Error::Unavailable(format!(
        "a track shard is being split: send it again in a moment. group=`{}`{new}",
        owner.group().name
    ))
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
