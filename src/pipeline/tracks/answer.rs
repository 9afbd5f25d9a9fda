//! Answering questions about a track shard, by the functions that read a shard in place.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;

use super::nearest::Nearest;
use super::picks::{middle, most_popular_of, new_by_artist, new_by_primary_artist, posted};
use super::plain::{Brief, PlainFacts, PlainRow, bitmap_bytes};
use super::question::{TrackAnswer, TrackQuestion};
use crate::error::{Error, Result};
use crate::filter::any_of;
use crate::pipeline::gather::facts_of_shard;
use crate::pipeline::reader::Caches;
use crate::pipeline::retrieve::Effort;
use crate::pipeline::validate::EF_MAX;
use crate::storage::track_shard::TrackView;
use crate::types::{ArtistKey, Deadline, GenerationId, SpaceName};

/// A version of a shard, and what it is read with.
pub struct Answering<'a> {
    /// The version.
    pub view: &'a TrackView,
    /// Memory that requests share.
    pub caches: &'a Caches,
    /// Until when whoever asks waits.
    pub deadline: Deadline,
}

impl Answering<'_> {
    /// Answers a question. It may be anybody's: numbers in it are held against what there is.
    ///
    /// # Errors
    /// `InvalidField` for what cannot be searched for; `Timeout`; `Corrupt` for sets that cannot be read; damaged files.
    pub fn answer(&self, question: &TrackQuestion) -> Result<TrackAnswer> {
        let view = self.view;
        Ok(match question {
            TrackQuestion::Outline => TrackAnswer::Outline(view.outline()),
            TrackQuestion::Briefs(ordinals) => {
                TrackAnswer::Briefs(ordinals.iter().map(|ordinal| Brief::of(view, *ordinal)).collect())
            }
            TrackQuestion::Facts(ordinals) => TrackAnswer::Facts(plain_facts(view, ordinals)?),
            TrackQuestion::Rows(ordinals) => {
                let row = |ordinal: &u32| -> Result<Option<PlainRow>> {
                    let has_row = view.has_row(*ordinal);
                    has_row.then(|| Ok(PlainRow::from(&*view.row(*ordinal)?))).transpose()
                };
                TrackAnswer::Rows(ordinals.iter().map(row).collect::<Result<_>>()?)
            }
            TrackQuestion::Find(ids) => {
                let find = |ordinal: u32| (ordinal, view.hot(ordinal).live);
                TrackAnswer::Found(ids.iter().map(|id| view.ordinal_of(id.as_str()).map(find)).collect())
            }
            TrackQuestion::Vectors { space, generation, ordinals } => {
                TrackAnswer::Vectors(vectors(view, (space, *generation), ordinals))
            }
            TrackQuestion::FactsAndVectors { space, generation, ordinals } => {
                let vectors = vectors(view, (space, *generation), ordinals);
                TrackAnswer::FactsAndVectors(plain_facts(view, ordinals)?, vectors)
            }
            TrackQuestion::Locations { space, generation, ordinals } => {
                let set = view.set(space, *generation);
                let location = |ordinal: &u32| set?.location(*ordinal);
                TrackAnswer::Locations(ordinals.iter().map(location).collect())
            }
            TrackQuestion::Genres => {
                let mut genres = BTreeSet::new();
                view.genres(&mut genres)?;
                TrackAnswer::Keys(genres.into_iter().collect())
            }
            TrackQuestion::Postings { field, keys } => ordinals(&any_of(view, *field, keys)?),
            TrackQuestion::Posted { field, key, pick } => {
                TrackAnswer::Posted(posted(view, *field, *key, pick)?)
            }
            TrackQuestion::Middle { field, key } => {
                TrackAnswer::Count(middle(view, *field, *key)?.len() as u64)
            }
            TrackQuestion::New { artists: None, today } => {
                TrackAnswer::New(new_by_primary_artist(view, *today))
            }
            TrackQuestion::New { artists: Some(artists), today } => {
                let artists: Vec<ArtistKey> = artists.iter().map(|artist| ArtistKey(*artist)).collect();
                TrackAnswer::New(new_by_artist(view, &artists, *today)?)
            }
            TrackQuestion::Versions { own, recordings } => ordinals(&self.versions(own, recordings)?),
            TrackQuestion::Allowed { class, filter } => ordinals(&self.allowed_set(*class, filter)?),
            TrackQuestion::Words { allowed, text } => ordinals(&self.words(allowed, text)?),
            TrackQuestion::Popular { allowed, k } => {
                let allowed = self.allowed(allowed)?;
                let found = most_popular_of(view, self.caches, &allowed, *k as usize);
                let briefs = briefs(view, found.iter().map(|(ordinal, _)| *ordinal));
                TrackAnswer::Popular(found, briefs)
            }
            TrackQuestion::Load(load_id) => TrackAnswer::Load(view.loads.get(load_id).cloned()),
            TrackQuestion::Nearest { space, generation, metric, queries, k, ef, exact, allowed } => {
                if *k > EF_MAX || ef.is_some_and(|ef| ef > EF_MAX) {
                    return Err(Error::invalid("k", format!("must be at most {EF_MAX}. k=`{k}`")));
                }
                let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
                let effort = Effort { k: *k as usize, ef: ef.map(|ef| ef as usize), exact: *exact };
                let (generation, metric) = (*generation, *metric);
                let asked = Nearest { space, generation, metric, queries: &queries, effort };
                let allowed = self.allowed(allowed)?;
                let found = asked.of(view, self.caches, &allowed, self.deadline)?.unwrap_or_default();
                let hits = found.iter().flat_map(|found| &found.hits);
                let briefs = briefs(view, hits.map(|(ordinal, _)| *ordinal));
                TrackAnswer::Nearest(found, briefs)
            }
        })
    }
}

fn plain_facts(view: &TrackView, ordinals: &[u32]) -> Result<Vec<PlainFacts>> {
    Ok(facts_of_shard(view, ordinals)?.into_iter().map(Into::into).collect())
}

fn vectors(
    view: &TrackView,
    (space, generation): (&SpaceName, GenerationId),
    ordinals: &[u32],
) -> Vec<Option<Vec<f32>>> {
    let set = view.set(space, generation);
    ordinals.iter().map(|ordinal| Some(set?.vector(*ordinal)?.to_vec())).collect()
}

fn ordinals(set: &RoaringBitmap) -> TrackAnswer {
    TrackAnswer::Ordinals(bitmap_bytes(set))
}

/// What is kept in memory of everything that was found, each once.
fn briefs(view: &TrackView, found: impl Iterator<Item = u32>) -> Vec<(u32, Brief)> {
    let ordinals: BTreeSet<u32> = found.collect();
    ordinals.into_iter().map(|ordinal| (ordinal, Brief::of(view, ordinal))).collect()
}
