//! Why a track is in the list: what the sentence may mention, gathered.

use super::plan::Plan;
use crate::error::Result;
use crate::pipeline::candidate::Candidate;
use crate::pipeline::explain::{ReasonFacts, TrackName, reason as sentence};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::Source;
use crate::pipeline::sources::Retrieved;

/// One sentence a listener understands.
///
/// # Errors
/// Damaged files.
pub(super) fn reason(
    reader: &Reader<'_>,
    plan: &Plan,
    retrieved: &Retrieved,
    candidate: &Candidate<'_>,
    explored: Option<Source>,
) -> Result<String> {
    let source = explored.or(candidate.main_source());
    let note = source.and_then(|source| retrieved.notes.get(&(source, candidate.track())));
    if let Some(note) = note {
        let told = super::note::sentence(reader, plan, *note)?;
        return Ok(if explored.is_some() { format!("exploration: {told}") } else { told });
    }
    let seed = match retrieved.because.get(&candidate.track()) {
        Some(seed) => Some(reader.view(seed.shard)?.row(seed.ordinal.0)?),
        None => None,
    };
    let name = seed.as_ref().map(|row| TrackName {
        title: &row.track.title,
        artist: row.track.artists.first().map_or("", |artist| &artist.name),
    });
    let row = reader.view(candidate.track().shard)?.row(candidate.track().ordinal.0)?;
    let liked = |genre: &&crate::types::GenreTag| {
        plan.listener.profile.genre_share(crate::types::GenreKey::of(&genre.genre)) > 0.0
    };
    Ok(sentence(&ReasonFacts {
        // What no source offered was taken by its popularity, to fill the list.
        source: candidate.main_source().or(Some(Source::Trending)),
        explored: explored.is_some(),
        seed: name,
        seeds_requested: !plan.seeds.is_empty(),
        liked_genre: row.track.genres.iter().find(liked).map(|tag| tag.genre.as_str()),
        region: plan.listener.state.user.region,
    }))
}
