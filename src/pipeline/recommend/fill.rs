//! Filling a short list: deeper, then with looser caps, then with looser windows; hard rules never yield.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Plan, Windows};
use super::rank::Ranking;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::Source;
use crate::pipeline::sources::trending::most_popular;
use crate::storage::track_shard::versions_in;
use crate::types::{Timestamp, TrackRef};

/// Tracks fetched for every missing one, since caps and versions rule some out.
const FETCH_FACTOR: usize = 8;

/// What is tried, in this order, while the list is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillStep {
    /// The most popular tracks that everything allows.
    Deeper,
    /// Every track that everything allows, and caps yield as far as needed.
    Everything,
    /// Tracks served lately.
    Served,
    /// Tracks heard inside the window, longest ago first.
    Heard,
}

impl FillStep {
    /// Every step in order.
    pub const ALL: [Self; 4] = [Self::Deeper, Self::Everything, Self::Served, Self::Heard];

    /// Whether artist and album caps may yield.
    #[must_use]
    pub fn caps_yield(self) -> bool {
        self != Self::Deeper
    }

    /// What the step relaxes, in words; caps say so themselves.
    #[must_use]
    pub fn relaxes(self) -> Option<&'static str> {
        match self {
            Self::Deeper | Self::Everything => None,
            Self::Served => Some("served window: too few other tracks are allowed"),
            Self::Heard => Some("heard window, oldest first: too few other tracks are allowed"),
        }
    }
}

/// Tracks a step adds, best first; none that the ranking has already.
pub fn more(reader: &Reader<'_>, plan: &Plan, step: FillStep, ranking: &Ranking<'_>) -> Vec<TrackRef> {
    let taken: BTreeSet<TrackRef> = ranking.candidates.iter().map(|candidate| candidate.track()).collect();
    let (has_served, has_heard) = plan.has_windows();
    let popular = |k: usize, windows: Windows| -> Vec<TrackRef> {
        most_popular(reader, k, &plan.allowed(Source::Trending, windows))
            .into_iter()
            .map(|(track, _)| track)
            .collect()
    };
    let many = FETCH_FACTOR * plan.n + taken.len();
    let mut tracks = match step {
        FillStep::Deeper => popular(many, Windows::All),
        FillStep::Everything => popular(4 * many, Windows::All),
        FillStep::Served if has_served => popular(many, Windows::Heard),
        FillStep::Heard if has_heard => oldest_heard(reader, plan),
        FillStep::Served | FillStep::Heard => Vec::new(),
    };
    tracks.retain(|track| !taken.contains(track));
    tracks
}

/// Versions of heard recordings that hard rules allow, longest not heard first; at most a few a missing place. The window
/// keeps every version away, so every version may come back: the one that was heard may be another.
fn oldest_heard(reader: &Reader<'_>, plan: &Plan) -> Vec<TrackRef> {
    let heard = plan.listener.heard_oldest_first();
    // Later entries are newer: the last word on a recording is when it was last heard.
    let recording = |track: TrackRef| reader.view(track).map_or(0, |view| view.recording(track.ordinal.0));
    let last: BTreeMap<u64, Timestamp> = heard.iter().map(|(at, track)| (recording(*track), *at)).collect();
    let mut tracks = Vec::new();
    for (view, allowed) in reader.tracks.iter().zip(plan.allowed(Source::Trending, Windows::None)) {
        let mut versions: BTreeSet<u32> = BTreeSet::new();
        for (_, track) in &heard {
            versions_in(view, &reader.tracks, *track, |ordinal| versions.insert(ordinal));
        }
        tracks.extend(versions.into_iter().filter(|ordinal| allowed.contains(*ordinal)).map(|ordinal| {
            let at = last.get(&view.recording(ordinal)).copied();
            let track = view.reference(ordinal);
            (at, view.hot(ordinal).key, track)
        }));
    }
    tracks.sort_unstable();
    tracks.truncate(FETCH_FACTOR * plan.n);
    tracks.into_iter().map(|(.., track)| track).collect()
}
