//! Saying which tracks will be looked at: what shards elsewhere have of them is asked for together. Nothing is done for shards
//! that are here.

use std::collections::{BTreeMap, BTreeSet};

use super::far::FarShard;
use super::question::{TrackAnswer, TrackQuestion};
use super::shards::Shard;
use crate::error::{Error, Result};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::gather::facts_of_shard;
use crate::pipeline::reader::Reader;
use crate::types::{GenerationId, SpaceName, TrackRef};

/// Tracks of one question about facts in memory, other facts, records, and vectors: answers of some megabytes at most.
const BRIEFS_MAX: usize = 32_768;
const FACTS_MAX: usize = 8_192;
const ROWS_MAX: usize = 1_024;
const VECTORS_MAX: usize = 1_024;

impl Reader<'_> {
    /// Tracks of which a key, a recording or other facts in memory will be asked.
    ///
    /// # Errors
    /// Those of the nodes that were asked; not that a shard is missing.
    pub fn expect(&self, tracks: impl IntoIterator<Item = TrackRef>) -> Result<()> {
        if self.tracks.all_here().is_some() {
            return Ok(());
        }
        let mut parts: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for track in tracks {
            // Of several that may have it all are asked: that decides which one has.
            for (place, far) in self.tracks.elsewhere() {
                let ordinal = track.ordinal.0;
                if self.tracks.names(place, track) && !far.knows_brief(ordinal) {
                    parts.entry(place).or_default().insert(ordinal);
                }
            }
        }
        hear_briefs(self, parts)
    }

    /// Tracks of which records will be asked.
    ///
    /// # Errors
    /// As [`Reader::expect`].
    pub fn expect_rows(&self, tracks: impl IntoIterator<Item = TrackRef>) -> Result<()> {
        let parts = self.unknown(tracks, FarShard::knows_row)?;
        hear_rows(self, parts)
    }

    /// Tracks of which vectors will be asked.
    ///
    /// # Errors
    /// As [`Reader::expect`].
    pub fn expect_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        tracks: impl IntoIterator<Item = TrackRef>,
    ) -> Result<()> {
        let knows = |far: &FarShard, ordinal: u32| {
            far.dim(space, generation).is_none() || far.vectors().get(space, generation, ordinal).is_some()
        };
        let parts = self.unknown(tracks, knows)?;
        let question = |ordinals| TrackQuestion::Vectors { space: space.clone(), generation, ordinals };
        let hear = |far: &FarShard, ordinals: Vec<u32>, vectors: Vec<Option<Vec<f32>>>| {
            hear_vectors(far, (space, generation), ordinals, vectors)
        };
        self.ask_about(parts, VECTORS_MAX, question, hear, |answer| match answer {
            TrackAnswer::Vectors(vectors) => Some(vectors),
            _ => None,
        })
    }

    /// Where the vectors of tracks are, in their order; another vector is at another place.
    ///
    /// # Errors
    /// As [`Reader::expect`].
    pub fn locations(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        tracks: &[TrackRef],
    ) -> Result<Vec<Option<(u32, u32)>>> {
        self.expect(tracks.iter().copied().filter(|track| self.tracks.is_ambiguous(*track)))?;
        let mut places = Vec::with_capacity(tracks.len());
        let mut far: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, track) in tracks.iter().enumerate() {
            let place = self.place(*track);
            places.push(match place.map(|place| (place, self.tracks.at(place))) {
                None => None,
                Some((_, Shard::Here(view))) => {
                    view.set(space, generation).and_then(|set| set.location(track.ordinal.0))
                }
                Some((place, Shard::Elsewhere(_))) => {
                    far.entry(place).or_default().push(at);
                    None
                }
            });
        }
        let question = |at: &Vec<usize>| TrackQuestion::Locations {
            space: space.clone(),
            generation,
            ordinals: at.iter().map(|at| tracks[*at].ordinal.0).collect(),
        };
        let asked = far.iter().map(|(place, at)| (*place, question(at))).collect();
        let answers = self.tracks.ask_each(asked, self.deadline, |answer| match answer {
            TrackAnswer::Locations(places) => Some(places),
            _ => None,
        })?;
        for (at, answer) in far.values().zip(answers) {
            let Some(answer) = answer else { continue };
            same_number(at.len(), answer.len())?;
            at.iter().zip(answer).for_each(|(at, place)| places[*at] = place);
        }
        Ok(places)
    }

    /// Facts of tracks of each shard, by place; `None` of a missing one. Of tracks elsewhere their vectors of a set come with them,
    /// where it is named.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub(in crate::pipeline) fn facts_of_places(
        &self,
        ordinals: impl Fn(usize) -> Vec<u32>,
        set: Option<(&SpaceName, GenerationId)>,
    ) -> Result<Vec<Option<Vec<TrackFacts>>>> {
        let mut pieces: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut asked = Vec::new();
        for (place, far) in self.tracks.elsewhere() {
            let set = set.filter(|(space, generation)| far.dim(space, *generation).is_some());
            for piece in ordinals(place).chunks(FACTS_MAX) {
                asked.push((place, facts_question(piece.to_vec(), set)));
                pieces.push((place, piece.to_vec()));
            }
        }
        let answers = self.tracks.ask_each(asked, self.deadline, |answer| match answer {
            TrackAnswer::Facts(facts) => Some((facts, None)),
            TrackAnswer::FactsAndVectors(facts, vectors) => Some((facts, Some(vectors))),
            _ => None,
        })?;
        let mut all: Vec<Option<Vec<TrackFacts>>> = Vec::with_capacity(self.tracks.count());
        for place in 0..self.tracks.count() {
            all.push(match self.tracks.at(place) {
                Shard::Here(view) => Some(facts_of_shard(view, &ordinals(place))?),
                Shard::Elsewhere(_) => Some(Vec::new()),
            });
        }
        for ((place, piece), answer) in pieces.into_iter().zip(answers) {
            let Some(answer) = answer.filter(|_| all[place].is_some()) else {
                all[place] = None;
                continue;
            };
            let (facts, vectors) = answer;
            same_number(piece.len(), facts.len())?;
            if let (Some(far), Some(set), Some(vectors)) = (self.tracks.far(place), set, vectors) {
                same_number(piece.len(), vectors.len())?;
                hear_vectors(far, set, piece.clone(), vectors)?;
            }
            let named = piece.into_iter().map(|ordinal| self.tracks.reference(place, ordinal));
            let facts = named.zip(facts).map(|(track, plain)| plain.of(track));
            all[place].get_or_insert_default().extend(facts);
        }
        Ok(all)
    }

    /// Tracks of shards elsewhere of which something is not known, by shard.
    fn unknown(
        &self,
        tracks: impl IntoIterator<Item = TrackRef>,
        knows: impl Fn(&FarShard, u32) -> bool,
    ) -> Result<BTreeMap<usize, BTreeSet<u32>>> {
        let mut parts: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        if self.tracks.all_here().is_some() {
            return Ok(parts);
        }
        let tracks: Vec<TrackRef> = tracks.into_iter().collect();
        self.expect(tracks.iter().copied().filter(|track| self.tracks.is_ambiguous(*track)))?;
        for track in tracks {
            if let Some(place) = self.place(track)
                && let Shard::Elsewhere(far) = self.tracks.at(place)
                && !knows(far, track.ordinal.0)
            {
                parts.entry(place).or_default().insert(track.ordinal.0);
            }
        }
        Ok(parts)
    }

    /// Asks shards about tracks, some at a time, and hears what they say.
    fn ask_about<T: Send>(
        &self,
        parts: BTreeMap<usize, BTreeSet<u32>>,
        most: usize,
        question: impl Fn(Vec<u32>) -> TrackQuestion,
        hear: impl Fn(&FarShard, Vec<u32>, Vec<T>) -> Result<()>,
        read: impl Fn(TrackAnswer) -> Option<Vec<T>> + Sync,
    ) -> Result<()> {
        let mut pieces: Vec<(usize, Vec<u32>)> = Vec::new();
        for (place, ordinals) in parts {
            let ordinals: Vec<u32> = ordinals.into_iter().collect();
            pieces.extend(ordinals.chunks(most).map(|piece| (place, piece.to_vec())));
        }
        let asked = pieces.iter().map(|(place, ordinals)| (*place, question(ordinals.clone()))).collect();
        let answers = self.tracks.ask_each(asked, self.deadline, read)?;
        for ((place, ordinals), answer) in pieces.into_iter().zip(answers) {
            let (Some(far), Some(answer)) = (self.tracks.far(place), answer) else { continue };
            same_number(ordinals.len(), answer.len())?;
            hear(far, ordinals, answer)?;
        }
        Ok(())
    }
}

