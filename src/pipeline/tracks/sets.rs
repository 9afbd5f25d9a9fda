//! Sets of tracks of one shard: versions of recordings, postings, what may be shown.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::answer_sets::with_words;
use super::far::FarShard;
use super::plain::{bitmap, bitmap_bytes};
use super::question::{AllowedQuestion, TrackAnswer, TrackQuestion};
use super::shards::Shard;
use crate::error::Result;
use crate::filter::{DenseBits, Exclusions, RuleClass, TrackFilter, any_of, compile};
use crate::pipeline::reader::Reader;
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::track_shard::segment::PostingField;
use crate::storage::track_shard::{TrackView, versions_in};
use crate::types::TrackRef;

/// The tracks of one shard that hard rules and a filter allow.
#[derive(Debug, Clone)]
pub struct Base {
    /// One bit an ordinal.
    pub bits: Arc<DenseBits>,
    /// How a shard elsewhere is told of them; `None` for one that is here.
    pub told: Option<Arc<Told>>,
}

/// The tracks of one shard that a request may show, in as few words as possible.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    class: RuleClass,
    filter: TrackFilter,
    only: Option<RoaringBitmap>,
    left_out: RoaringBitmap,
}

impl Told {
    /// Everything that a class may hear.
    #[cfg(test)]
    pub(in crate::pipeline) fn of(class: RuleClass) -> Self {
        let (only, left_out) = (None, RoaringBitmap::new());
        Self { class, filter: TrackFilter::default(), only, left_out }
    }

    /// The same without what is in any of some sets.
    #[must_use]
    pub fn without(&self, excluded: &[&Exclusions]) -> Self {
        let mut told = self.clone();
        excluded.iter().for_each(|set| told.left_out |= set.ordinals());
        told
    }

    /// As a question says it.
    #[must_use]
    pub fn question(&self) -> AllowedQuestion {
        AllowedQuestion {
            class: self.class,
            filter: self.filter.clone(),
            only: self.only.as_ref().map(bitmap_bytes),
            left_out: bitmap_bytes(&self.left_out),
        }
    }
}

impl Base {
    /// What is left without what is in any of some sets.
    #[must_use]
    pub fn without(&self, excluded: &[&Exclusions]) -> AllowedTracks {
        let told = self.told.as_ref().map(|told| Arc::new(told.without(excluded)));
        AllowedTracks::new(Arc::clone(&self.bits), excluded).told_as(told)
    }
}

