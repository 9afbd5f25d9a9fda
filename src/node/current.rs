//! How new a read is: everything any node acknowledged before the call is in it.
//!
//! A call asks the leaders of all groups that are here for a read point and waits until they are applied here; shards elsewhere
//! are asked behind a read point of their holder (`far`, `ask_tracks`). A list does
//! not wait first: it is made of what is here while the leaders are asked, and counts if that was new enough. What was
//! applied before the list was begun is a lower bound of everything it read, so a read point at or below it says that
//! nothing acknowledged before the call is missing. Otherwise the list is made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use segue_cluster::{Pending, ReadPoint};

use super::engine::Inner;
use super::group::{Group, read_points, refused};
use super::track_owners::TrackOwners;
use crate::error::{Error, Result};
use crate::pipeline::request::{RecommendRequest, Recommendation};
use crate::types::SlotRanges;

/// How long a read waits for the leaders: an election, and some.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// So many calls one after the other must have found this node new enough before a list is begun ahead of the leaders'
/// answer: a list that is made twice costs twice.
const IN_A_ROW: u32 = 4;

/// How many calls in a row have found this node new enough when they began; [`IN_A_ROW`] at most.
#[derive(Debug, Default)]
pub(super) struct Ahead(AtomicU32);

impl Ahead {
    fn is_likely(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= IN_A_ROW
    }

    fn note(&self, was_new_enough: bool) {
        let next = |row: u32| Some(if was_new_enough { (row + 1).min(IN_A_ROW) } else { 0 });
        // The closure always says what comes next.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// Read points that were asked for, and where this node stood just after.
struct Points<'a> {
    begun: Instant,
    /// Whose listeners are where, when they were asked for.
    ranges: Arc<SlotRanges>,
    asked: Vec<(&'a Group, u64, Result<Pending<ReadPoint>>)>,
}

impl Points<'_> {
    /// Waits until this node has come as far; whether it had when they were asked for.
    ///
    /// # Errors
    /// As [`Inner::catch_up`].
    fn reached(self) -> Result<bool> {
        let mut were_reached = true;
        for (group, stood_at, point) in self.asked {
            match caught_up(group, point, (self.begun, READ_TIMEOUT)) {
                Ok(index) => were_reached &= index <= stood_at,
                Err(error) if group.is_here() => return Err(error),
                // It left meanwhile: whoever asks for its listeners now hands the request on.
                Err(_) => were_reached = false,
            }
        }
        Ok(were_reached)
    }
}

impl Inner {
    /// Waits until this node has applied everything that was acknowledged before this call, by any node. One round with
    /// the leaders, shared by all calls that wait; nothing for a database that is alone, which acknowledges only what it
    /// has applied.
    ///
    /// # Errors
    /// `Timeout` and `Unavailable` when a leader is not found in time.
    pub(super) fn catch_up(&self) -> Result<()> {
        if self.peers.is_none() {
            return Ok(());
        }
        loop {
            let owners = self.tracks.owners()?;
            let points = self.ask_points(&owners);
            let ranges = Arc::clone(&points.ranges);
            let were_reached = points.reached()?;
            // Otherwise a new shard has taken slots over, and no read point of it was taken.
            if self.is_owned_as(&owners, &ranges)? {
                self.ahead.note(were_reached);
                return Ok(());
            }
        }
    }

    /// [`Inner::catch_up`] of one user shard, for an answer about nothing else.
    pub(super) fn catch_up_shard(&self, place: usize) -> Result<()> {
        catch_up_group(&self.users.groups[place], READ_TIMEOUT)
    }

    /// [`Inner::catch_up`] of the meta group alone: afterwards every split is known here that anybody was told of.
    pub(super) fn catch_up_meta(&self) -> Result<()> {
        if self.peers.is_none() {
            return Ok(());
        }
        catch_up_group(&self.meta.group, READ_TIMEOUT)
    }

