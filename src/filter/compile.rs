//! A filter expression becomes bits.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::bits::DenseBits;
use super::expr::TrackFilter;
use super::rules::{RuleCache, RuleClass};
use crate::error::Result;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::row::TrackHot;
use crate::storage::track_shard::segment::{PostingField, explicit_key};
use crate::types::{AlbumKey, ArtistKey, GenreKey};

/// The tracks of one shard that `class` may hear and that pass `filter`. Which tracks those are that the filter names to be left
/// out, with their versions, is told by `left_out`: they may be in any shard. Without conditions it is the class's cached bits
/// themselves, not a copy.
///
/// # Errors
/// Damaged files.
pub fn compile(
    view: &TrackView,
    rules: &RuleCache,
    class: RuleClass,
    filter: &TrackFilter,
    left_out: &RoaringBitmap,
) -> Result<Arc<DenseBits>> {
    let base = rules.bits(view, class)?;
    if filter.is_empty() {
        return Ok(base);
    }
    let mut bits = DenseBits::clone(&base);
    if let Some(region) = filter.region {
        let class = RuleClass::Listener { region: Some(region), filter_explicit: false };
        bits.intersect(&*rules.bits(view, class)?);
    }
    if filter.explicit.is_some() {
        let known = view.postings(PostingField::Explicit, explicit_key(filter.explicit))?;
        keep(&mut bits, &known);
    }
    let artists: Vec<u64> = filter.artists.iter().map(|id| ArtistKey::of(id.as_str()).0).collect();
    let genres: Vec<u64> = filter.genres.iter().map(|name| GenreKey::of(name).0).collect();
    let albums: Vec<u64> = filter.albums.iter().map(|id| AlbumKey::of(id).0).collect();
    let wanted =
        [(PostingField::Artist, artists), (PostingField::Genre, genres), (PostingField::Album, albums)];
    for (field, keys) in wanted {
        if !keys.is_empty() {
            keep(&mut bits, &any_of(view, field, &keys)?);
        }
    }
    let not_artists: Vec<u64> =
        filter.exclude_artists.iter().map(|id| ArtistKey::of(id.as_str()).0).collect();
    let not_genres: Vec<u64> = filter.exclude_genres.iter().map(|name| GenreKey::of(name).0).collect();
    bits.subtract_roaring(&any_of(view, PostingField::Artist, &not_artists)?);
    bits.subtract_roaring(&any_of(view, PostingField::Genre, &not_genres)?);
    bits.subtract_roaring(left_out);
    if has_ranges(filter) {
        bits.retain(|ordinal| in_ranges(filter, &view.hot(ordinal)));
    }
    Ok(Arc::new(bits))
}

/// Ordinals posted under any of `keys`.
///
/// # Errors
/// Damaged files.
pub fn any_of(view: &TrackView, field: PostingField, keys: &[u64]) -> Result<RoaringBitmap> {
    let mut union = RoaringBitmap::new();
    for &key in keys {
        union |= view.postings(field, key)?;
    }
    Ok(union)
}

fn keep(bits: &mut DenseBits, set: &RoaringBitmap) {
    let universe = u32::try_from(bits.words().len() * 64).expect("ordinals are u32");
    bits.intersect(&DenseBits::from_roaring(set, universe));
}

fn has_ranges(filter: &TrackFilter) -> bool {
    filter.popularity.is_some()
        || filter.release_date.is_some()
        || filter.tempo.is_some()
        || filter.energy.is_some()
}

/// Unknown values (NaN, `i32::MIN`) pass no range.
fn in_ranges(filter: &TrackFilter, hot: &TrackHot) -> bool {
    let within =
        |range: Option<(f32, f32)>, value: f32| range.is_none_or(|(from, to)| value >= from && value <= to);
    within(filter.popularity, hot.popularity)
        && within(filter.tempo, hot.tempo)
        && within(filter.energy, hot.energy)
        && filter.release_date.is_none_or(|(from, to)| {
            hot.release_day != i32::MIN && hot.release_day >= from.0 && hot.release_day <= to.0
        })
}
