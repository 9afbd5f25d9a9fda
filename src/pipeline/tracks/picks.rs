//! What one shard picks of its tracks: the first, the best, the new ones.

use roaring::RoaringBitmap;

use super::plain::Posted;
use super::question::Pick;
use crate::error::Result;
use crate::pipeline::reader::Caches;
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::segment::PostingField;
use crate::types::ArtistKey;

/// Days a release is new.
const NEW_DAYS: i32 = 28;
/// Popularity of what is neither a hit nor unknown.
const MIDDLE: std::ops::RangeInclusive<f32> = 20.0..=80.0;

fn is_new(release_day: i32, today: i32) -> bool {
    release_day <= today && release_day > today.saturating_sub(NEW_DAYS + 1)
}

/// New tracks on which artists play, each with the artist's place.
///
/// # Errors
/// Damaged files.
pub fn new_by_artist(view: &TrackView, artists: &[ArtistKey], today: i32) -> Result<Vec<(u64, u32)>> {
    let mut tracks = Vec::new();
    for (place, artist) in (0_u64..).zip(artists) {
        let posted = view.postings(PostingField::Artist, artist.0)?;
        let new = posted.iter().filter(|ordinal| is_new(view.hot(*ordinal).release_day, today));
        tracks.extend(new.map(|ordinal| (place, ordinal)));
    }
    Ok(tracks)
}

/// All new tracks, each with the key of its primary artist; none without one.
#[must_use]
pub fn new_by_primary_artist(view: &TrackView, today: i32) -> Vec<(u64, u32)> {
    let hot = (0_u32..).zip(view.all_hot());
    let new = hot.filter(|(_, hot)| hot.live && hot.artist != 0 && is_new(hot.release_day, today));
    new.map(|(ordinal, hot)| (hot.artist, ordinal)).collect()
}

/// What is picked of the tracks with a posting.
///
/// # Errors
/// Damaged files.
pub fn posted(view: &TrackView, field: PostingField, key: u64, pick: &Pick) -> Result<Vec<Posted>> {
    let picked = match pick {
        Pick::Any => {
            let any = view.postings(field, key)?.min();
            any.map(|ordinal| row(view, ordinal)).into_iter().collect()
        }
        Pick::First(most) => {
            let mut rows = rows(view, &view.postings(field, key)?);
            rows.sort_unstable_by_key(|row| (row.1, view.reference(row.2)));
            rows.truncate(*most as usize);
            rows
        }
        Pick::Popular { unknown, most } => popular(view, &view.postings(field, key)?, *unknown, *most),
        Pick::WithVector { space, generation, unknown, most } => {
            let Some(set) = view.set(space, *generation) else { return Ok(Vec::new()) };
            let posted = view.postings(field, key)?;
            let with: RoaringBitmap = posted.iter().filter(|ordinal| set.has(*ordinal)).collect();
            popular(view, &with, *unknown, *most)
        }
        Pick::Middle { skip, stride } => {
            let (skip, stride) = (in_memory(*skip), in_memory(*stride).max(1));
            middle(view, field, key)?.into_iter().skip(skip).step_by(stride).collect()
        }
    };
    let with_recording = |(popularity, key, ordinal): Row| Posted {
        popularity,
        key,
        ordinal,
        recording: view.recording(ordinal),
    };
    Ok(picked.into_iter().map(with_recording).collect())
}

/// Popularity (NaN = unknown), key of the id, ordinal.
pub(super) type Row = (f32, u64, u32);

/// A number of rows.
pub(super) fn in_memory(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn row(view: &TrackView, ordinal: u32) -> Row {
    let hot = view.hot(ordinal);
    (hot.popularity, hot.key, ordinal)
}

fn rows(view: &TrackView, set: &RoaringBitmap) -> Vec<Row> {
    set.iter().map(|ordinal| row(view, ordinal)).collect()
}

fn popular(view: &TrackView, set: &RoaringBitmap, unknown: f32, most: u32) -> Vec<Row> {
    let mut rows = rows(view, set);
    rows.iter_mut().filter(|row| row.0.is_nan()).for_each(|row| row.0 = unknown);
    let name = |row: &Row| (row.1, view.reference(row.2));
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| name(a).cmp(&name(b))));
    rows.truncate(most as usize);
    rows
}

/// Tracks of popularity 20 to 80 with a posting, by key.
pub(super) fn middle(view: &TrackView, field: PostingField, key: u64) -> Result<Vec<Row>> {
    let mut rows = rows(view, &view.postings(field, key)?);
    rows.retain(|row| MIDDLE.contains(&row.0));
    rows.sort_unstable_by_key(|row| (row.1, view.reference(row.2)));
    Ok(rows)
}

/// The `k` allowed tracks with the highest popularity, unknown (−1) below all others, ties by key. Looks at every
/// allowed track when exclusions use up those that are kept.
#[must_use]
pub fn most_popular_of(
    view: &TrackView,
    caches: &Caches,
    allowed: &AllowedTracks,
    k: usize,
) -> Vec<(u32, f32)> {
    let kept = caches.trends.popular(view);
    let found: Vec<(u32, f32)> =
        kept.iter().filter(|(ordinal, _)| allowed.contains(*ordinal)).take(k).copied().collect();
    if found.len() < k && view.live_tracks() > kept.len() as u64 {
        return best_known(view, allowed.iter(), k);
    }
    found
}

/// The `most` of some tracks with the highest popularity, unknown below all others; ties by key.
pub(in crate::pipeline) fn best_known(
    view: &TrackView,
    ordinals: impl Iterator<Item = u32>,
    most: usize,
) -> Vec<(u32, f32)> {
    let known = |popularity: f32| if popularity.is_nan() { -1.0 } else { popularity };
    let mut all: Vec<(f32, u64, u32)> = ordinals
        .map(|ordinal| {
            let hot = view.hot(ordinal);
            (known(hot.popularity), hot.key, ordinal)
        })
        .collect();
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    all.into_iter().take(most).map(|(popularity, _, ordinal)| (ordinal, popularity)).collect()
}
