//! Looks at single tracks, wherever they are. Those that many are about to be looked at with are better expected first
//! ([`Reader::expect`] and its likes).

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;

use segue_index::kernels::prefetch;

use super::expect::same_number;
use super::question::{TrackAnswer, TrackQuestion};
use super::shards::Shard;
use crate::error::{Error, Result};
use crate::pipeline::reader::Reader;
use crate::storage::track_shard::row::{TrackHot, TrackRow};
use crate::types::{GenerationId, SpaceName, TrackId, TrackRef};

impl Reader<'_> {
    /// What ties between tracks are decided by, the smaller first: the key of the track's id, which is the same however
    /// many shards there are. Shards own ranges of its top bits, so they stand in its order.
    #[must_use]
    pub fn key(&self, track: TrackRef) -> u64 {
        self.place(track).map_or(0, |place| match self.tracks.at(place) {
            Shard::Here(view) => view.hot(track.ordinal.0).key,
            Shard::Elsewhere(far) => far.brief(track.ordinal.0, self.deadline).map_or(0, |brief| brief.key),
        })
    }

    /// What a track's recording is known by: the same for all its versions.
    #[must_use]
    pub fn recording(&self, track: TrackRef) -> u64 {
        self.place(track).map_or(0, |place| match self.tracks.at(place) {
            Shard::Here(view) => view.recording(track.ordinal.0),
            Shard::Elsewhere(far) => {
                far.brief(track.ordinal.0, self.deadline).map_or(0, |brief| brief.recording)
            }
        })
    }

    /// The facts of a track that are kept in memory; of one that is not there, [`TrackHot::ABSENT`].
    ///
    /// # Errors
    /// `Internal` when no shard of this reader has a track of this name.
    pub fn hot(&self, track: TrackRef) -> Result<TrackHot> {
        Ok(match self.tracks.at(self.known_place(track)?) {
            Shard::Here(view) => view.hot(track.ordinal.0),
            Shard::Elsewhere(far) => {
                let brief = far.brief(track.ordinal.0, self.deadline);
                brief.map_or(TrackHot::ABSENT, |brief| brief.hot())
            }
        })
    }

    /// Length of a track in milliseconds, if it is known.
    #[must_use]
    pub fn duration_ms(&self, track: TrackRef) -> Option<u32> {
        self.hot(track).ok().map(|hot| hot.duration_ms).filter(|ms| *ms > 0)
    }

    /// Asks memory for what is kept there of a track, and will be asked for soon.
    pub fn expect_hot(&self, track: TrackRef) {
        if let Some(place) = self.place(track)
            && let Shard::Here(view) = self.tracks.at(place)
        {
            view.hot_place(track.ordinal.0).inspect(|hot| prefetch(slice::from_ref(*hot)));
        }
    }

    /// The newest record of a track, be it one that was taken down.
    ///
    /// # Errors
    /// Damaged files; `Unavailable` when its shard is missing.
    pub fn row(&self, track: TrackRef) -> Result<Arc<TrackRow>> {
        match self.tracks.at(self.known_place(track)?) {
            Shard::Here(view) => view.row(track.ordinal.0),
            Shard::Elsewhere(far) => {
                self.expect_rows([track])?;
                far.row(track.ordinal.0).ok_or_else(|| {
                    let shard = far.outline.shard;
                    Error::Unavailable(format!("a track shard did not answer. shard=`{shard}`"))
                })
            }
        }
    }

    /// A track's vector in a space; of a space with generations, in the request's.
    #[must_use]
    pub fn vector(&self, space: &SpaceName, generation: GenerationId, track: TrackRef) -> Option<&[f32]> {
        match self.tracks.at(self.place(track)?) {
            Shard::Here(view) => view.set(space, generation)?.vector(track.ordinal.0),
            Shard::Elsewhere(far) => {
                let vectors = far.vectors();
                if let Some(known) = vectors.get(space, generation, track.ordinal.0) {
                    return known;
                }
                self.expect_vectors(space, generation, [track]).ok()?;
                vectors.get(space, generation, track.ordinal.0)?
            }
        }
    }

    /// Where a track that exists is.
    ///
    /// # Errors
    /// Those of the nodes that were asked.
    pub fn find(&self, id: &TrackId) -> Result<Option<TrackRef>> {
        let found = self.find_all(slice::from_ref(id))?.pop().flatten();
        Ok(found.filter(|(_, exists)| *exists).map(|(track, _)| track))
    }

    /// The names that ids were given, in their order, and whether the tracks still exist. A shard elsewhere is asked once.
    ///
    /// # Errors
    /// Those of the nodes that were asked.
    pub fn find_all(&self, ids: &[TrackId]) -> Result<Vec<Option<(TrackRef, bool)>>> {
        let mut found = Vec::with_capacity(ids.len());
        let mut far: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, id) in ids.iter().enumerate() {
            let place = self.tracks.home(id);
            found.push(match self.tracks.at(place) {
                Shard::Here(view) => view
                    .ordinal_of(id.as_str())
                    .map(|ordinal| (view.reference(ordinal), view.hot(ordinal).live)),
                Shard::Elsewhere(_) => {
                    far.entry(place).or_default().push(at);
                    None
                }
            });
        }
        let question = |at: &Vec<usize>| TrackQuestion::Find(at.iter().map(|at| ids[*at].clone()).collect());
        let asked = far.iter().map(|(place, at)| (*place, question(at))).collect();
        let answers = self.tracks.ask_each(asked, self.deadline, |answer| match answer {
            TrackAnswer::Found(found) => Some(found),
            _ => None,
        })?;
        for ((place, at), answer) in far.iter().zip(answers) {
            let Some(answer) = answer else { continue };
            same_number(at.len(), answer.len())?;
            for (at, answer) in at.iter().zip(answer) {
                found[*at] = answer.map(|(ordinal, exists)| (self.tracks.reference(*place, ordinal), exists));
            }
        }
        Ok(found)
    }

    /// Whether no track shard is missing so far: what was derived of tracks may be kept.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tracks.missing().is_empty()
    }

    /// Whether every look at a track meets one version of it, because its shard is here.
    #[must_use]
    pub fn is_here(&self, track: TrackRef) -> bool {
        self.place(track).is_some_and(|place| self.tracks.far(place).is_none())
    }

    /// Which shards are missing so far, a sentence each.
    pub fn missing_words(&self) -> impl Iterator<Item = String> {
        self.tracks.missing().into_iter().map(|shard| format!("track shard did not answer: tracks-{shard}"))
    }

    /// The place of the shard that a track is in.
    #[must_use]
    pub(in crate::pipeline) fn place(&self, track: TrackRef) -> Option<usize> {
        self.tracks.place(track, self.deadline)
    }

    pub(in crate::pipeline) fn known_place(&self, track: TrackRef) -> Result<usize> {
        let found = self.place(track);
        found.ok_or_else(|| Error::Internal(format!("no such track shard. shard=`{}`", track.shard)))
    }
}