impl Reader<'_> {
    /// Ordinals of the shard at a place of all versions of some tracks, which may be in any shard; those that are in none have no
    /// versions.
    ///
    /// # Errors
    /// Those of the nodes that were asked; versions in a missing shard, or of tracks in one, are not found.
    pub fn versions(
        &self,
        place: usize,
        tracks: impl IntoIterator<Item = TrackRef>,
    ) -> Result<RoaringBitmap> {
        let mut ordinals = RoaringBitmap::new();
        if let Some(views) = self.tracks.all_here() {
            for track in tracks {
                versions_in(&views[place], views, track, |ordinal| ordinals.insert(ordinal));
            }
            return Ok(ordinals);
        }
        let tracks: Vec<TrackRef> = tracks.into_iter().collect();
        self.expect(tracks.iter().copied())?;
        let (mut own, mut recordings) = (RoaringBitmap::new(), Vec::new());
        for track in tracks {
            match self.place(track) {
                Some(home) if home == place => {
                    own.insert(track.ordinal.0);
                }
                Some(home) => recordings.extend(self.recording_of_row(home, track)),
                None => {}
            }
        }
        if own.is_empty() && recordings.is_empty() {
            return Ok(ordinals);
        }
        match self.tracks.at(place) {
            Shard::Here(view) => Ok(versions_of(view, &own, &recordings)),
            Shard::Elsewhere(far) => {
                recordings.sort_unstable();
                recordings.dedup();
                let question = TrackQuestion::Versions { own: bitmap_bytes(&own), recordings };
                Ok(self.ordinals(far, &question)?.unwrap_or_default())
            }
        }
    }

    /// What the recording of a track is known by, if there is a row of it.
    fn recording_of_row(&self, home: usize, track: TrackRef) -> Option<u64> {
        match self.tracks.at(home) {
            Shard::Here(view) => view.has_row(track.ordinal.0).then(|| view.recording(track.ordinal.0)),
            Shard::Elsewhere(far) => {
                let brief = far.brief(track.ordinal.0, self.deadline)?;
                brief.has_row.then_some(brief.recording)
            }
        }
    }

    /// All versions of a track's recording, itself among them, in all shards.
    ///
    /// # Errors
    /// Those of the nodes that were asked.
    pub fn for_each_version(&self, track: TrackRef, mut each: impl FnMut(TrackRef)) -> Result<()> {
        for place in 0..self.tracks.count() {
            for ordinal in self.versions(place, [track])? {
                each(self.tracks.reference(place, ordinal));
            }
        }
        Ok(())
    }

    /// Ordinals of the shard at a place that are posted under any of some keys.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn postings(
        &self,
        place: usize,
        field: PostingField,
        keys: impl IntoIterator<Item = u64>,
    ) -> Result<RoaringBitmap> {
        let keys: Vec<u64> = keys.into_iter().collect();
        match self.tracks.at(place) {
            Shard::Here(view) => any_of(view, field, &keys),
            Shard::Elsewhere(_) if keys.is_empty() => Ok(RoaringBitmap::new()),
            Shard::Elsewhere(far) => {
                Ok(self.ordinals(far, &TrackQuestion::Postings { field, keys })?.unwrap_or_default())
            }
        }
    }

    /// The tracks of the shard at a place that listeners may hear and that pass a filter; none of a missing one.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn base(&self, place: usize, class: RuleClass, filter: &TrackFilter) -> Result<Base> {
        let named = self.find_all(&filter.exclude_tracks)?;
        let named = named.into_iter().flatten().filter(|(_, exists)| *exists).map(|(track, _)| track);
        let left_out = self.versions(place, named)?;
        match self.tracks.at(place) {
            Shard::Here(view) => {
                let bits = compile(view, &self.caches.rules, class, filter, &left_out)?;
                Ok(Base { bits, told: None })
            }
            Shard::Elsewhere(far) => self.base_elsewhere(place, far, (class, filter), &left_out),
        }
    }

    fn base_elsewhere(
        &self,
        place: usize,
        far: &FarShard,
        (class, filter): (RuleClass, &TrackFilter),
        left_out: &RoaringBitmap,
    ) -> Result<Base> {
        let filter = TrackFilter { exclude_tracks: Vec::new(), ..filter.clone() };
        let question = TrackQuestion::Allowed { class, filter: filter.clone() };
        let fetch = || self.ordinals(far, &question);
        let bits = if far.is_silent() {
            // Whatever is kept of it: tracks that were offered by what is kept could not be shown.
            Arc::new(DenseBits::from_roaring(&RoaringBitmap::new(), far.outline.ordinals))
        } else if filter.is_empty() {
            let version = (self.tracks.id(place), far.outline.epoch);
            self.caches.rules.fetched(version, class, far.outline.ordinals, fetch)?
        } else {
            Arc::new(DenseBits::from_roaring(&fetch()?.unwrap_or_default(), far.outline.ordinals))
        };
        let bits = if left_out.is_empty() {
            bits
        } else {
            let mut without = DenseBits::clone(&bits);
            without.subtract_roaring(left_out);
            Arc::new(without)
        };
        let told = Told { class, filter, only: None, left_out: left_out.clone() };
        Ok(Base { bits, told: Some(Arc::new(told)) })
    }

    /// The members of `base` whose title and artist names hold all words, whatever their case. Cost: a record each.
    ///
    /// # Errors
    /// `Timeout`; damaged files; those of the nodes that were asked.
    pub fn with_words(&self, place: usize, base: &Base, text: &str) -> Result<Base> {
        let (Shard::Elsewhere(far), Some(told)) = (self.tracks.at(place), &base.told) else {
            let Shard::Here(view) = self.tracks.at(place) else { return Ok(base.clone()) };
            let found = with_words(view, base.bits.iter(), text, self.deadline)?;
            let bits = Arc::new(DenseBits::from_roaring(&found, view.ordinals()));
            return Ok(Base { bits, told: None });
        };
        let question = TrackQuestion::Words { allowed: told.question(), text: text.to_owned() };
        let found = self.ordinals(far, &question)?.unwrap_or_default();
        let bits = Arc::new(DenseBits::from_roaring(&found, far.outline.ordinals));
        let told = Told { only: Some(found), ..Told::clone(told) };
        Ok(Base { bits, told: Some(Arc::new(told)) })
    }

    /// A question that is answered with a set of tracks.
    fn ordinals(&self, far: &FarShard, question: &TrackQuestion) -> Result<Option<RoaringBitmap>> {
        let answer = far.ask(question, self.deadline, |answer| match answer {
            TrackAnswer::Ordinals(bytes) => Some(bytes),
            _ => None,
        })?;
        answer.map(|bytes| bitmap(&bytes, far.outline.ordinals)).transpose()
    }
}

/// Ordinals of a shard of all versions of its own tracks and of further recordings.
pub(super) fn versions_of(view: &TrackView, own: &RoaringBitmap, recordings: &[u64]) -> RoaringBitmap {
    let mut ordinals = RoaringBitmap::new();
    for ordinal in own {
        ordinals.extend(view.versions(ordinal));
    }
    for recording in recordings {
        view.of_recording(*recording, |ordinal| {
            ordinals.insert(ordinal);
        });
    }
    ordinals
}
