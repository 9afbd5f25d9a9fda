//! Filling a short list: deeper, then with looser caps, then with looser windows; hard rules never yield.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Plan, Windows};
use super::rank::Ranking;
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::Source;
use crate::pipeline::sources::trending::most_popular;
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
    /// Tracks served lately, longest ago first.
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
            Self::Served => Some("served window, oldest first: too few other tracks are allowed"),
            Self::Heard => Some("heard window, oldest first: too few other tracks are allowed"),
        }
    }
}

/// Tracks a step adds, best first; none that the ranking has already.
///
/// # Errors
/// Those of the nodes that were asked.
pub fn more(
    reader: &Reader<'_>,
    plan: &Plan,
    step: FillStep,
    ranking: &Ranking<'_>,
) -> Result<Vec<TrackRef>> {
    let taken: BTreeSet<TrackRef> = ranking.candidates.iter().map(|candidate| candidate.track()).collect();
    let (has_served, has_heard) = plan.has_windows();
    let popular = |k: usize, windows: Windows| -> Result<Vec<TrackRef>> {
        let found = most_popular(reader, k, &plan.allowed(Source::Trending, windows))?;
        Ok(found.into_iter().map(|(track, _)| track).collect())
    };
    let many = FETCH_FACTOR * plan.n + taken.len();
    let mut tracks = match step {
        FillStep::Deeper => popular(many, Windows::All)?,
        FillStep::Everything => popular(4 * many, Windows::All)?,
        FillStep::Served if has_served => {
            oldest(reader, plan, &plan.listener.served_oldest_first(), Windows::Heard)?
        }
        FillStep::Heard if has_heard => {
            oldest(reader, plan, &plan.listener.heard_oldest_first(), Windows::None)?
        }
        FillStep::Served | FillStep::Heard => Vec::new(),
    };
    tracks.retain(|track| !taken.contains(track));
    Ok(tracks)
}

/// Versions of recordings that hard rules and these windows allow, longest ago first; at most a few a missing place. A window
/// keeps every version away, so every version may come back: the one that is allowed may be another.
///
/// * `ascending`: tracks and when, later ones after earlier ones.
fn oldest(
    reader: &Reader<'_>,
    plan: &Plan,
    ascending: &[(Timestamp, TrackRef)],
    windows: Windows,
) -> Result<Vec<TrackRef>> {
    reader.expect(ascending.iter().map(|(_, track)| *track))?;
    // The last word on a recording is its newest time.
    let of = |(at, track): &(Timestamp, TrackRef)| (reader.recording(*track), *at);
    let last: BTreeMap<u64, Timestamp> = ascending.iter().map(of).collect();
    let mut names = Vec::new();
    for (place, allowed) in plan.allowed(Source::Trending, windows).iter().enumerate() {
        let versions = reader.versions(place, ascending.iter().map(|(_, track)| *track))?;
        let open = versions.into_iter().filter(|ordinal| allowed.contains(*ordinal));
        names.extend(open.map(|ordinal| reader.tracks.reference(place, ordinal)));
    }
    reader.expect(names.iter().copied())?;
    let ranked = |track: TrackRef| (last.get(&reader.recording(track)).copied(), reader.key(track), track);
    let mut tracks: Vec<(Option<Timestamp>, u64, TrackRef)> = names.into_iter().map(ranked).collect();
    tracks.sort_unstable();
    tracks.truncate(FETCH_FACTOR * plan.n);
    Ok(tracks.into_iter().map(|(.., track)| track).collect())
}
