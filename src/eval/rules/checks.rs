//! One list against the records: what breaks a rule, what repeats, what is missing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::shape;
use crate::error::Result;
use crate::node::Segue;
use crate::pipeline::recipe::{HeardWindow, Recipe, Source};
use crate::pipeline::request::{Recommendation, RecommendedTrack};
use crate::storage::track_shard::row::TrackRow;
use crate::storage::user_shard::UserView;
use crate::types::{DAY_MS, Date, RegionSet, Timestamp, Track, TrackId, TrackRef};

/// Something worth counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Region,
    Explicit,
    BlockedArtist,
    BlockedTrack,
    TakenDown,
    ReleaseWindow,
    AfterBlock,
    Heard,
    Served,
    Recording,
    /// More by one artist, or of one album, than the recipe allows, and not said.
    ArtistCap,
    AlbumCap,
    /// Tracks of one artist nearer to each other than they had to be, and not said.
    ArtistGap,
    /// An exploration in one of the first three places.
    ExploredFirst,
    /// A repeat that the reply announced: allowed.
    Announced,
    /// Fewer than asked: allowed by itself.
    Short,
    ShortWhileTracksRemain,
    ShortUnannounced,
}

impl Finding {
    /// Whether it must not be.
    pub(super) fn is_wrong(self) -> bool {
        !matches!(self, Self::Announced | Self::Short)
    }

    /// The name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Explicit => "explicit",
            Self::BlockedArtist => "blocked_artist",
            Self::BlockedTrack => "blocked_track",
            Self::TakenDown => "taken_down",
            Self::ReleaseWindow => "release_window",
            Self::AfterBlock => "after_block",
            Self::Heard => "heard",
            Self::Served => "served",
            Self::Recording => "recording",
            Self::ArtistCap => "artist_cap",
            Self::AlbumCap => "album_cap",
            Self::ArtistGap => "artist_gap",
            Self::ExploredFirst => "explored_first",
            Self::Announced => "announced",
            Self::Short => "short",
            Self::ShortWhileTracksRemain => "short_while_tracks_remain",
            Self::ShortUnannounced => "short_unannounced",
        }
    }
}

/// Every stored track, by id and by place, with its recording as a number.
pub(super) struct Catalogue {
    rows: Vec<(Arc<TrackRow>, u32)>,
    by_id: HashMap<TrackId, usize>,
    by_place: HashMap<TrackRef, usize>,
}

impl Catalogue {
    /// Reads all rows.
    pub(super) fn read(engine: &Segue) -> Result<Self> {
        let mut recordings = HashMap::new();
        let (mut rows, mut by_id, mut by_place) = (Vec::new(), HashMap::new(), HashMap::new());
        for (place, row) in engine.stored_tracks()? {
            let next = u32::try_from(recordings.len()).unwrap_or(u32::MAX);
            let recording = *recordings.entry(row.track.recording_id.clone()).or_insert(next);
            by_id.insert(row.track.track_id.clone(), rows.len());
            by_place.insert(place, rows.len());
            rows.push((row, recording));
        }
        Ok(Self { rows, by_id, by_place })
    }

    fn recording_of(&self, id: &TrackId) -> Option<u32> {
        self.by_id.get(id).map(|&at| self.rows[at].1)
    }

    fn recording_at(&self, place: TrackRef) -> Option<u32> {
        self.by_place.get(&place).map(|&at| self.rows[at].1)
    }
}

