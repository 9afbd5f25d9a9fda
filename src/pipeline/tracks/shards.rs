//! The track shards of one request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::far::{FarShard, TracksElsewhere};
use super::question::{TrackAnswer, TrackQuestion};
use crate::error::{Error, Result};
use crate::storage::track_shard::{Outline, TrackView, are_whole, holder, home_place};
use crate::types::{Deadline, GenerationId, ShardId, SpaceName, SplitMix64, TrackId, TrackRef};

/// One shard, as a request begins with it.
pub enum ShardVersion {
    /// It is here.
    Here(Arc<TrackView>),
    /// It is on other nodes.
    Elsewhere(Outline, Arc<dyn TracksElsewhere>),
    /// It is on other nodes, none of which answers; as it was when one did.
    Missing(Outline),
}

/// One version of every track shard, in the order of their slots. Cheap to clone: clones share what was heard.
#[derive(Clone)]
pub struct TrackShards {
    /// Of shards elsewhere what their outlines say.
    views: Vec<Arc<TrackView>>,
    /// By place; `None` when all are here.
    far: Option<Arc<Vec<Option<FarShard>>>>,
}

/// Where a shard is read.
pub(super) enum Shard<'a> {
    Here(&'a Arc<TrackView>),
    Elsewhere(&'a FarShard),
}

impl TrackShards {
    /// Shards that are all here.
    #[must_use]
    pub fn here(views: Vec<Arc<TrackView>>) -> Self {
        Self { views, far: None }
    }

    /// Shards here and elsewhere.
    ///
    /// # Errors
    /// `Corrupt` for an outline of no shard.
    pub fn new(shards: Vec<ShardVersion>) -> Result<Self> {
        let (mut views, mut far) = (Vec::new(), Vec::new());
        for shard in shards {
            match shard {
                ShardVersion::Here(view) => {
                    views.push(view);
                    far.push(None);
                }
                ShardVersion::Elsewhere(outline, asks) => {
                    views.push(Arc::new(outline.view()?));
                    far.push(Some(FarShard::new(outline, Some(asks))));
                }
                ShardVersion::Missing(outline) => {
                    views.push(Arc::new(outline.view()?));
                    far.push(Some(FarShard::new(outline, None)));
                }
            }
        }
        let far = far.iter().any(Option::is_some).then(|| Arc::new(far));
        Ok(Self { views, far })
    }

    /// Whether they have every slot once. Those that are here were taken so; of others a newer version may have given slots away.
    #[must_use]
    pub fn are_whole(&self) -> bool {
        self.far.is_none() || are_whole(&self.views)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.views.len()
    }

    /// Each shard with the last entry applied in its version.
    #[must_use]
    pub fn versions(&self) -> Vec<(ShardId, u64)> {
        self.views.iter().map(|view| (view.shard, view.applied_index)).collect()
    }

    /// Which shard is at a place.
    #[must_use]
    pub fn id(&self, place: usize) -> ShardId {
        self.views[place].shard
    }

    /// One past the largest ordinal that the shard at a place has given.
    #[must_use]
    pub fn ordinals(&self, place: usize) -> u32 {
        match self.at(place) {
            Shard::Here(view) => view.ordinals(),
            Shard::Elsewhere(far) => far.outline.ordinals,
        }
    }

    /// Whether a name is one that an ordinal of the shard at a place may have.
    #[must_use]
    pub fn names(&self, place: usize, track: TrackRef) -> bool {
        self.views[place].names(track)
    }

    /// The name of the track with an ordinal of the shard at a place.
    #[must_use]
    pub fn reference(&self, place: usize, ordinal: u32) -> TrackRef {
        self.views[place].reference(ordinal)
    }

    /// Whether which shard a track is in has to be asked of one elsewhere.
    pub(in crate::pipeline) fn is_ambiguous(&self, track: TrackRef) -> bool {
        let mut far = self.elsewhere();
        far.any(|(place, _)| self.views[place].has_lineage() && self.names(place, track))
    }

    /// The dimension of a space's vectors, if any shard has some.
    #[must_use]
    pub fn dim(&self, space: &SpaceName, generation: GenerationId) -> Option<u32> {
        (0..self.count()).find_map(|place| match self.at(place) {
            Shard::Here(view) => Some(view.set(space, generation)?.spec.dim),
            Shard::Elsewhere(far) => far.dim(space, generation),
        })
    }

    /// Which version of the catalogue this is: another number for every other. Of several shards their epochs mixed, not
    /// added: readers that take shards at different moments must not take one version for another.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        match &self.views[..] {
            [only] => only.epoch,
            several => several.iter().fold(0, |mixed, view| SplitMix64::new(mixed ^ view.epoch).next_u64()),
        }
    }

    /// The place of the shard that an id is in, if it is anywhere.
    pub(super) fn home(&self, id: &TrackId) -> usize {
        home_place(&self.views, id.as_str())
    }

    /// The versions, when all shards are here.
    #[must_use]
    pub fn all_here(&self) -> Option<&[Arc<TrackView>]> {
        self.far.is_none().then_some(&self.views)
    }

    pub(super) fn at(&self, place: usize) -> Shard<'_> {
        match self.far.as_ref().and_then(|far| far[place].as_ref()) {
            None => Shard::Here(&self.views[place]),
            Some(far) => Shard::Elsewhere(far),
        }
    }

    pub(super) fn far(&self, place: usize) -> Option<&FarShard> {
        self.far.as_ref()?[place].as_ref()
    }

    /// Those that are elsewhere, with their places.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = (usize, &FarShard)> {
        let far = self.far.iter().flat_map(|far| far.iter().enumerate());
        far.filter_map(|(place, far)| Some((place, far.as_ref()?)))
    }

    /// Shards that could not be asked so far.
    #[must_use]
    pub fn missing(&self) -> Vec<ShardId> {
        self.elsewhere().filter(|(_, far)| far.is_silent()).map(|(place, _)| self.id(place)).collect()
    }

    /// The place of the shard that a track is in, as [`holder`] finds it.
    ///
    /// Cost: as [`holder`]; where a shard elsewhere was split and nobody expected the track, a question.
    pub fn place(&self, track: TrackRef, deadline: Deadline) -> Option<usize> {
        if self.far.is_none() {
            return holder(&self.views, track);
        }
        let mut named = None;
        for place in (0..self.count()).filter(|place| self.names(*place, track)) {
            let view = &self.views[place];
            let is_in = !view.has_lineage()
                || match self.at(place) {
                    Shard::Here(view) => view.has_row(track.ordinal.0),
                    Shard::Elsewhere(far) => {
                        far.brief(track.ordinal.0, deadline).is_some_and(|brief| brief.has_row)
                    }
                };
            if is_in {
                return Some(place);
            }
            named.get_or_insert(place);
        }
        named
    }

    /// Asks shards elsewhere, several at a time; the answers in the order of the questions, `None` of a missing shard.
    ///
    /// Cost: a thread for each shard but one.
    ///
    /// # Errors
    /// What is no passing trouble of another node.
    pub(super) fn ask_each<T: Send>(
        &self,
        asked: Vec<(usize, TrackQuestion)>,
        deadline: Deadline,
        read: impl Fn(TrackAnswer) -> Option<T> + Sync,
    ) -> Result<Vec<Option<T>>> {
        let mut parts: BTreeMap<usize, Vec<(usize, TrackQuestion)>> = BTreeMap::new();
        let count = asked.len();
        for (at, (place, question)) in asked.into_iter().enumerate() {
            parts.entry(place).or_default().push((at, question));
        }
        let ask =
            |(place, questions): (usize, Vec<(usize, TrackQuestion)>)| -> Result<Vec<(usize, Option<T>)>> {
                let far =
                    self.far(place).ok_or_else(|| Error::Internal("a shard here was asked".to_owned()))?;
                let one =
                    |(at, question): &(usize, TrackQuestion)| Ok((*at, far.ask(question, deadline, &read)?));
                questions.iter().map(one).collect()
            };
        let mut answers: Vec<Option<T>> = (0..count).map(|_| None).collect();
        let Some(last) = parts.pop_last() else { return Ok(answers) };
        let gone = |_| Err(Error::Internal("a thread that asked another node has panicked".to_owned()));
        let outcomes = std::thread::scope(|scope| {
            let threads: Vec<_> = parts.into_iter().map(|part| scope.spawn(|| ask(part))).collect();
            let own = ask(last);
            let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(gone));
            joined.collect::<Vec<_>>().into_iter().chain([own]).collect::<Vec<_>>()
        });
        for outcome in outcomes {
            outcome?.into_iter().for_each(|(at, answer)| answers[at] = answer);
        }
        Ok(answers)
    }
}
