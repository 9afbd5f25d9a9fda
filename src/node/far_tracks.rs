//! Track shards on other nodes: whoever holds one is asked.
//!
//! A request first asks for the outline of each, behind a read point of the holder: everything that was acknowledged before is in
//! it. Further questions of the request say which version that was, and whoever has come as far may answer. What was heard last is
//! kept, so that a shard of which nobody answers can still be named. Whoever takes versions of several shards holds them
//! against each other: a shard may have been split since its slots were heard of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use segue_cluster::{Call, GroupId, StoreId};

use super::ask_tracks::{ASK_TRACKS, Asked, REST_OF_TRACKS, Seen, kind_of, read_first_piece, rest_question};
use super::group::Group;
use super::holders::{FarCall, Holders};
use super::open::TRACKS;
use super::open_tracks::{group_id, known};
use super::rests::{ANSWER_BYTES_MAX, FirstPiece};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::tracks::{ShardVersion, TrackAnswer, TrackQuestion, TracksElsewhere};
use crate::storage::meta::{MetaState, MetaStore, ShardKind, SplitPhase};
use crate::storage::track_shard::{Outline, TrackView};
use crate::types::{Deadline, ShardId, TRACK_SHARDS_MAX};

/// How long a question may take: an election, and some.
const ASK_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a look in the background may take: an election, and some. A shard of which nothing is heard for so long is asked no
/// more until one hears of it again.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// Times a question is asked whose answer broke off in the middle.
const ATTEMPTS: usize = 2;

/// Where track shards are asked that are not here.
pub(super) struct FarTracks {
    holders: Arc<Holders>,
    meta: MetaStore,
    /// By number, of every shard a database may have.
    shards: Vec<Arc<FarTrack>>,
    /// One looks for what is not known, for all who wait for it.
    turn: Mutex<()>,
}

/// A track shard on other nodes.
pub(super) struct FarTrack {
    pub shard: ShardId,
    pub group: Group,
    last: ArcSwapOption<Heard>,
    /// Nobody answered the last look in the background. Requests do not decide this: one that has no time learns nothing.
    is_silent: AtomicBool,
}

/// What was heard of a shard.
struct Heard {
    outline: Outline,
    view: Arc<TrackView>,
}

/// Asks for the version that a request began with, or a newer one.
struct AtVersion {
    far: Arc<FarTracks>,
    seen: Seen,
}

impl TracksElsewhere for AtVersion {
    fn ask(&self, shard: u16, question: &TrackQuestion, deadline: Deadline) -> Result<TrackAnswer> {
        self.far.ask(shard, question, Some(self.seen), share(deadline))
    }
}

/// One shard may take a half of what is left, so that there is time to do without it.
fn share(deadline: Deadline) -> Duration {
    deadline.left().map_or(ASK_TIMEOUT, |left| (left / 2).min(ASK_TIMEOUT))
}

impl FarTracks {
    /// Asks `holders`.
    pub(super) fn new(holders: Arc<Holders>, meta: MetaStore) -> Self {
        let shard = |number: u16| {
            let name = ShardKind::Tracks.name(number);
            let group = Group::elsewhere(name, group_id(number), Some(Arc::clone(&holders.cluster)));
            let (last, is_silent) = (ArcSwapOption::empty(), false.into());
            Arc::new(FarTrack { shard: ShardId(number), group, last, is_silent })
        };
        let shards = (0..TRACK_SHARDS_MAX).map(shard).collect();
        Self { holders, meta, shards, turn: Mutex::default() }
    }

    /// The shards that have their places and are not among those that serve here, in order; but for one that has still to be
    /// founded.
    pub(super) fn elsewhere(&self, is_here: impl Fn(ShardId) -> bool) -> Vec<Arc<FarTrack>> {
        let map = self.holders.cluster.map();
        let groups = GroupId(TRACKS)..GroupId(TRACKS + u64::from(TRACK_SHARDS_MAX));
        let numbers = map.placements.range(groups).map(|(group, _)| group.0 - TRACKS);
        let shards = numbers.filter_map(|number| self.shards.get(usize::try_from(number).ok()?));
        let mut shards: Vec<Arc<FarTrack>> = shards.filter(|shard| !is_here(shard.shard)).cloned().collect();
        if !shards.is_empty() {
            let founded = founded(&self.meta.state());
            shards.retain(|shard| founded.contains(&shard.shard.0));
        }
        shards
    }

