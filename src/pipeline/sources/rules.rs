//! Rules: tracks that the recipe's editorial rules ask for.

use std::collections::BTreeMap;

use super::shelf::shelf;
use super::{Note, Retrieved, SourceRequest, depth, may_show, sort_hits};
use crate::error::Result;
use crate::pipeline::editorial::{holding, is_about};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{RuleEffect, Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ArtistKey, GenreKey, TrackRef};

/// Tracks of one artist looked at, the first by key.
const ARTIST_TRACKS_MAX: usize = 1_000;

/// Up to `depth` tracks of the rules that hold and make candidates or pins, best first: by the rule's weight, then by
/// popularity.
///
/// # Errors
/// Damaged files.
pub(super) fn rules(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let listener = request.listener;
    let rules = holding(request.editorial, &listener.profile, request.moment, listener.state.user.region);
    let is_allowed = may_show(reader, allowed);
    let mut best: BTreeMap<TrackRef, (f64, u32)> = BTreeMap::new();
    for (place, rule) in rules {
        if !matches!(rule.effect, RuleEffect::Candidates | RuleEffect::Pin) {
            continue;
        }
        let mut tracks: Vec<TrackRef> = Vec::new();
        for name in &rule.tracks.genres {
            tracks.extend(shelf(reader, GenreKey::of(name))?.iter().map(|(track, _)| *track));
        }
        for id in &rule.tracks.artists {
            tracks.extend(reader.posted(
                PostingField::Artist,
                ArtistKey::of(id.as_str()).0,
                ARTIST_TRACKS_MAX,
            )?);
        }
        tracks.retain(|track| is_allowed(*track));
        for facts in reader.facts(tracks)?.iter().filter(|facts| is_about(&rule.tracks, facts)) {
            let popularity = f64::from(facts.popularity.unwrap_or(0.0)) / 100.0;
            let score = rule.weight * (0.5 + 0.5 * popularity);
            let said = (score, u32::try_from(place).unwrap_or(u32::MAX));
            let entry = best.entry(facts.track).or_insert(said);
            if score > entry.0 {
                *entry = said;
            }
        }
    }
    let mut found = Vec::with_capacity(best.len());
    for (track, (score, rule)) in best {
        found.push((track, score));
        retrieved.notes.push((Source::Rules, track, Note::Rule(rule)));
    }
    sort_hits(reader, &mut found)?;
    found.truncate(depth(spec));
    Ok(found)
}
