//! Why a track is in the list: what the sentence may mention, gathered.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::Plan;
use crate::error::{Error, Result};
use crate::pipeline::candidate::Candidate;
use crate::pipeline::cold_start::ColdStart;
use crate::pipeline::explain::{ReasonFacts, TrackName, reason as sentence};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::Source;
use crate::pipeline::sources::{Note, Retrieved};
use crate::storage::track_shard::row::TrackRow;
use crate::types::{GenreKey, GenreTag, TrackRef};

/// The reasons of one list. Few seeds stand behind a list, so their names are read once.
pub(super) struct Reasons<'a> {
    reader: &'a Reader<'a>,
    plan: &'a Plan,
    retrieved: &'a Retrieved,
    step: ColdStart,
    seeds: BTreeMap<TrackRef, Arc<TrackRow>>,
}

impl<'a> Reasons<'a> {
    /// No seed read yet. `step` is where the listener's vector came from.
    pub(super) fn new(
        reader: &'a Reader<'a>,
        plan: &'a Plan,
        retrieved: &'a Retrieved,
        step: ColdStart,
    ) -> Self {
        Self { reader, plan, retrieved, step, seeds: BTreeMap::new() }
    }

    fn note_of(&self, candidate: &Candidate<'_>, explored: Option<Source>) -> Option<Note> {
        let source = explored.or(candidate.main_source());
        source.and_then(|source| self.retrieved.note(source, candidate.track()))
    }

    /// The track that the sentence of [`Reasons::of`] may name.
    pub(super) fn seed_of(&self, candidate: &Candidate<'_>, explored: Option<Source>) -> Option<TrackRef> {
        if self.note_of(candidate, explored).is_some() {
            return None;
        }
        self.retrieved.because(candidate.track())
    }

    /// One sentence a listener understands of a candidate, whose row is given; `explored`: the source of its arm, if it
    /// is an exploration slot.
    ///
    /// # Errors
    /// Damaged files.
    pub(super) fn of(
        &mut self,
        candidate: &Candidate<'_>,
        row: &TrackRow,
        explored: Option<Source>,
    ) -> Result<String> {
        let plan = self.plan;
        if let Some(note) = self.note_of(candidate, explored) {
            let told = super::note::sentence(self.reader, plan, note)?;
            return Ok(if explored.is_some() { format!("exploration: {told}") } else { told });
        }
        let seed = match self.seed_of(candidate, explored) {
            Some(seed) => self.seed(seed)?,
            None => None,
        };
        let is_own = |seed: &Arc<TrackRow>| seed.track.recording_id == row.track.recording_id;
        if explored.is_none() && plan.seeds.is_empty() && seed.as_ref().is_some_and(is_own) {
            return Ok("a favourite of yours".to_owned());
        }
        let name = seed.as_ref().map(|row| TrackName {
            title: &row.track.title,
            artist: row.track.artists.first().map_or("", |artist| &artist.name),
        });
        let liked = |genre: &&GenreTag| plan.listener.profile.genre_share(GenreKey::of(&genre.genre)) > 0.0;
        Ok(sentence(&ReasonFacts {
            // What no source offered was taken by its popularity, to fill the list.
            source: candidate.main_source().or(Some(Source::Trending)),
            explored: explored.is_some(),
            seed: name,
            seeds_requested: !plan.seeds.is_empty(),
            liked_genre: row.track.genres.iter().find(liked).map(|tag| tag.genre.as_str()),
            region: plan.listener.state.user.region,
            step: Some(self.step),
        }))
    }

    /// A seed's row. What is kept of a listener knows favourites of shards that are missing now: these have no name to be told.
    fn seed(&mut self, seed: TrackRef) -> Result<Option<Arc<TrackRow>>> {
        if let Some(row) = self.seeds.get(&seed) {
            return Ok(Some(Arc::clone(row)));
        }
        let row = match self.reader.row(seed) {
            Err(Error::Unavailable(_)) if !self.reader.is_whole() => return Ok(None),
            row => row?,
        };
        self.seeds.insert(seed, Arc::clone(&row));
        Ok(Some(row))
    }
}
