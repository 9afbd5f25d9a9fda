//! Adjacent artists: artists near the listener's own, with tracks that are not their hits.

use std::collections::BTreeSet;

use super::shelf::non_hits;
use super::{Note, Retrieved, SourceRequest, depth, may_show, sort_hits, taste};
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::track_shard::{KeyMap, KeySet};
use crate::types::{ArtistKey, TrackRef};

/// Artists of the listener that neighbours are looked for.
const OWN_ARTISTS: usize = 20;
/// Tracks of one adjacent artist.
const TRACKS_EACH: usize = 5;
/// What each further track of one artist counts less.
const FALL: f64 = 0.06;

/// Up to `depth` tracks, best first: by how much the listener likes the nearest of their artists and how near it is.
/// Artists the listener knows are not adjacent. Nothing before the first pass over all listeners.
///
/// # Errors
/// Damaged files.
pub(super) fn adjacent_artists(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    if !reader.statistics.are_alive(request.as_of) {
        return Ok(Vec::new());
    }
    let own = taste::artists(reader, request, OWN_ARTISTS)?;
    let known = taste::known_artists(reader, request)?;
    let is_allowed = may_show(reader, allowed);
    let mut taken: BTreeSet<TrackRef> = BTreeSet::new();
    let mut found: Vec<(TrackRef, f64)> = Vec::new();
    for (artist, score, of) in near(reader, &own, &known) {
        if found.len() >= depth(spec) {
            break;
        }
        for (at, track) in some_non_hits(reader, artist, &is_allowed)?.into_iter().enumerate() {
            // A track of two adjacent artists belongs to the nearer one.
            if !taken.insert(track) {
                continue;
            }
            found.push((track, score * (1.0 - FALL * at as f64)));
            retrieved.notes.push((Source::AdjacentArtists, track, Note::Near { of, new: false }));
        }
    }
    sort_hits(reader, &mut found)?;
    found.truncate(depth(spec));
    Ok(found)
}

/// Unknown artists near known ones: score 0 to 1, best first, and near whom.
pub(super) fn near(
    reader: &Reader<'_>,
    own: &[(ArtistKey, f64)],
    known: &KeySet,
) -> Vec<(ArtistKey, f64, ArtistKey)> {
    let mut best: KeyMap<(f64, ArtistKey)> = KeyMap::default();
    for &(artist, weight) in own {
        for (other, closeness) in reader.statistics.near_artists(artist, reader.generation) {
            // The square root: a favourite's distant neighbour must not come before a near one of the second best.
            let score = closeness * weight.sqrt();
            let entry = best.entry(other.0).or_insert((score, artist));
            if score > entry.0 {
                *entry = (score, artist);
            }
        }
    }
    let unknown = best.into_iter().filter(|(artist, _)| !known.contains(artist));
    let mut all: Vec<(ArtistKey, f64, ArtistKey)> =
        unknown.map(|(artist, (score, of))| (ArtistKey(artist), score, of)).collect();
    all.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// An artist's best tracks that are no hits of theirs, one a recording, best first.
fn some_non_hits(
    reader: &Reader<'_>,
    artist: ArtistKey,
    is_allowed: impl Fn(TrackRef) -> bool,
) -> Result<Vec<TrackRef>> {
    let mut recordings: BTreeSet<u64> = BTreeSet::new();
    let tracks = non_hits(reader, artist)?;
    let allowed = tracks.iter().filter(|(track, _)| is_allowed(*track));
    let first = allowed.filter(|(_, number)| recordings.insert(*number));
    Ok(first.take(TRACKS_EACH).map(|(track, _)| *track).collect())
}