    /// What a shard's slots and numbers are, as was heard last; `None` when that is not known yet.
    ///
    /// # Errors
    /// `Unavailable` when nobody answered when one looked.
    pub(super) fn view(&self, shard: &FarTrack) -> Result<Option<Arc<TrackView>>> {
        match self.heard(shard)? {
            Some(heard) => Ok(Some(Arc::clone(&heard.view))),
            None if shard.is_silent.load(Ordering::Relaxed) => Err(unknown(shard)),
            None => Ok(None),
        }
    }

    /// What is known of a shard. One of the beginning that was never split has the slots it has always had, and one that a split
    /// makes has none before one hears of it: then its parent has them, or they are missed, and looked for.
    fn heard(&self, shard: &FarTrack) -> Result<Option<Arc<Heard>>> {
        if let Some(heard) = shard.last.load_full() {
            return Ok(Some(heard));
        }
        let state = self.meta.state();
        let created_with = known(&state).unwrap_or(1);
        let was_split = state.track_shard_numbers().len() != usize::from(created_with);
        if shard.shard.0 < created_with && was_split {
            return Ok(None);
        }
        let outline = Outline::unheard(shard.shard, created_with);
        let view = Arc::new(outline.view()?);
        Ok(Some(Arc::new(Heard { outline, view })))
    }

    /// Looks at shards, unless somebody who was faster has found what is missing meanwhile.
    ///
    /// # Errors
    /// Those of `is_missed`.
    pub(super) fn look_for(
        &self,
        shards: &[Arc<FarTrack>],
        is_missed: impl FnOnce() -> Result<bool>,
    ) -> Result<()> {
        let _turn = self.turn.lock();
        if is_missed()? {
            self.look_at(shards);
        }
        Ok(())
    }

    /// Takes note of what a shard is, unless something newer was heard.
    ///
    /// # Errors
    /// `Internal` when it is of another shard, or of none.
    fn remember(&self, shard: &FarTrack, outline: &Outline) -> Result<()> {
        let created_with = known(&self.meta.state()).unwrap_or(1);
        if outline.shard != shard.shard.0 || outline.shards != created_with {
            return Err(Error::Internal(format!(
                "another node answered for another track shard. asked=`{}`, answered=`{}`",
                shard.shard, outline.shard
            )));
        }
        if shard.last.load().as_ref().is_some_and(|last| last.outline == *outline) {
            return Ok(());
        }
        let view = outline.view().map_err(|error| Error::Internal(error.to_string()))?;
        let heard = Arc::new(Heard { outline: outline.clone(), view: Arc::new(view) });
        shard.last.rcu(|last| match last {
            Some(last) if last.outline.applied_index > outline.applied_index => Some(Arc::clone(last)),
            _ => Some(Arc::clone(&heard)),
        });
        Ok(())
    }

    /// [`FarTracks::remember`] of one that is about to be elsewhere.
    ///
    /// # Errors
    /// As there.
    pub(super) fn remember_own(&self, number: u16, outline: &Outline) -> Result<()> {
        self.shards.get(usize::from(number)).map_or(Ok(()), |shard| self.remember(shard, outline))
    }

