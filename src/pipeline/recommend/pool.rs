//! The tracks a request may explore (PIPELINE.md §8): what is a discovery for the listener, source by source.

use std::collections::BTreeSet;

use super::plan::Plan;
use super::rank::Ranking;
use crate::pipeline::candidate::Candidate;
use crate::pipeline::explore::{Arm, PoolTrack};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::recipe::Source;
use crate::pipeline::sources::{Note, Retrieved};
use crate::pipeline::statistics::Statistics;
use crate::storage::track_shard::KeySet;
use crate::types::TrackRef;

/// Artists a listener knows well: exploration leaves them out.
const KNOWN_ARTISTS: usize = 50;
/// Genres a listener lives in: sound-alikes from outside them are discoveries.
const HOME_GENRES: usize = 5;
/// Catalogue popularity below which a track of another genre is too far out.
const POPULARITY_MIN: f32 = 30.0;
/// Tracks from adjacent genres and artists, sounding alike, breaking, and from friends.
const SHARES: [usize; 4] = [20, 20, 10, 10];
/// The pool holds at least so many tracks for each slot, as far as there are any.
const TRACKS_EACH: usize = 2;

/// Rows of the ranking and the pool tracks beside them, in order of the ranking within each kind. When discoveries are
/// too few, any unheard track by an artist who is not known well follows, then any unheard track.
pub(super) fn pool<'a>(
    plan: &Plan,
    statistics: &Statistics,
    retrieved: &Retrieved,
    ranking: &Ranking<'a>,
    count: usize,
) -> (Vec<usize>, Vec<PoolTrack<'a>>) {
    let home = Home::of(plan, retrieved);
    let unheard: Vec<usize> = (0..ranking.candidates.len())
        .filter(|&row| !plan.has_heard(ranking.candidates[row].track()))
        .collect();
    let room = (TRACKS_EACH * count).div_ceil(SHARES.iter().sum()).max(1);
    let mut rooms = SHARES.map(|share| share * room);
    let mut breaking_artists = KeySet::default();
    let mut rows: Vec<(usize, Source)> = Vec::new();
    for &row in &unheard {
        let candidate = &ranking.candidates[row];
        let Some((kind, source)) = home.discovery(candidate) else { continue };
        let again = source == Source::Trending
            && candidate.facts.primary_artist().is_some_and(|artist| !breaking_artists.insert(artist.0));
        if rooms[kind] > 0 && !again {
            rooms[kind] -= 1;
            rows.push((row, source));
        }
    }
    for wide in [true, false] {
        if rows.len() >= TRACKS_EACH * count {
            break;
        }
        let mut taken = vec![false; ranking.candidates.len()];
        rows.iter().for_each(|(row, _)| taken[*row] = true);
        for &row in unheard.iter().filter(|row| !taken[**row]) {
            let candidate = &ranking.candidates[row];
            if !wide || home.is_new_artist(candidate.facts) {
                rows.push((row, candidate.main_source().unwrap_or(Source::Trending)));
            }
        }
    }
    let track = |&(row, source): &(usize, Source)| {
        let candidate = &ranking.candidates[row];
        let genre_cluster = statistics.cluster_of(&candidate.facts.genres);
        PoolTrack { facts: candidate.facts, arm: Arm { source, genre_cluster }, value: candidate.score }
    };
    (rows.iter().map(|(row, _)| *row).collect(), rows.iter().map(track).collect())
}

/// What the listener knows well.
struct Home {
    artists: KeySet,
    genres: KeySet,
    /// Every genre of theirs; none when nothing is known.
    liked: KeySet,
    /// What is breaking in their region.
    breaking: BTreeSet<TrackRef>,
}

impl Home {
    fn of(plan: &Plan, retrieved: &Retrieved) -> Self {
        let profile = &plan.listener.profile;
        Self {
            artists: profile.artists.iter().take(KNOWN_ARTISTS).map(|(artist, _)| artist.0).collect(),
            genres: profile.genres.iter().take(HOME_GENRES).map(|(genre, _)| genre.0).collect(),
            liked: profile.genres.iter().map(|(genre, _)| genre.0).collect(),
            breaking: retrieved.noted(Source::Trending, Note::Breaking).collect(),
        }
    }

    fn is_new_artist(&self, facts: &TrackFacts) -> bool {
        !facts.artists.iter().any(|artist| self.artists.contains(&artist.0))
    }

    /// Which kind of discovery a candidate is, and the source it counts for.
    fn discovery(&self, candidate: &Candidate<'_>) -> Option<(usize, Source)> {
        let facts = candidate.facts;
        if !self.is_new_artist(facts) {
            return None;
        }
        let from = |source: Source| candidate.parts.iter().any(|part| part.source == source);
        let new_genre =
            !facts.genres.is_empty() && !facts.genres.iter().any(|(genre, _)| self.genres.contains(&genre.0));
        let liked =
            self.liked.is_empty() || facts.genres.iter().any(|(genre, _)| self.liked.contains(&genre.0));
        let known_enough = facts.popularity.is_none_or(|popularity| popularity >= POPULARITY_MIN);
        [Source::GenreExploration, Source::AdjacentArtists, Source::NewReleases]
            .into_iter()
            .find(|source| from(*source) && (known_enough || *source != Source::GenreExploration))
            .map(|source| (0, source))
            .or_else(|| (from(Source::Audio) && new_genre).then_some((1, Source::Audio)))
            .or_else(|| (self.breaking.contains(&facts.track) && liked).then_some((2, Source::Trending)))
            .or_else(|| from(Source::Social).then_some((3, Source::Social)))
    }
}
