//! Facts of tracks for the stages, read from a shard's version in one pass over its columns.

use std::slice;

use segue_index::kernels::prefetch;

use super::facts::TrackFacts;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::storage::track_shard::columns::TrackColumns;
use crate::storage::track_shard::{TrackView, holder};
use crate::types::{AlbumKey, AudioFeatures, Date, GenerationId, ShardId, SpaceName, TrackRef};

/// Tracks whose records are asked of memory before they are read; and twice as many, what is kept in memory of them.
const AHEAD: usize = 6;

impl Reader<'_> {
    /// Facts of several tracks, in the same order; of tracks of a missing shard nothing but their names.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn facts(&self, tracks: impl IntoIterator<Item = TrackRef>) -> Result<Vec<TrackFacts>> {
        self.facts_and_vectors(tracks, None)
    }

    /// The same of tracks whose vectors of a set will be asked: of those elsewhere they come with the facts.
    ///
    /// # Errors
    /// As [`Reader::facts`].
    pub fn facts_and_vectors(
        &self,
        tracks: impl IntoIterator<Item = TrackRef>,
        set: Option<(&SpaceName, GenerationId)>,
    ) -> Result<Vec<TrackFacts>> {
        let tracks: Vec<TrackRef> = tracks.into_iter().collect();
        let Some(views) = self.tracks.all_here() else { return self.facts_anywhere(&tracks, set) };
        let columns = views.iter().map(|view| view.columns()).collect::<Result<Vec<_>>>()?;
        let shard = |at: usize| {
            let track = tracks.get(at)?;
            let place = holder(views, *track)?;
            Some((track.ordinal.0, &*views[place], &columns[place]))
        };
        facts_by(tracks.len(), shard, |at| tracks[at].shard)
    }

    /// The same of shards here and elsewhere: each is asked, or read, for its part.
    fn facts_anywhere(
        &self,
        tracks: &[TrackRef],
        set: Option<(&SpaceName, GenerationId)>,
    ) -> Result<Vec<TrackFacts>> {
        self.expect(tracks.iter().copied().filter(|track| self.tracks.is_ambiguous(*track)))?;
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); self.tracks.count()];
        for (at, track) in tracks.iter().enumerate() {
            parts[self.known_place(*track)?].push(at);
        }
        let ordinals =
            |place: usize| parts[place].iter().map(|at| tracks[*at].ordinal.0).collect::<Vec<u32>>();
        let answers = self.facts_of_places(ordinals, set)?;
        let mut facts: Vec<Option<TrackFacts>> = vec![None; tracks.len()];
        for (at, found) in parts.iter().zip(answers) {
            at.iter().zip(found.into_iter().flatten()).for_each(|(at, found)| facts[*at] = Some(found));
        }
        let known = facts.into_iter().zip(tracks);
        Ok(known.map(|(facts, track)| facts.unwrap_or_else(|| TrackFacts::unknown(*track))).collect())
    }
}

/// Facts of several tracks of one shard, in the same order.
///
/// # Errors
/// Damaged files; `Internal` for a track without a row.
pub fn facts_of_shard(view: &TrackView, ordinals: &[u32]) -> Result<Vec<TrackFacts>> {
    let columns = view.columns()?;
    facts_by(ordinals.len(), |at| Some((*ordinals.get(at)?, view, &columns)), |_| view.shard)
}

/// Facts of `count` tracks, each found by its number; memory is asked for what comes next.
fn facts_by<'a>(
    count: usize,
    find: impl Fn(usize) -> Option<(u32, &'a TrackView, &'a TrackColumns<'a>)>,
    named: impl Fn(usize) -> ShardId,
) -> Result<Vec<TrackFacts>> {
    // With room from the start: results collected one by one grow and are copied.
    let mut facts = Vec::with_capacity(count);
    for at in 0..count {
        if let Some((ordinal, view, _)) = find(at + 2 * AHEAD) {
            view.hot_place(ordinal).inspect(|hot| prefetch(slice::from_ref(*hot)));
        }
        if let Some((ordinal, view, columns)) = find(at + AHEAD) {
            view.hot_place(ordinal).and_then(|hot| columns.record(hot)).inspect(|record| prefetch(*record));
        }
        let (ordinal, view, columns) =
            find(at).ok_or_else(|| Error::Internal(format!("no such track shard. shard=`{}`", named(at))))?;
        facts.push(facts_of(view, columns, ordinal)?);
    }
    Ok(facts)
}

/// What the stages need to know of a track.
fn facts_of(view: &TrackView, columns: &TrackColumns<'_>, ordinal: u32) -> Result<TrackFacts> {
    let hot = view.hot(ordinal);
    let row = columns.row(&hot)?;
    let known = |value: f32| Some(value).filter(|value| !value.is_nan());
    Ok(TrackFacts {
        track: view.reference(ordinal),
        key: hot.key,
        recording: view.recording(ordinal),
        artists: row.artists,
        album: Some(AlbumKey(hot.album)).filter(|album| album.0 != 0),
        genres: row.genres,
        audio: AudioFeatures { tempo: known(hot.tempo), energy: known(hot.energy), ..row.audio },
        popularity: known(hot.popularity),
        release_date: Some(Date(hot.release_day)).filter(|date| date.0 != i32::MIN),
        duration_ms: Some(hot.duration_ms).filter(|ms| *ms > 0),
    })
}