    /// The same of the cluster's map: where shards should be.
    pub(super) fn catch_up_map(&self) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let map = peers.cluster()?.map_group();
        let map = map.ok_or_else(|| Error::Internal("the map has no group".to_owned()))?;
        catch_up_group(&Group::new("map", map, None), READ_TIMEOUT)
    }

    /// A list of a state in which nothing is missing that any node acknowledged before this call.
    ///
    /// Cost: while the groups are at rest, the longer of the list and one round with the leaders; else one after the other.
    ///
    /// # Errors
    /// Those of the list and of [`Inner::catch_up`].
    pub(super) fn recommend_current(&self, mut request: RecommendRequest) -> Result<Recommendation> {
        if self.peers.is_none() || !self.ahead.is_likely() {
            self.catch_up()?;
            return self.recommend(request);
        }
        request.validate(&self.settings.limits)?;
        self.complete(&mut request);
        let owners = self.tracks.owners()?;
        let points = self.ask_points(&owners);
        let ranges = Arc::clone(&points.ranges);
        let made = self.make_list(&request);
        let mut was_new_enough = points.reached()?;
        if !self.is_owned_as(&owners, &ranges)? {
            was_new_enough = false;
            self.catch_up()?;
        }
        self.ahead.note(was_new_enough);
        let (list, recipes) = if was_new_enough { made? } else { self.make_list(&request)? };
        self.note_served(&recipes, &request, &list);
        Ok(list)
    }

    /// Whether tracks and listeners are still where they were.
    fn is_owned_as(&self, tracks: &TrackOwners, listeners: &Arc<SlotRanges>) -> Result<bool> {
        Ok(Arc::ptr_eq(listeners, &self.users.shards.ranges()) && self.tracks.owners()?.are_those_of(tracks))
    }

    fn ask_points<'a>(&'a self, tracks: &'a TrackOwners) -> Points<'a> {
        let ranges = self.users.shards.ranges();
        let owners = self.users.owners().into_iter().filter(|group| group.is_here());
        let groups: Vec<&Group> =
            [&self.meta.group].into_iter().chain(tracks.groups_here()).chain(owners).collect();
        let begun = Instant::now();
        let asked = read_points(groups).into_iter();
        Points { begun, ranges, asked: asked.map(|(group, point)| (group, group.applied(), point)).collect() }
    }
}

/// Waits until everything of one group is applied here that was acknowledged before this call; no longer than somebody has.
///
/// # Errors
/// As [`Inner::catch_up`].
pub(super) fn catch_up_group(group: &Group, longest: Duration) -> Result<()> {
    let longest = longest.min(READ_TIMEOUT);
    caught_up(group, group.read_point(), (Instant::now(), longest)).map(drop)
}

/// Waits until a group is as new here as what was asked for, and returns that.
fn caught_up(
    group: &Group,
    asked: Result<Pending<ReadPoint>>,
    (start, longest): (Instant, Duration),
) -> Result<u64> {
    let wait = |point: Pending<ReadPoint>| point.wait_timeout(longest).map_err(refused);
    let mut outcome = asked.and_then(wait);
    while matches!(&outcome, Err(Error::Timeout { .. })) && start.elapsed() < longest {
        outcome = group.read_point().and_then(wait);
    }
    outcome.map(|point| point.index).map_err(|error| match error {
        Error::Timeout { .. } => {
            Error::Unavailable(format!("the group's leader did not answer in time. group=`{}`", group.name))
        }
        error => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_begun_ahead_after_some_calls_found_the_node_new_enough_and_not_after_one_that_did_not() {
        let ahead = Ahead::default();
        assert!(!ahead.is_likely());
        for _ in 0..IN_A_ROW {
            assert!(!ahead.is_likely());
            ahead.note(true);
        }
        assert!(ahead.is_likely());
        ahead.note(false);
        assert!(!ahead.is_likely());
        (0..10 * IN_A_ROW).for_each(|_| ahead.note(true));
        ahead.note(false);
        (1..IN_A_ROW).for_each(|_| ahead.note(true));
        assert!(!ahead.is_likely());
        ahead.note(true);
        assert!(ahead.is_likely());
    }
}