/// One listener, as their record and history say.
pub(super) struct Judge<'a> {
    catalogue: &'a Catalogue,
    listener: Arc<UserView>,
    as_of: Timestamp,
    blocked: HashSet<u32>,
    /// Recording → when it was last heard.
    heard: HashMap<u32, Timestamp>,
    /// Recording → when it was last served.
    served: HashMap<u32, Timestamp>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, listener: Arc<UserView>, as_of: Timestamp) -> Self {
        let user = &listener.user;
        let named = user.blocked_tracks.iter().filter_map(|id| catalogue.recording_of(id));
        let hidden = listener.hidden.iter().filter_map(|&place| catalogue.recording_at(place));
        let blocked = named.chain(hidden).collect();
        let newest = |events: &mut dyn Iterator<Item = (TrackRef, Timestamp)>| {
            let mut last: HashMap<u32, Timestamp> = HashMap::new();
            for (place, at) in events {
                if let Some(recording) = catalogue.recording_at(place) {
                    let held = last.entry(recording).or_insert(at);
                    *held = at.max(*held);
                }
            }
            last
        };
        let heard = listener.heard.tracks.iter().copied().zip(listener.heard.last.iter().copied());
        let served =
            listener.served.iter().flat_map(|list| list.tracks.iter().map(|slot| (slot.track, list.at)));
        let (heard, served) = (newest(&mut heard.into_iter()), newest(&mut served.into_iter()));
        Self { catalogue, blocked, heard, served, as_of, listener }
    }

    /// Everything there is to say of a list, with the track or the numbers.
    pub(super) fn findings(&self, recipe: &Recipe, list: &Recommendation) -> Vec<(Finding, String)> {
        let mut found = Vec::new();
        let said = |words: &str| list.relaxed.iter().any(|text| text.contains(words));
        let mut shown = HashSet::new();
        let mut tracks = Vec::with_capacity(list.tracks.len());
        for listed in &list.tracks {
            let mut note = |finding| found.push((finding, listed.track_id.to_string()));
            let Some(&at) = self.catalogue.by_id.get(&listed.track_id) else {
                note(Finding::TakenDown);
                continue;
            };
            let (row, recording) = &self.catalogue.rows[at];
            tracks.push((&row.track, listed.explored));
            self.hard(recipe, row, *recording).into_iter().for_each(&mut note);
            let collaborative = listed.sources.iter().any(|source| source == Source::Collaborative.as_str());
            let window = recipe.heard_collaborative.filter(|_| collaborative).unwrap_or(recipe.heard);
            if self.was_heard(*recording, window) {
                note(if said("heard window") { Finding::Announced } else { Finding::Heard });
            }
            if self.was_served(*recording, recipe.served_weeks) {
                note(if said("served window") { Finding::Announced } else { Finding::Served });
            }
            if !shown.insert(*recording) {
                note(if said("several versions") { Finding::Announced } else { Finding::Recording });
            }
        }
        found.extend(shape::findings(recipe, &tracks, &list.relaxed));
        self.short(recipe, list, &shown, &mut found);
        found
    }

    fn short(
        &self,
        recipe: &Recipe,
        list: &Recommendation,
        shown: &HashSet<u32>,
        found: &mut Vec<(Finding, String)>,
    ) {
        let asked = recipe.n as usize;
        if list.tracks.len() >= asked {
            return;
        }
        let allowed = self.allowed_recordings(recipe);
        let detail = format!("tracks={}, asked={asked}, allowed recordings={allowed}", list.tracks.len());
        found.push((Finding::Short, detail.clone()));
        let is_release = |track: &RecommendedTrack| {
            track.sources.iter().any(|source| source == Source::NewReleases.as_str())
        };
        let remain = if recipe.is_releases_only() && list.tracks.iter().any(is_release) {
            // A list of the listener's artists ends where their releases end; those of followed ones are known here.
            !self.followed_releases(recipe).is_subset(shown)
        } else {
            shown.len() < asked.min(allowed)
        };
        if remain {
            found.push((Finding::ShortWhileTracksRemain, detail.clone()));
        }
        if list.degraded.is_empty() {
            found.push((Finding::ShortUnannounced, detail));
        }
    }

    /// Hard rules that a track breaks.
    fn hard(&self, recipe: &Recipe, row: &TrackRow, recording: u32) -> Vec<Finding> {
        let (user, track) = (&self.listener.user, &row.track);
        let available = match &track.regions {
            RegionSet::All => true,
            RegionSet::Only(regions) => user.region.is_some_and(|region| regions.contains(&region)),
        };
        let by_blocked = track.artists.iter().any(|artist| user.blocked_artists.contains(&artist.id));
        let broken = [
            (!available, Finding::Region),
            (user.filter_explicit && track.explicit != Some(false), Finding::Explicit),
            (by_blocked, Finding::BlockedArtist),
            (self.blocked.contains(&recording), Finding::BlockedTrack),
            (row.deleted, Finding::TakenDown),
            (!self.released_in_time(recipe, track), Finding::ReleaseWindow),
        ];
        broken.into_iter().filter(|(is_broken, _)| *is_broken).map(|(_, finding)| finding).collect()
    }

    fn released_in_time(&self, recipe: &Recipe, track: &Track) -> bool {
        let today = i32::try_from(self.as_of.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX);
        let oldest = today - i32::from(recipe.released_within_days);
        let in_time = |Date(day): Date| (oldest..=today).contains(&day);
        recipe.released_within_days == 0 || track.release_date.is_some_and(in_time)
    }

    fn was_heard(&self, recording: u32, window: HeardWindow) -> bool {
        let Some(last) = self.heard.get(&recording) else { return false };
        match window {
            HeardWindow::Allowed => false,
            HeardWindow::Days(days) => self.as_of.0 - last.0 < i64::from(days) * DAY_MS,
            HeardWindow::Ever => true,
        }
    }

    fn was_served(&self, recording: u32, weeks: u16) -> bool {
        let Some(last) = self.served.get(&recording) else { return false };
        self.as_of.0 - last.0 < i64::from(weeks) * 7 * DAY_MS
    }

    /// How many recordings the listener may be shown at all: soft windows give way before a list stays short.
    fn allowed_recordings(&self, recipe: &Recipe) -> usize {
        self.allowed(recipe).map(|(_, recording)| recording).collect::<HashSet<u32>>().len()
    }

    /// Recordings a list of releases must hold before it may be short: allowed, unheard, by an artist who is followed.
    fn followed_releases(&self, recipe: &Recipe) -> HashSet<u32> {
        let followed = &self.listener.user.followed_artists;
        let by_followed =
            |row: &TrackRow| row.track.artists.iter().any(|artist| followed.contains(&artist.id));
        let owed = self.allowed(recipe).filter(|(row, recording)| {
            by_followed(row)
                && !self.was_heard(*recording, recipe.heard)
                && !self.was_served(*recording, recipe.served_weeks)
        });
        owed.map(|(_, recording)| recording).collect()
    }

    fn allowed(&self, recipe: &Recipe) -> impl Iterator<Item = (&TrackRow, u32)> {
        let rows = self.catalogue.rows.iter().map(|(row, recording)| (&**row, *recording));
        rows.filter(|(row, recording)| self.hard(recipe, row, *recording).is_empty())
    }
}
