//! Events that wait for tracks: they are moved into their listeners' histories when the track is there.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::catalog::user_error;
use super::engine::Inner;
use super::users::commands;
use crate::error::{ErrorKind, Result};
use crate::pipeline::request::WriteToken;
use crate::storage::user_shard::UserOp;
use crate::types::{TrackId, TrackRef};

/// Tracks that are looked up at once among those that events wait for; also bounds the log entry.
const WAITING_PAGE: usize = 1_024;
/// How often a node looks for events that wait for tracks which are there: a page of each shard it leads.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// Where the look through what waits for tracks goes on.
#[derive(Default)]
pub(super) struct ResolveCursor {
    last: Option<Instant>,
    /// The last track that was looked at, by shard; none where the look begins anew.
    after: BTreeMap<usize, TrackId>,
}

impl Inner {
    /// Moves events that waited for those of these tracks that are there into their listeners' histories; the token of
    /// that, empty when there were none. Events in shards on other nodes that cannot be asked now are moved by whoever leads
    /// them.
    ///
    /// # Errors
    /// Retryable refusals; the worker tries again then.
    pub(super) fn resolve_waiting(&self, ids: &[TrackId]) -> Result<WriteToken> {
        match self.try_resolve_waiting(ids) {
            Err(error) if self.leaders_resolve() && error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(%error, "events may wait for new tracks in shards on other nodes a little longer");
                Ok(WriteToken::default())
            }
            outcome => outcome.inspect_err(|_| self.resolve_later()),
        }
    }

    /// Some user shards are not here, so that whoever leads one looks after what waits in it.
    fn leaders_resolve(&self) -> bool {
        self.users.shards.elsewhere().next().is_some()
    }

    /// Has the worker look through everything that waits for a track.
    pub(super) fn resolve_later(&self) {
        self.resolve_due.store(true, Ordering::Release);
        self.wake_worker();
    }

    fn try_resolve_waiting(&self, ids: &[TrackId]) -> Result<WriteToken> {
        let tracks = self.tracks.owners()?;
        let book = self.look_tracks_up(&tracks, ids.iter())?;
        let place = |id: &TrackId| Some((id.clone(), book.find(id)?));
        let (known, places): (Vec<TrackId>, Vec<TrackRef>) = ids.iter().filter_map(place).unzip();
        if known.is_empty() {
            return Ok(WriteToken::default());
        }
        let waiting = self.users.shards.waiting_for(&known).map_err(user_error)?;
        let part = |(shard, waits): (usize, Vec<bool>)| {
            let tracks = known.iter().cloned().zip(places.iter().copied()).zip(waits);
            let tracks: Vec<_> = tracks.filter(|(_, waits)| *waits).map(|(track, _)| track).collect();
            (!tracks.is_empty()).then(|| (shard, UserOp::ResolveTracks(tracks).into()))
        };
        let parts = waiting.into_iter().filter_map(part).collect();
        let (_, token) = self.users.propose_counted(parts)?;
        Ok(token)
    }

    /// [`Inner::resolve_waiting`] for every track that anything waits for, where all shards are here. Cost: one seek for each.
    ///
    /// # Errors
    /// As there; damage.
    pub(super) fn resolve_all_waiting(&self) -> Result<()> {
        if self.leaders_resolve() {
            return Ok(());
        }
        let mut ids = self.users.shards.waited_for(None, WAITING_PAGE).map_err(user_error)?;
        while let Some(last) = ids.last() {
            self.try_resolve_waiting(&ids)?;
            ids = self.users.shards.waited_for(Some(last), WAITING_PAGE).map_err(user_error)?;
        }
        Ok(())
    }

    /// Looks whether events of shards led here wait for tracks that are there by now: whoever wrote the event and whoever
    /// brought the track may have been on different nodes, neither of which had seen what the other did.
    ///
    /// # Errors
    /// As [`Inner::resolve_waiting`].
    pub(super) fn resolve_new_tracks(&self) -> Result<()> {
        let mut cursor = self.resolve_cursor.lock();
        if self.peers.is_none() || cursor.last.is_some_and(|last| last.elapsed() < RESOLVE_EVERY) {
            return Ok(());
        }
        cursor.last = Some(Instant::now());
        let leads = |place: usize| self.users.groups[place].leads();
        let here = (0..self.users.groups.len()).filter(|place| leads(*place));
        let led: Vec<_> = here.filter_map(|place| Some((place, self.users.shards.at(place)?))).collect();
        let mut parts: Vec<Vec<(TrackId, TrackRef)>> = self.users.groups.iter().map(|_| Vec::new()).collect();
        for (place, shard) in led {
            let after = cursor.after.remove(&place);
            let tracks = shard.waited_for(after.as_ref(), WAITING_PAGE).map_err(user_error)?;
            if tracks.len() == WAITING_PAGE {
                cursor.after.extend(tracks.last().map(|last| (place, last.clone())));
            }
            let owners = self.tracks.owners()?;
            let book = self.look_tracks_up(&owners, tracks.iter())?;
            let known = tracks.into_iter().filter_map(|track| {
                let place = book.find(&track)?;
                Some((track, place))
            });
            parts[place].extend(known);
        }
        self.users.propose_counted(commands(parts, UserOp::ResolveTracks)).map(drop)
    }
}
