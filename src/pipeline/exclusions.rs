//! What one listener must not, or need not, be shown again: sets of ordinals of a shard, kept while the listener stands still.
//!
//! Windows move with every request, but what they hold rarely does. Of two windows the wider holds everything the
//! narrower does, so how many tracks a window holds says which: that number is what a kept set is found by.
//!
//! Of listeners who have heard very much, what is left of a catalogue is kept, too: it is the same from request to request.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::listener::Listener;
use super::reader::Reader;
use super::recipe::HeardWindow;
use super::retrieve::AllowedTracks;
use super::tracks::Base;
use crate::error::Result;
use crate::filter::Exclusions;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ShardId, Timestamp};

/// Sets kept of a listener in each shard; the oldest goes first.
const KEPT_MAX: usize = 8;
/// What is left of shards, kept of a listener: two windows of a few shards.
const LEFT_MAX: usize = 8;
/// From so many heard tracks on their times are kept in order, to be counted by a search.
const MANY_HEARD: usize = 4_096;

/// What a set is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blocked,
    /// So many heard tracks, with all versions of their recordings if set.
    Heard(usize, bool),
    /// So many of the newest served lists.
    Served(usize),
}

/// Sets made so far.
#[derive(Default)]
pub(super) struct ExclusionSets {
    kept: Mutex<Vec<(ShardId, Kind, Arc<Exclusions>)>>,
    left: Mutex<Vec<Left>>,
    /// When each track was last heard, ascending; made when there are many.
    times: OnceLock<Vec<Timestamp>>,
}

/// Bits of a shard, what was taken out of them, and what is left. The bits alone do not say where the shard is: those of one that
/// has moved are kept, but whoever holds it now has to be told of them.
struct Left {
    base: Base,
    excluded: [Arc<Exclusions>; 3],
    allowed: AllowedTracks,
}

impl Left {
    fn is_of(&self, base: &Base, excluded: &[Arc<Exclusions>; 3]) -> bool {
        // Sets are kept while they hold, so the same set is in the same place; empty ones are made each time.
        let same = |(a, b): (&Arc<Exclusions>, &Arc<Exclusions>)| {
            Arc::ptr_eq(a, b) || (a.is_empty() && b.is_empty())
        };
        let is_base = Arc::ptr_eq(&self.base.bits, &base.bits) && self.base.told == base.told;
        is_base && self.excluded.iter().zip(excluded).all(same)
    }
}