/// Asks what is kept in memory of tracks of shards elsewhere, by place.
///
/// # Errors
/// As [`Reader::expect`].
pub(super) fn hear_briefs(reader: &Reader<'_>, parts: BTreeMap<usize, BTreeSet<u32>>) -> Result<()> {
    let hear = |far: &FarShard, ordinals: Vec<u32>, briefs: Vec<_>| {
        far.hear_briefs(ordinals.into_iter().zip(briefs));
        Ok(())
    };
    reader.ask_about(parts, BRIEFS_MAX, TrackQuestion::Briefs, hear, |answer| match answer {
        TrackAnswer::Briefs(briefs) => Some(briefs),
        _ => None,
    })
}

/// Asks records of tracks of shards elsewhere, by place.
///
/// # Errors
/// As [`Reader::expect`].
pub(super) fn hear_rows(reader: &Reader<'_>, parts: BTreeMap<usize, BTreeSet<u32>>) -> Result<()> {
    let hear = |far: &FarShard, ordinals: Vec<u32>, rows: Vec<_>| {
        far.hear_rows(ordinals.into_iter().zip(rows));
        Ok(())
    };
    reader.ask_about(parts, ROWS_MAX, TrackQuestion::Rows, hear, |answer| match answer {
        TrackAnswer::Rows(rows) => Some(rows),
        _ => None,
    })
}

fn facts_question(ordinals: Vec<u32>, set: Option<(&SpaceName, GenerationId)>) -> TrackQuestion {
    match set {
        None => TrackQuestion::Facts(ordinals),
        Some((space, generation)) => {
            TrackQuestion::FactsAndVectors { space: space.clone(), generation, ordinals }
        }
    }
}

/// Takes vectors in, one for each ordinal.
fn hear_vectors(
    far: &FarShard,
    (space, generation): (&SpaceName, GenerationId),
    ordinals: Vec<u32>,
    vectors: Vec<Option<Vec<f32>>>,
) -> Result<()> {
    let dim = far.dim(space, generation);
    vectors.iter().flatten().try_for_each(|vector| fits(vector, dim))?;
    far.vectors().add(space, generation, ordinals.into_iter().zip(vectors));
    Ok(())
}

/// An answer about several tracks has one part for each.
pub(super) fn same_number(asked: usize, answered: usize) -> Result<()> {
    if asked == answered {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "a track shard answered about other tracks. asked=`{asked}`, answered=`{answered}`"
    )))
}

/// A vector of another node is one that could be stored here.
fn fits(vector: &[f32], dim: Option<u32>) -> Result<()> {
    if dim.is_some_and(|dim| dim as usize == vector.len()) && vector.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "a track shard answered a vector that is none of its space. dim=`{dim:?}`, components=`{}`",
        vector.len()
    )))
}
