//! Genre exploration: a seeded sample of genres next to the listener's own, neither hits nor what nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use super::shelf::{Popular, middle};
use super::{Note, Retrieved, SourceRequest, depth, may_show, sort_hits, taste};
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::types::{GenreKey, SplitMix64, TrackRef};

/// Genres of the listener that neighbours are looked for.
const OWN_GENRES: usize = 8;
/// Genres of the listener that are not explored.
const HOME_GENRES: usize = 12;
/// Genres sampled from.
const ADJACENT_GENRES: usize = 12;
/// Draws for each wanted track, since some are not allowed.
const DRAWS: usize = 4;
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
    let is_allowed = may_show(reader, allowed);
    let mut rng = SplitMix64::new(request.seed ^ STREAM);
    let mut taken: BTreeSet<TrackRef> = BTreeSet::new();
    let mut found = Vec::new();
    for (genre, strength, of) in adjacent {
        let quota = (depth(spec) as f64 * strength / total).ceil() as usize;
        let tracks = middle(reader, genre)?;
        for place in sample(&tracks, quota, &is_allowed, &mut rng) {
            let (track, popularity) = tracks[place];
            if taken.insert(track) {
                found.push((track, strength * (0.75 + 0.25 * f64::from(popularity) / 100.0)));
                retrieved.notes.push((Source::GenreExploration, track, Note::NextTo { genre, of }));
            }
        }
    }
    sort_hits(reader, &mut found)?;
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

/// Up to `quota` tracks drawn without order, with their popularity.
fn sample(
    tracks: &[Popular],
    quota: usize,
    is_allowed: impl Fn(TrackRef) -> bool,
    rng: &mut SplitMix64,
) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    for _ in 0..quota * DRAWS {
        if places.len() >= quota.min(tracks.len()) {
            break;
        }
        let place = rng.below(tracks.len() as u64) as usize;
        if is_allowed(tracks[place].0) {
            places.insert(place);
        }
    }
    places
}
