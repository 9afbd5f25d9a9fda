//! The nearest tracks to some vectors, of every shard.

use super::question::{TrackAnswer, TrackQuestion};
use crate::error::Result;
use crate::pipeline::reader::{Caches, Reader};
use crate::pipeline::retrieve::{AllowedTracks, Effort, Found, Search};
use crate::storage::track_shard::TrackView;
use crate::types::{Deadline, GenerationId, Metric, SpaceName};

/// Queries against one space, all with the same effort.
pub struct Nearest<'a> {
    /// The space.
    pub space: &'a SpaceName,
    /// The generation of its vectors.
    pub generation: GenerationId,
    /// How to compare.
    pub metric: Metric,
    /// With what.
    pub queries: &'a [&'a [f32]],
    /// How hard.
    pub effort: Effort,
}

impl Nearest<'_> {
    /// What one shard finds for each query; `None` when it has no such vectors.
    ///
    /// # Errors
    /// As [`Search::nearest`].
    pub(super) fn of(
        &self,
        view: &TrackView,
        caches: &Caches,
        allowed: &AllowedTracks,
        deadline: Deadline,
    ) -> Result<Option<Vec<Found>>> {
        let Some(set) = view.set(self.space, self.generation) else { return Ok(None) };
        let search = Search { heads: &caches.heads, deadline, view, set, metric: self.metric, allowed };
        let found = search.nearest(self.queries, self.effort)?;
        caches.recall.offer(&search, self.queries, self.effort, &found);
        Ok(Some(found))
    }

    fn question(&self, allowed: &AllowedTracks) -> TrackQuestion {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        TrackQuestion::Nearest {
            space: self.space.clone(),
            generation: self.generation,
            metric: self.metric,
            queries: self.queries.iter().map(|query| query.to_vec()).collect(),
            k: number(self.effort.k),
            ef: self.effort.ef.map(number),
            exact: self.effort.exact,
            allowed: allowed.question(),
        }
    }
}

impl Reader<'_> {
    /// What every shard finds for each query, in the order of the shards; `None` of one that has no such vectors or is missing.
    ///
    /// # Errors
    /// `InvalidField` for a query that does not fit the space; `Timeout`; damaged files; those of the nodes that were asked.
    pub fn nearest(&self, asked: &Nearest<'_>, allowed: &[AllowedTracks]) -> Result<Vec<Option<Vec<Found>>>> {
        let found = self.each_place(
            |place, view| {
                let found = asked.of(view, self.caches, &allowed[place], self.deadline)?;
                Ok(found.map(|found| (found, Vec::new())))
            },
            |place| {
                self.tracks.far(place)?.dim(asked.space, asked.generation)?;
                Some(asked.question(&allowed[place]))
            },
            |answer| match answer {
                TrackAnswer::Nearest(found, briefs) => Some(Some((found, briefs))),
                _ => None,
            },
        )?;
        let mut found = self.hear_beside(found.into_iter().map(Option::flatten).collect());
        // As of everything that is found: nothing newer than the version the request began with.
        for (place, found) in found.iter_mut().enumerate() {
            let end = self.tracks.ordinals(place);
            let of_query = found.iter_mut().flatten();
            of_query.for_each(|found| found.hits.retain(|(ordinal, _)| *ordinal < end));
        }
        Ok(found)
    }
}
