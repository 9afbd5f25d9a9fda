//! New releases: the last 28 days by followed and liked artists, then by artists near them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Note, Retrieved, SourceRequest, adjacent, depth, may_show, sort_hits, taste};
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::types::{ArtistKey, TrackRef};

/// Liked artists whose releases count as theirs.
const OWN_ARTISTS: usize = 50;
/// Followed artists looked at, in the order they were followed.
const FOLLOWED_MAX: usize = 1_000;
/// The lowest score of a release by a liked artist; one by a followed artist has 1.
const LIKED_FLOOR: f64 = 0.6;
/// The highest score of a release by an artist near them.
const NEAR_CEILING: f64 = 0.5;

/// New tracks by primary artist.
type ByArtist = HashMap<ArtistKey, Vec<TrackRef>>;

/// Catalogue version and day.
type Version = (u64, i32);

/// New tracks of one day and catalogue version. Nothing in it decides an answer, only how soon it comes.
#[derive(Default)]
pub struct ReleaseCache {
    newest: Mutex<Option<(Version, Arc<ByArtist>)>>,
}

/// Up to `depth` tracks, best first: followed artists before liked ones before their neighbours.
///
/// # Errors
/// Damaged files.
pub(super) fn new_releases(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let today = request.as_of.day();
    let own = taste::artists(reader, request, OWN_ARTISTS)?;
    let mut asked: BTreeMap<ArtistKey, (f64, Note)> = BTreeMap::new();
    for &(artist, weight) in &own {
        asked.insert(artist, (LIKED_FLOOR + (0.95 - LIKED_FLOOR) * weight, Note::Liked(artist)));
    }
    for id in request.listener.state.user.followed_artists.iter().take(FOLLOWED_MAX) {
        let artist = ArtistKey::of(id.as_str());
        asked.insert(artist, (1.0, Note::Followed(artist)));
    }
    let mut best: BTreeMap<TrackRef, (f64, Note)> = BTreeMap::new();
    let artists: Vec<ArtistKey> = asked.keys().copied().collect();
    for (place, track) in reader.new_by_artist(&artists, today)? {
        let said = asked[&artists[place]];
        best.entry(track).and_modify(|known| *known = larger(*known, said)).or_insert(said);
    }
    let known = taste::known_artists(reader, request)?;
    let mut sources = own;
    sources.extend(asked.iter().filter(|(_, (score, _))| *score >= 1.0).map(|(artist, _)| (*artist, 1.0)));
    if reader.statistics.are_alive(request.as_of) {
        let new = by_primary_artist(reader, today)?;
        for (artist, score, of) in adjacent::near(reader, &sources, &known) {
            for track in new.get(&artist).into_iter().flatten() {
                best.entry(*track).or_insert((NEAR_CEILING * score, Note::Near { of, new: true }));
            }
        }
    }
    let is_allowed = may_show(reader, allowed);
    let mut found: Vec<(TrackRef, f64)> = Vec::new();
    for (track, (score, note)) in best.into_iter().filter(|(track, _)| is_allowed(*track)) {
        found.push((track, score));
        retrieved.notes.push((Source::NewReleases, track, note));
    }
    sort_hits(reader, &mut found)?;
    found.truncate(depth(spec));
    Ok(found)
}

fn larger(a: (f64, Note), b: (f64, Note)) -> (f64, Note) {
    if b.0 > a.0 { b } else { a }
}

/// New tracks by primary artist. Cost: a pass over the facts of all tracks once a day and catalogue version.
///
/// # Errors
/// Those of the nodes that were asked.
fn by_primary_artist(reader: &Reader<'_>, today: i32) -> Result<Arc<ByArtist>> {
    let key = (reader.catalogue_epoch(), today);
    let mut cache = reader.caches.releases.newest.lock();
    if let Some((of, tracks)) = &*cache
        && *of == key
    {
        return Ok(Arc::clone(tracks));
    }
    if reader.tracks.all_here().is_some() {
        // One pass serves all that wait.
        let tracks = Arc::new(new_tracks(reader, today)?);
        *cache = Some((key, Arc::clone(&tracks)));
        return Ok(tracks);
    }
    drop(cache);
    let tracks = Arc::new(new_tracks(reader, today)?);
    if reader.is_whole() {
        *reader.caches.releases.newest.lock() = Some((key, Arc::clone(&tracks)));
    }
    Ok(tracks)
}

fn new_tracks(reader: &Reader<'_>, today: i32) -> Result<ByArtist> {
    let mut tracks = ByArtist::new();
    for (artist, track) in reader.new_by_primary_artist(today)? {
        tracks.entry(artist).or_default().push(track);
    }
    Ok(tracks)
}
