//! Whether a source may offer a track.

use crate::pipeline::reader::Reader;
use crate::pipeline::retrieve::AllowedTracks;
use crate::types::TrackRef;

/// Whether a track may be shown, whichever shard it is in.
pub(super) fn may_show<'a>(
    reader: &'a Reader<'_>,
    allowed: &'a [AllowedTracks],
) -> impl Fn(TrackRef) -> bool + 'a {
    move |track| {
        let at = reader.tracks.iter().position(|view| view.shard == track.shard);
        at.is_some_and(|at| allowed[at].contains(track.ordinal.0))
    }
}
