//! Genre exploration: a seeded sample of genres next to the listener's own, neither hits nor what nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use super::{Note, Retrieved, SourceRequest, depth, sort_hits, taste};
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{GenreKey, SplitMix64, TrackOrdinal, TrackRef};

/// Genres of the listener that neighbours are looked for.
const OWN_GENRES: usize = 8;
/// Genres of the listener that are not explored.
const HOME_GENRES: usize = 12;
/// Genres sampled from.
const ADJACENT_GENRES: usize = 12;
/// Popularity of what is sampled.
const POPULARITY: std::ops::RangeInclusive<f32> = 20.0..=80.0;
/// Draws for each wanted track, since many are not allowed or too popular.
const DRAWS: usize = 10;
/// Its stream of the request's seed.
const STREAM: u64 = 0xA5C1_9E0D_73F4_2B86;

/// Up to `depth` tracks, best first: by how strongly their genre is next to the listener's. Nothing before the first
/// pass over all listeners, or of a listener without genres.
///
/// # Errors
/// Damaged files.
pub(super) fn genre_exploration(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    if !reader.statistics.are_alive(request.as_of) {
        return Ok(Vec::new());
    }
    let adjacent = adjacent(reader, request)?;
    let total: f64 = adjacent.iter().map(|(_, strength, _)| strength).sum();
    let mut rng = SplitMix64::new(request.seed ^ STREAM);
    let mut taken: BTreeSet<TrackRef> = BTreeSet::new();
    let mut found = Vec::new();
    for (genre, strength, of) in adjacent {
        let quota = (depth(spec) as f64 * strength / total).ceil() as usize;
        for track in sample(reader, genre, quota, allowed, &mut rng)? {
            if taken.insert(track) {
                let popularity = reader.view(track.shard)?.hot(track.ordinal.0).popularity;
                found.push((track, strength * (0.75 + 0.25 * f64::from(popularity) / 100.0)));
                retrieved.notes.insert((Source::GenreExploration, track), Note::NextTo { genre, of });
            }
        }
    }
    sort_hits(&mut found);
    found.truncate(depth(spec));
    Ok(found)
}

/// Genres next to the listener's that are not among their own, strongest first, and next to which of theirs.
fn adjacent(reader: &Reader<'_>, request: &SourceRequest<'_>) -> Result<Vec<(GenreKey, f64, GenreKey)>> {
    let own = taste::genres(reader, request, HOME_GENRES)?;
    let home: BTreeSet<GenreKey> = own.iter().map(|(genre, _)| *genre).collect();
    let mut all: BTreeMap<GenreKey, (f64, f64, GenreKey)> = BTreeMap::new();
    for &(genre, weight) in own.iter().take(OWN_GENRES) {
        for (other, strength) in
            reader.statistics.adjacent_genres(genre).filter(|(other, _)| !home.contains(other))
        {
            let part = weight * strength;
            let entry = all.entry(other).or_insert((0.0, part, genre));
            entry.0 += part;
            if part > entry.1 {
                (entry.1, entry.2) = (part, genre);
            }
        }
    }
    let mut list: Vec<(GenreKey, f64, GenreKey)> =
        all.into_iter().map(|(genre, (sum, _, of))| (genre, sum, of)).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list.truncate(ADJACENT_GENRES);
    let first = list.first().map_or(1.0, |(_, strength, _)| *strength);
    list.iter_mut().for_each(|(_, strength, _)| *strength /= first);
    Ok(list)
}

/// Up to `quota` tracks of a genre drawn without order, each shard by its share of the genre.
fn sample(
    reader: &Reader<'_>,
    genre: GenreKey,
    quota: usize,
    allowed: &[AllowedTracks],
    rng: &mut SplitMix64,
) -> Result<Vec<TrackRef>> {
    let mut posted = Vec::with_capacity(reader.tracks.len());
    for view in &reader.tracks {
        posted.push(view.postings(PostingField::Genre, genre.0)?);
    }
    let all: u64 = posted.iter().map(roaring::RoaringBitmap::len).sum();
    let mut tracks: BTreeSet<TrackRef> = BTreeSet::new();
    for _ in 0..quota * DRAWS {
        if tracks.len() == quota || all == 0 {
            break;
        }
        let mut rank = rng.below(all);
        for ((view, posted), allowed) in reader.tracks.iter().zip(&posted).zip(allowed) {
            if rank >= posted.len() {
                rank -= posted.len();
                continue;
            }
            let Some(ordinal) = u32::try_from(rank).ok().and_then(|rank| posted.select(rank)) else { break };
            if allowed.contains(ordinal) && POPULARITY.contains(&view.hot(ordinal).popularity) {
                tracks.insert(TrackRef { shard: view.shard, ordinal: TrackOrdinal(ordinal) });
            }
            break;
        }
    }
    Ok(tracks.into_iter().collect())
}
