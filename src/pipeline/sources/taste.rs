//! The artists and genres a request starts from: those of its seeds, else the listener's own, else those chosen when
//! signing up.

use std::collections::BTreeMap;

use super::SourceRequest;
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::storage::track_shard::KeySet;
use crate::types::{ArtistKey, GenreKey};

/// Artists with how much they count, 1 for the first, best first; at most `most`.
///
/// # Errors
/// Damaged files.
pub(super) fn artists(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    most: usize,
) -> Result<Vec<(ArtistKey, f64)>> {
    let mut weights: BTreeMap<ArtistKey, f64> = BTreeMap::new();
    let user = &request.listener.state.user;
    if !request.seeds.is_empty() {
        for facts in reader.facts(request.seeds.iter().copied())? {
            facts.primary_artist().into_iter().for_each(|artist| *weights.entry(artist).or_default() += 1.0);
        }
    } else if request.listener.profile.artists.is_empty() {
        let chosen = user.onboarding_artists.iter().chain(&user.followed_artists);
        chosen.for_each(|id| {
            weights.insert(ArtistKey::of(id.as_str()), 1.0);
        });
    } else {
        weights.extend(request.listener.profile.artists.iter().take(most).copied());
    }
    Ok(scaled(weights, most))
}

/// Genres with how much they count, 1 for the first, best first; at most `most`.
///
/// # Errors
/// Damaged files.
pub(super) fn genres(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    most: usize,
) -> Result<Vec<(GenreKey, f64)>> {
    let mut weights: BTreeMap<GenreKey, f64> = BTreeMap::new();
    if !request.seeds.is_empty() {
        for facts in reader.facts(request.seeds.iter().copied())? {
            facts
                .genres
                .iter()
                .for_each(|&(genre, sure)| *weights.entry(genre).or_default() += f64::from(sure));
        }
    } else if request.listener.profile.genres.is_empty() {
        let chosen = &request.listener.state.user.onboarding_genres;
        chosen.iter().for_each(|name| {
            weights.insert(GenreKey::of(name), 1.0);
        });
    } else {
        weights.extend(request.listener.profile.genres.iter().take(most).copied());
    }
    Ok(scaled(weights, most))
}

/// Every artist the listener knows: played, followed, or a seed's.
///
/// # Errors
/// Damaged files.
pub(super) fn known_artists(reader: &Reader<'_>, request: &SourceRequest<'_>) -> Result<KeySet> {
    let user = &request.listener.state.user;
    let mut known: KeySet = request.listener.profile.artists.iter().map(|(artist, _)| artist.0).collect();
    known.extend(user.followed_artists.iter().map(|id| ArtistKey::of(id.as_str()).0));
    known.extend(artists(reader, request, usize::MAX)?.into_iter().map(|(artist, _)| artist.0));
    Ok(known)
}

fn scaled<K: Copy + Ord>(weights: BTreeMap<K, f64>, most: usize) -> Vec<(K, f64)> {
    let mut all: Vec<(K, f64)> = weights.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(most);
    let first = all.first().map_or(1.0, |(_, weight)| *weight);
    all.iter_mut().for_each(|(_, weight)| *weight /= first);
    all
}
