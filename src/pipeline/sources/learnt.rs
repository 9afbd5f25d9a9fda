//! The sources that ask neither a vector nor a trend: which one answers to which name.

use super::{Retrieved, SourceRequest, adjacent, context, genres, releases, rules, social};
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::types::TrackRef;

/// Asks one of them; another source has nothing here.
///
/// # Errors
/// Damaged files.
pub(super) fn ask(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    source: Source,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    match source {
        Source::Context => context::context_tracks(reader, request, spec, allowed, retrieved),
        Source::AdjacentArtists => adjacent::adjacent_artists(reader, request, spec, allowed, retrieved),
        Source::GenreExploration => genres::genre_exploration(reader, request, spec, allowed, retrieved),
        Source::NewReleases => releases::new_releases(reader, request, spec, allowed, retrieved),
        Source::Rules => rules::rules(reader, request, spec, allowed, retrieved),
        Source::Social => social::social(reader, request, spec, allowed, retrieved),
        Source::Collaborative | Source::Content | Source::Audio | Source::Trending => Ok(Vec::new()),
    }
}
