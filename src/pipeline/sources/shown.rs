//! Whether a source may offer a track.

use crate::pipeline::reader::Reader;
use crate::pipeline::retrieve::AllowedTracks;
use crate::types::TrackRef;

/// Whether a track may be shown, whichever shard it is in.
pub(super) fn may_show<'a>(
    reader: &'a Reader<'_>,
    allowed: &'a [AllowedTracks],
) -> impl Fn(TrackRef) -> bool + 'a {
    let shards: Vec<_> = reader.tracks.iter().map(|view| view.shard).zip(allowed).collect();
    move |track| {
        let of_shard = shards.iter().find(|(shard, _)| *shard == track.shard);
        of_shard.is_some_and(|(_, allowed)| allowed.contains(track.ordinal.0))
    }
}
