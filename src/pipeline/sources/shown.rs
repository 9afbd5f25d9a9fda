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
        let of_shard = reader.place(track).and_then(|place| allowed.get(place));
        of_shard.is_some_and(|allowed| allowed.contains(track.ordinal.0))
    }
}
