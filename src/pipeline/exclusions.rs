//! What one listener must not, or need not, be shown again: sets of ordinals of a shard, kept while the listener stands still.
//!
//! Windows move with every request, but what they hold rarely does. Of two windows the wider holds everything the
//! narrower does, so how many tracks a window holds says which: that number is what a kept set is found by.

use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::listener::Listener;
use super::reader::Reader;
use super::recipe::HeardWindow;
use crate::error::Result;
use crate::filter::Exclusions;
use crate::storage::track_shard::segment::PostingField;
use crate::storage::track_shard::{TrackView, versions_in};
use crate::types::{ShardId, Timestamp, TrackRef};

/// Sets kept of a listener in each shard; the oldest goes first.
const KEPT_MAX: usize = 8;

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
}

impl ExclusionSets {
    fn get_or_make(
        &self,
        view: &TrackView,
        kind: Kind,
        make: impl FnOnce() -> Result<RoaringBitmap>,
    ) -> Result<Arc<Exclusions>> {
        let shard = view.shard;
        let known = |(of, known, _): &&(ShardId, Kind, Arc<Exclusions>)| *of == shard && *known == kind;
        if let Some((.., set)) = self.kept.lock().iter().find(known) {
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(Exclusions::new(make()?, view.ordinals()));
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
}

impl Listener {
    /// Ordinals of one shard that must never be shown: blocked artists (any artist of a track), blocked tracks with all
    /// versions of their recordings.
    ///
    /// # Errors
    /// Damaged files.
    pub fn blocked(&self, reader: &Reader<'_>, view: &TrackView) -> Result<Arc<Exclusions>> {
        self.exclusions.get_or_make(view, Kind::Blocked, || {
            let mut blocked = RoaringBitmap::new();
            for artist in self.blocked_artists() {
                blocked |= view.postings(PostingField::Artist, artist.0)?;
            }
            let by_id = self.state.user.blocked_tracks.iter().filter_map(|id| reader.place_of(id));
            for track in by_id.chain(self.state.hidden.iter().copied()) {
                versions_in(view, &reader.tracks, track, |ordinal| blocked.insert(ordinal));
            }
            Ok(blocked)
        })
    }

    /// Ordinals of one shard heard inside the window, with all versions of their recordings if `versions`.
    ///
    /// # Errors
    /// None today: as [`Listener::blocked`].
    pub fn heard(
        &self,
        reader: &Reader<'_>,
        view: &TrackView,
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
            _ => heard.last.iter().filter(|last| **last > since).count(),
        };
        self.exclusions.get_or_make(view, Kind::Heard(count, versions), || {
            let rows = heard.tracks.iter().zip(&heard.last);
            let inside = rows.filter(|(_, last)| **last > since).map(|(track, _)| *track);
            if versions {
                return Ok(versions_of(reader, view, inside));
            }
            Ok(inside.filter(|track| track.shard == view.shard).map(|track| track.ordinal.0).collect())
        })
    }

    /// Ordinals of one shard in lists served in the last `weeks`, with all versions of their recordings.
    ///
    /// # Errors
    /// None today: as [`Listener::blocked`].
    pub fn served(
        &self,
        reader: &Reader<'_>,
        view: &TrackView,
        as_of: Timestamp,
        weeks: u16,
    ) -> Result<Arc<Exclusions>> {
        let since = as_of.minus_days(i64::from(weeks.saturating_mul(7)));
        let lists = self.state.served.partition_point(|list| weeks > 0 && list.at > since);
        if lists == 0 {
            return Ok(Arc::default());
        }
        self.exclusions.get_or_make(view, Kind::Served(lists), || {
            let tracks = self.state.served[..lists].iter().flat_map(|list| &list.tracks);
            Ok(versions_of(reader, view, tracks.map(|served| served.track)))
        })
    }
}

/// Ordinals of one shard of all versions of tracks that are in any.
fn versions_of(
    reader: &Reader<'_>,
    view: &TrackView,
    tracks: impl Iterator<Item = TrackRef>,
) -> RoaringBitmap {
    let mut ordinals = RoaringBitmap::new();
    for track in tracks {
        versions_in(view, &reader.tracks, track, |ordinal| ordinals.insert(ordinal));
    }
    ordinals
}