impl ExclusionSets {
    fn get_or_make(
        &self,
        (reader, place): (&Reader<'_>, usize),
        kind: Kind,
        make: impl FnOnce() -> Result<RoaringBitmap>,
    ) -> Result<Arc<Exclusions>> {
        let shard = reader.tracks.id(place);
        let known = |(of, known, _): &&(ShardId, Kind, Arc<Exclusions>)| *of == shard && *known == kind;
        if let Some((.., set)) = self.kept.lock().iter().find(known) {
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(Exclusions::new(make()?, reader.tracks.ordinals(place)));
        if !reader.is_whole() {
            return Ok(set);
        }
        let mut kept = self.kept.lock();
        let of_shard = |(of, ..): &(ShardId, Kind, Arc<Exclusions>)| *of == shard;
        if kept.iter().filter(|set| of_shard(set)).count() >= KEPT_MAX
            && let Some(oldest) = kept.iter().position(of_shard)
        {
            kept.remove(oldest);
        }
        kept.push((shard, kind, Arc::clone(&set)));
        Ok(set)
    }

    /// `base` without three sets. Where one of these is large, the answer is kept beside the listener while base and sets stay
    /// the very same.
    pub(super) fn left(&self, base: &Base, excluded: [&Arc<Exclusions>; 3]) -> AllowedTracks {
        let make = || base.without(&excluded.map(|set| &**set));
        if !excluded.iter().any(|set| set.is_large()) {
            return make();
        }
        let excluded = excluded.map(Arc::clone);
        if let Some(left) = self.left.lock().iter().find(|left| left.is_of(base, &excluded)) {
            return left.allowed.clone();
        }
        let allowed = make();
        let mut kept = self.left.lock();
        if kept.len() >= LEFT_MAX {
            kept.remove(0);
        }
        kept.push(Left { base: base.clone(), excluded, allowed: allowed.clone() });
        allowed
    }

    /// How many of the times are later than `since`.
    fn count_since(&self, times: &[Timestamp], since: Timestamp) -> usize {
        if times.len() < MANY_HEARD {
            return times.iter().filter(|at| **at > since).count();
        }
        let ordered = self.times.get_or_init(|| {
            let mut ordered = times.to_vec();
            ordered.sort_unstable();
            ordered
        });
        ordered.len() - ordered.partition_point(|at| *at <= since)
    }
}

impl Listener {
    /// Ordinals of one shard that must never be shown: blocked artists (any artist of a track), blocked tracks with all
    /// versions of their recordings.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn blocked(&self, reader: &Reader<'_>, place: usize) -> Result<Arc<Exclusions>> {
        self.exclusions.get_or_make((reader, place), Kind::Blocked, || {
            let artists = self.blocked_artists().map(|artist| artist.0);
            let by_artist = reader.postings(place, PostingField::Artist, artists)?;
            let by_id = reader.find_all(&self.state.user.blocked_tracks)?;
            let by_id = by_id.into_iter().flatten().map(|(track, _)| track);
            Ok(by_artist | reader.versions(place, by_id.chain(self.state.hidden.iter().copied()))?)
        })
    }

    /// Ordinals of one shard heard inside the window, with all versions of their recordings if `versions`.
    ///
    /// # Errors
    /// As [`Listener::blocked`].
    pub fn heard(
        &self,
        reader: &Reader<'_>,
        place: usize,
        as_of: Timestamp,
        window: HeardWindow,
        versions: bool,
    ) -> Result<Arc<Exclusions>> {
        let since = match window {
            HeardWindow::Allowed => return Ok(Arc::default()),
            HeardWindow::Days(days) => as_of.minus_days(i64::from(days)),
            HeardWindow::Ever => Timestamp(i64::MIN),
        };
        let heard = &self.state.heard;
        // Of all shards: a version of what was heard may be in another.
        let count = match window {
            HeardWindow::Ever => heard.last.len(),
            _ => self.exclusions.count_since(&heard.last, since),
        };
        self.exclusions.get_or_make((reader, place), Kind::Heard(count, versions), || {
            let rows = heard.tracks.iter().zip(&heard.last);
            let inside = rows.filter(|(_, last)| **last > since).map(|(track, _)| *track);
            if versions {
                return reader.versions(place, inside);
            }
            let here = inside.filter(|track| reader.tracks.names(place, *track));
            Ok(here.map(|track| track.ordinal.0).collect())
        })
    }

    /// Ordinals of one shard in lists served in the last `weeks`, with all versions of their recordings.
    ///
    /// # Errors
    /// As [`Listener::blocked`].
    pub fn served(
        &self,
        reader: &Reader<'_>,
        place: usize,
        as_of: Timestamp,
        weeks: u16,
    ) -> Result<Arc<Exclusions>> {
        let since = as_of.minus_days(i64::from(weeks.saturating_mul(7)));
        let lists = self.state.served.partition_point(|list| weeks > 0 && list.at > since);
        if lists == 0 {
            return Ok(Arc::default());
        }
        self.exclusions.get_or_make((reader, place), Kind::Served(lists), || {
            let tracks = self.state.served[..lists].iter().flat_map(|list| &list.tracks);
            reader.versions(place, tracks.map(|served| served.track))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tracks::Told;
    use super::*;
    use crate::filter::{DenseBits, RuleClass};

    #[test]
    fn many_times_are_counted_as_few_are() {
        let sets = ExclusionSets::default();
        let times: Vec<Timestamp> = (0..MANY_HEARD as i64 + 7).map(|at| Timestamp(at * 37 % 1_000)).collect();
        for since in [-1, 0, 1, 499, 500, 998, 999, 2_000].map(Timestamp) {
            let expected = times.iter().filter(|at| **at > since).count();
            assert_eq!(sets.count_since(&times, since), expected, "since {since:?}");
        }
    }

    #[test]
    fn what_is_left_is_kept_only_while_base_and_sets_are_the_very_same() {
        let universe = 640;
        let every = |step: usize| -> Arc<Exclusions> {
            Arc::new(Exclusions::new((0..universe).step_by(step).collect(), universe))
        };
        let here = |bits| Base { bits: Arc::new(bits), told: None };
        let base = here(DenseBits::from_roaring(&(0..universe).collect(), universe));
        let (large, other, none) = (every(2), every(3), Arc::<Exclusions>::default());
        let sets = ExclusionSets::default();
        let first = sets.left(&base, [&none, &large, &none]);
        assert!(first.iter().eq((0..universe).filter(|at| at % 2 != 0)));
        let again = sets.left(&base, [&Arc::default(), &large, &none]);
        assert_eq!(again.parts().0.as_ptr(), first.parts().0.as_ptr(), "made once");
        let both = sets.left(&base, [&none, &large, &other]);
        assert!(both.iter().eq((0..universe).filter(|at| at % 2 != 0 && at % 3 != 0)));
        let evens = here(DenseBits::from_roaring(&(0..universe).step_by(2).collect(), universe));
        assert_eq!(sets.left(&evens, [&none, &large, &none]).iter().count(), 0);
        // The shard moves to another node: its bits are the very same, and whoever holds it now is told of what is left.
        assert!(!first.is_told());
        let moved = Base { told: Some(Arc::new(Told::of(RuleClass::Live))), ..base.clone() };
        assert!(sets.left(&moved, [&none, &large, &none]).is_told());
        assert!(!sets.left(&base, [&none, &large, &none]).is_told(), "and comes back");
        for _ in 0..2 * LEFT_MAX {
            assert!(sets.left(&base, [&none, &every(5), &none]).iter().all(|at| at % 5 != 0));
        }
        assert_eq!(sets.left.lock().len(), LEFT_MAX);
    }
}
