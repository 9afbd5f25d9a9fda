//! Caps during selection: so many of an artist, so many of an album, one a recording.

use crate::pipeline::candidate::Candidate;
use crate::pipeline::facts::TrackFacts;
use crate::storage::track_shard::KeyMap;

/// How many tracks of one kind a list may hold; 0 = any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapLimits {
    /// Of one primary artist.
    pub artist: u32,
    /// Of one album.
    pub album: u32,
    /// Whether one recording may appear only once.
    pub one_a_recording: bool,
}

/// Which cap keeps a track out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cap {
    /// Its primary artist has enough tracks.
    Artist,
    /// Its album has enough tracks.
    Album,
    /// Another version of its recording is in.
    Recording,
}

/// For every candidate that was not chosen: its row, and the cap that keeps it out of the chosen rows, if one does.
#[must_use]
pub fn left_out(
    candidates: &[Candidate<'_>],
    chosen: &[usize],
    limits: CapLimits,
) -> Vec<(usize, Option<Cap>)> {
    let mut is_chosen = vec![false; candidates.len()];
    let mut counts = Counts::default();
    for &row in chosen {
        is_chosen[row] = true;
        counts.add(candidates[row].facts);
    }
    let open = candidates.iter().enumerate().filter(|(row, _)| !is_chosen[*row]);
    open.map(|(row, candidate)| (row, counts.cap(candidate.facts, limits))).collect()
}

/// Counts of what is chosen. The maps are only looked up, never walked in an order that matters.
#[derive(Debug, Default)]
pub(super) struct Counts {
    artists: KeyMap<u32>,
    albums: KeyMap<u32>,
    /// By [`spread`].
    recordings: KeyMap<u32>,
}

/// Recordings of a single shard are numbered one by one: an odd factor gives each bits that a map of keys can use.
fn spread(recording: u64) -> u64 {
    recording.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Counts {
    pub(super) fn add(&mut self, facts: &TrackFacts) {
        if let Some(artist) = facts.primary_artist() {
            *self.artists.entry(artist.0).or_default() += 1;
        }
        if let Some(album) = facts.album {
            *self.albums.entry(album.0).or_default() += 1;
        }
        *self.recordings.entry(spread(facts.recording)).or_default() += 1;
    }

    /// The first cap that keeps the track out: recording, artist, album.
    pub(super) fn cap(&self, facts: &TrackFacts, limits: CapLimits) -> Option<Cap> {
        if limits.one_a_recording && self.recordings.contains_key(&spread(facts.recording)) {
            return Some(Cap::Recording);
        }
        let full = |count: Option<&u32>, limit: u32| limit > 0 && count.is_some_and(|&count| count >= limit);
        let artist = facts.primary_artist();
        if artist.is_some_and(|artist| full(self.artists.get(&artist.0), limits.artist)) {
            return Some(Cap::Artist);
        }
        if facts.album.is_some_and(|album| full(self.albums.get(&album.0), limits.album)) {
            return Some(Cap::Album);
        }
        None
    }

    /// What the chosen tracks exceed of the limits that were asked for, in words.
    pub(super) fn exceeded(&self, asked: CapLimits) -> Vec<String> {
        let artist = self.artists.values().copied().max().unwrap_or(0);
        let album = self.albums.values().copied().max().unwrap_or(0);
        let repeats = self.recordings.values().filter(|&&count| count > 1).count();
        let mut words = Vec::new();
        if asked.artist > 0 && artist > asked.artist {
            words.push(format!(
                "artist cap raised from {} to {artist}: too few tracks by other artists",
                asked.artist
            ));
        }
        if asked.album > 0 && album > asked.album {
            words.push(format!(
                "album cap raised from {} to {album}: too few tracks from other albums",
                asked.album
            ));
        }
        if asked.one_a_recording && repeats > 0 {
            words.push(format!("{repeats} recordings appear in several versions: too few other recordings"));
        }
        words
    }
}
