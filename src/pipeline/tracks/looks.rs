//! What is asked about tracks beside lists: by id, page by page, and how many there are. Nothing is left out where a shard is
//! missing: that is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::expect::{hear_briefs, hear_rows};
use super::far::FarShard;
use super::shards::Shard;
use crate::error::{Error, Result};
use crate::pipeline::reader::Reader;
use crate::storage::track_shard::row::TrackRow;
use crate::types::{GenerationId, SpaceName, TrackId, TrackRef};

/// Ordinals that are looked at together for a page.
const ORDINALS: u32 = 4_096;

/// What is known of a track by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTrack {
    /// Its name.
    pub track: TrackRef,
    /// Whether it was not taken down.
    pub exists: bool,
    /// How long it lasts, if that is known.
    pub duration_ms: Option<u32>,
}

impl Reader<'_> {
    /// What is known of tracks by their ids, in their order; `None` of what no shard has ever heard of.
    ///
    /// # Errors
    /// `Unavailable` when a shard is missing that may know one; those of the nodes that were asked.
    pub fn look_up(&self, ids: &[TrackId]) -> Result<Vec<Option<KnownTrack>>> {
        let found = self.find_all(ids)?;
        self.expect(found.iter().flatten().map(|(track, _)| *track))?;
        let homes: BTreeSet<usize> = ids.iter().map(|id| self.tracks.home(id)).collect();
        let known = |found: Option<(TrackRef, bool)>| {
            let (track, exists) = found?;
            Some(KnownTrack { track, exists, duration_ms: self.duration_ms(track) })
        };
        let known = found.into_iter().map(known).collect();
        homes.into_iter().try_for_each(|place| self.answers(place))?;
        Ok(known)
    }

    /// The record of a track that exists.
    ///
    /// # Errors
    /// `NotFound`; as [`Reader::look_up`].
    pub fn record(&self, id: &TrackId) -> Result<Arc<TrackRow>> {
        self.row(self.existing(id)?.track)
    }

    /// A track that exists.
    ///
    /// # Errors
    /// As [`Reader::record`].
    pub fn existing(&self, id: &TrackId) -> Result<KnownTrack> {
        let known = self.look_up(std::slice::from_ref(id))?.pop().flatten();
        known.filter(|known| known.exists).ok_or_else(|| Error::not_found("track", id))
    }

    /// The tracks of the shard at a place that exist, with ordinals from `first` on, in order; at most so many.
    ///
    /// # Errors
    /// `Unavailable` when the shard is missing; damaged files; those of the nodes that were asked.
    pub fn page(&self, place: usize, first: u32, most: usize) -> Result<Vec<(u32, Arc<TrackRow>)>> {
        let mut rows = Vec::new();
        let end = self.tracks.ordinals(place);
        match self.tracks.at(place) {
            Shard::Here(view) => {
                let live = (first..end).filter(|ordinal| view.hot(*ordinal).live).take(most);
                for ordinal in live {
                    rows.push((ordinal, view.row(ordinal)?));
                }
            }
            Shard::Elsewhere(far) => {
                let mut next = first;
                while next < end && rows.len() < most {
                    let upto = end.min(next.saturating_add(ORDINALS));
                    let left = most - rows.len();
                    rows.extend(self.page_elsewhere((place, far), next..upto, left)?);
                    next = upto;
                }
            }
        }
        Ok(rows)
    }

    fn page_elsewhere(
        &self,
        (place, far): (usize, &FarShard),
        ordinals: Range<u32>,
        most: usize,
    ) -> Result<Vec<(u32, Arc<TrackRow>)>> {
        let unknown = ordinals.clone().filter(|ordinal| !far.knows_brief(*ordinal));
        hear_briefs(self, BTreeMap::from([(place, unknown.collect())]))?;
        self.answers(place)?;
        let is_live = |ordinal: &u32| far.brief(*ordinal, self.deadline).is_some_and(|brief| brief.live);
        let live: BTreeSet<u32> = ordinals.filter(is_live).take(most).collect();
        hear_rows(self, BTreeMap::from([(place, live.clone())]))?;
        self.answers(place)?;
        Ok(live.into_iter().filter_map(|ordinal| Some((ordinal, far.row(ordinal)?))).collect())
    }

    /// How many tracks exist.
    ///
    /// # Errors
    /// `Unavailable` when a shard is missing.
    pub fn live_tracks(&self) -> Result<u64> {
        (0..self.tracks.count()).try_fold(0, |sum: u64, place| {
            self.answers(place)?;
            Ok(sum.saturating_add(match self.tracks.at(place) {
                Shard::Here(view) => view.live_tracks(),
                Shard::Elsewhere(far) => far.outline.live,
            }))
        })
    }

    /// How many tracks have a vector of a space and generation.
    ///
    /// # Errors
    /// `Unavailable` when a shard is missing.
    pub fn count_vectors(&self, space: &SpaceName, generation: GenerationId) -> Result<u64> {
        (0..self.tracks.count()).try_fold(0, |sum: u64, place| {
            self.answers(place)?;
            let live = match self.tracks.at(place) {
                Shard::Here(view) => view.set(space, generation).map(|set| set.live),
                Shard::Elsewhere(far) => far.outline.set(space, generation).map(|set| set.live),
            };
            Ok(sum.saturating_add(live.unwrap_or(0)))
        })
    }

    /// Fails when any shard was missing so far, for what cannot do without one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn whole(&self) -> Result<()> {
        match self.tracks.missing().first() {
            Some(shard) => {
                Err(Error::Unavailable(format!("a track shard did not answer. group=`tracks-{shard}`")))
            }
            None => Ok(()),
        }
    }

    /// That what was read of a track is what its shard said.
    ///
    /// # Errors
    /// `Unavailable` when its shard is missing.
    pub fn has_answered_for(&self, track: TrackRef) -> Result<()> {
        self.answers(self.known_place(track)?)
    }

    fn answers(&self, place: usize) -> Result<()> {
        match self.tracks.far(place) {
            Some(far) if far.is_silent() => {
                let shard = self.tracks.id(place);
                Err(Error::Unavailable(format!("a track shard did not answer. group=`tracks-{shard}`")))
            }
            _ => Ok(()),
        }
    }
}
