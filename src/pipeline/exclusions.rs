//! What one listener must not, or need not, be shown again: bitmaps of a shard, kept while the listener stands still.
//!
//! Windows move with every request, but what they hold rarely does. Of two windows the wider holds everything the
//! narrower does, so how many tracks a window holds says which: that number is what a kept set is found by.

use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::listener::Listener;
use super::recipe::HeardWindow;
use crate::error::Result;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ShardId, Timestamp};

/// Sets kept of a listener; the oldest goes first.
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
    kept: Mutex<Vec<(ShardId, Kind, Arc<RoaringBitmap>)>>,
}

impl ExclusionSets {
    fn get_or_make(
        &self,
        shard: ShardId,
        kind: Kind,
        make: impl FnOnce() -> Result<RoaringBitmap>,
    ) -> Result<Arc<RoaringBitmap>> {
        let known = |(of, known, _): &&(ShardId, Kind, Arc<RoaringBitmap>)| *of == shard && *known == kind;
        if let Some((.., set)) = self.kept.lock().iter().find(known) {
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(make()?);
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
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
    pub fn blocked(&self, view: &TrackView) -> Result<Arc<RoaringBitmap>> {
        self.exclusions.get_or_make(view.shard, Kind::Blocked, || {
            let mut blocked = RoaringBitmap::new();
            for artist in self.blocked_artists() {
                blocked |= view.postings(PostingField::Artist, artist.0)?;
            }
            let by_id = self.state.user.blocked_tracks.iter().filter_map(|id| view.ordinal_of(id.as_str()));
            let hidden = self.state.hidden.iter().filter(|track| track.shard == view.shard);
            by_id
                .chain(hidden.map(|track| track.ordinal.0))
                .for_each(|ordinal| blocked.extend(view.versions(ordinal)));
            Ok(blocked)
        })
    }

    /// Ordinals of one shard heard inside the window, with all versions of their recordings if `versions`.
    ///
    /// # Errors
    /// None today: as [`Listener::blocked`].
    pub fn heard(
        &self,
        view: &TrackView,
        as_of: Timestamp,
        window: HeardWindow,
        versions: bool,
    ) -> Result<Arc<RoaringBitmap>> {
        let since = match window {
            HeardWindow::Allowed => return Ok(Arc::default()),
            HeardWindow::Days(days) => as_of.minus_days(i64::from(days)),
            HeardWindow::Ever => Timestamp(i64::MIN),
        };
        let heard = &self.state.heard;
        let from = heard.tracks.partition_point(|track| track.shard < view.shard);
        let to = heard.tracks.partition_point(|track| track.shard <= view.shard);
        let count = heard.last[from..to].iter().filter(|last| **last > since).count();
        self.exclusions.get_or_make(view.shard, Kind::Heard(count, versions), || {
            let rows = heard.tracks[from..to].iter().zip(&heard.last[from..to]);
            let inside = rows.filter(|(_, last)| **last > since).map(|(track, _)| track.ordinal.0);
            let most = if versions { usize::MAX } else { 1 };
            Ok(inside.flat_map(|ordinal| view.versions(ordinal).take(most)).collect())
        })
    }

    /// Ordinals of one shard in lists served in the last `weeks`, with all versions of their recordings.
    ///
    /// # Errors
    /// None today: as [`Listener::blocked`].
    pub fn served(&self, view: &TrackView, as_of: Timestamp, weeks: u16) -> Result<Arc<RoaringBitmap>> {
        let since = as_of.minus_days(i64::from(weeks.saturating_mul(7)));
        let lists = self.state.served.partition_point(|list| weeks > 0 && list.at > since);
        if lists == 0 {
            return Ok(Arc::default());
        }
        self.exclusions.get_or_make(view.shard, Kind::Served(lists), || {
            let tracks = self.state.served[..lists].iter().flat_map(|list| &list.tracks);
            let local = tracks.map(|served| served.track).filter(|track| track.shard == view.shard);
            Ok(local.flat_map(|track| view.versions(track.ordinal.0)).collect())
        })
    }
}