    /// The version of a shard that a request begins with: the newest, or as it was when somebody answered.
    ///
    /// # Errors
    /// What is no passing trouble of other nodes; `Unavailable` when nothing is known of it.
    pub(super) fn version(self: &Arc<Self>, shard: &FarTrack, deadline: Deadline) -> Result<ShardVersion> {
        match self.outline(shard, share(deadline)) {
            Ok(outline) => {
                let seen = Seen { index: outline.applied_index, slots: outline.view()?.slots() };
                let at = AtVersion { far: Arc::clone(self), seen };
                Ok(ShardVersion::Elsewhere(outline, Arc::new(at)))
            }
            Err(_) if deadline.passed() => Err(deadline.error()),
            Err(error) if is_passing(&error) => {
                tracing::debug!(%error, "a track shard on other nodes is missing");
                let heard = self.heard(shard)?.ok_or_else(|| unknown(shard))?;
                Ok(ShardVersion::Missing(heard.outline.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// The newest outline of a shard.
    ///
    /// # Errors
    /// As [`FarTracks::ask`].
    pub(super) fn newest(&self, shard: &FarTrack) -> Result<Outline> {
        self.outline(shard, ASK_TIMEOUT)
    }

    fn outline(&self, shard: &FarTrack, timeout: Duration) -> Result<Outline> {
        let answer = self.ask(shard.shard.0, &TrackQuestion::Outline, None, timeout)?;
        self.take_outline(shard, answer)
    }

    fn take_outline(&self, shard: &FarTrack, answer: TrackAnswer) -> Result<Outline> {
        let TrackAnswer::Outline(outline) = answer else { return Err(something_else(shard.shard)) };
        self.remember(shard, &outline)?;
        Ok(outline)
    }

    /// Has a holder of a shard answer, from everything that was acknowledged before.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Exhausted` when nobody can be asked in time; others as they were there.
    pub(super) fn ask_now(&self, shard: &FarTrack, question: &TrackQuestion) -> Result<TrackAnswer> {
        self.ask(shard.shard.0, question, None, ASK_TIMEOUT)
    }

    fn ask(
        &self,
        number: u16,
        question: &TrackQuestion,
        seen: Option<Seen>,
        timeout: Duration,
    ) -> Result<TrackAnswer> {
        let unknown = || Error::Internal(format!("no such track shard. shard=`{number}`"));
        let shard = self.shards.get(usize::from(number)).ok_or_else(unknown)?;
        if shard.is_silent.load(Ordering::Relaxed) {
            return Err(Error::Unavailable(format!("nobody answers for {}", shard.group.name)));
        }
        self.ask_holders(shard, question, seen, timeout)
    }

    fn ask_holders(
        &self,
        shard: &FarTrack,
        question: &TrackQuestion,
        seen: Option<Seen>,
        timeout: Duration,
    ) -> Result<TrackAnswer> {
        let end = Instant::now() + timeout;
        let asked = Asked::new(shard.shard.0, seen, question.encode());
        let request = |left: Duration| asked.encode(left);
        let mut outcome = Err(Error::Timeout { ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) });
        for _ in 0..ATTEMPTS {
            let timeout = end.saturating_duration_since(Instant::now());
            if timeout.is_zero() {
                break;
            }
            let (group, kind) = (shard.group.id(), kind_of(question));
            let call = FarCall { group, topic: ASK_TRACKS, kind, request: &request, timeout };
            let (holder, answer) = self.holders.call(&call)?;
            outcome = self.whole(holder, &answer, end);
            if !outcome.as_ref().is_err_and(is_passing) {
                break;
            }
        }
        TrackAnswer::decode(&outcome?).map_err(|error| unreadable(&error))
    }

    /// All pieces of an answer, of which the first has come.
    fn whole(&self, holder: StoreId, first: &[u8], end: Instant) -> Result<Vec<u8>> {
        let FirstPiece { mut bytes, len, name } =
            read_first_piece(first).map_err(|error| unreadable(&error))?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > ANSWER_BYTES_MAX || bytes.len() > len {
            return Err(Error::Internal(format!("an answer about tracks is too large. bytes=`{len}`")));
        }
        while bytes.len() < len {
            let request = rest_question(name, bytes.len() as u64)?;
            let timeout = end.saturating_duration_since(Instant::now());
            let call = Call { to: holder, topic: REST_OF_TRACKS, request, timeout };
            let piece = self.holders.cluster.call(call).map_err(Error::Unavailable)?;
            if piece.is_empty() || piece.len() > len - bytes.len() {
                return Err(Error::Internal("an answer about tracks ends before its end".to_owned()));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Hears of shards that are not here what they are now, and whether anybody answers for them, leader and all.
    pub(super) fn look_at(&self, shards: &[Arc<FarTrack>]) {
        let look = |shard: &Arc<FarTrack>| {
            let answer = self.ask_holders(shard, &TrackQuestion::Outline, None, LOOK_TIMEOUT);
            let heard = answer.and_then(|answer| self.take_outline(shard, answer));
            shard.is_silent.store(heard.is_err(), Ordering::Relaxed);
            if let Err(error) = heard {
                tracing::debug!(%error, group = shard.group.name, "nothing was heard of a track shard");
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = shards.iter().map(|shard| scope.spawn(|| look(shard))).collect();
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
    }
}

/// The numbers of all track shards but one that has still to be founded: its founder makes it, and nobody else.
pub(super) fn founded(state: &MetaState) -> Vec<u16> {
    let mut numbers = state.track_shard_numbers();
    let founding = state.track_split().filter(|split| split.phase == SplitPhase::Founding);
    numbers.retain(|number| founding.is_none_or(|split| split.child != *number));
    numbers
}

fn unknown(shard: &FarTrack) -> Error {
    Error::Unavailable(format!(
        "nothing is known of a track shard on other nodes yet: try again when one of them answers. group=`{}`",
        shard.group.name
    ))
}

/// Another node may answer, or this one later.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Exhausted)
}

fn unreadable(error: &Error) -> Error {
    Error::Internal(format!("the answer of another node about tracks cannot be read: {error}"))
}

pub(super) fn something_else(shard: ShardId) -> Error {
    Error::Internal(format!("a track shard answered something else. shard=`{shard}`"))
}
