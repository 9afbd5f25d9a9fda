//! The vector the collaborative source asks with: the cold-start chain (PIPELINE.md §5).

use super::fold_in::fold_in;
use super::plan::Plan;
use crate::error::{Error, Result};
use crate::pipeline::cold_start::{
    ColdStart, ColdStartEvidence, cold_start, group_centroid, onboarding_query,
};
use crate::pipeline::reader::Reader;
use crate::pipeline::spaces::{track_cf, user_cf};
use crate::pipeline::tracks::{Pick, Picked};
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ArtistKey, GenerationId, GenreKey, Timestamp};

/// Tracks a group's centroid is made of, at most: its most popular ones.
const GROUP_TRACKS: usize = 100;

/// A listener's vector and the step of the chain that gave it.
pub struct UserVector {
    /// `[dim]` of the generation; absent when the chain ends in popularity.
    pub components: Option<Vec<f32>>,
    /// Which step served.
    pub step: ColdStart,
}

/// The listener's vector: trained, folded in from their plays, the centroid of what they chose when signing up, or the
/// mean of listeners of their region and age band.
///
/// # Errors
/// Damaged files.
pub fn user_vector(reader: &Reader<'_>, plan: &Plan) -> Result<UserVector> {
    let nothing = UserVector { components: None, step: ColdStart::Popularity };
    let Some(generation) = reader.generation else { return Ok(nothing) };
    let state = &plan.listener.state;
    let trained = reader.users.vector(&user_cf(), generation, &state.user.user_id).map_err(Error::from)?;
    let untrained_plays = reader.gram.as_ref().is_some_and(|gram| {
        let is_untrained = |at: Timestamp| at > gram.reference_time && at <= plan.as_of;
        let are_kept = state.plays.last().is_none_or(|oldest| oldest.at <= plan.as_of);
        state.plays.iter().any(|play| is_untrained(play.at))
            || (!are_kept && state.heard.last.iter().any(|last| is_untrained(*last)))
    });
    let solved = match (&trained, untrained_plays) {
        (Some(_), false) => None,
        _ => fold_in(reader, plan, generation)?,
    };
    let chosen =
        if trained.is_none() && solved.is_none() { onboarding(reader, plan, generation)? } else { None };
    let prior = match (&trained, &solved, &chosen) {
        (None, None, None) => reader.prior(generation, &state.user)?,
        _ => None,
    };
    let evidence = ColdStartEvidence {
        trained_vector: trained.is_some(),
        untrained_plays,
        plays_with_vector: u32::from(solved.is_some()),
        fold_in_possible: solved.is_some(),
        onboarding_centroids: u32::from(chosen.is_some()),
        prior: prior.is_some(),
    };
    let step = cold_start(&evidence);
    let components = match step {
        ColdStart::UserVector => trained,
        ColdStart::FoldIn => solved,
        ColdStart::Onboarding => chosen,
        ColdStart::RegionAgePrior => prior,
        ColdStart::Popularity => None,
    };
    Ok(UserVector { components, step })
}

/// The direction of what the listener chose when signing up.
fn onboarding(reader: &Reader<'_>, plan: &Plan, generation: GenerationId) -> Result<Option<Vec<f32>>> {
    let user = &plan.listener.state.user;
    let mut artists = Vec::new();
    for id in &user.onboarding_artists {
        artists.extend(centroid(reader, generation, PostingField::Artist, ArtistKey::of(id.as_str()).0)?);
    }
    let mut genres = Vec::new();
    for name in &user.onboarding_genres {
        genres.extend(centroid(reader, generation, PostingField::Genre, GenreKey::of(name).0)?);
    }
    Ok(onboarding_query(&artists, &genres))
}

/// The direction of the most popular tracks of an artist or genre; `None` when none has a vector.
fn centroid(
    reader: &Reader<'_>,
    generation: GenerationId,
    field: PostingField,
    key: u64,
) -> Result<Option<Vec<f32>>> {
    let space = track_cf();
    let most = GROUP_TRACKS as u32;
    let pick = Pick::WithVector { space: space.clone(), generation, unknown: -1.0, most };
    let mut tracks = reader.picked(field, key, &pick)?;
    let name = |picked: &Picked| (picked.key, picked.track);
    tracks.sort_by(|a, b| b.popularity.total_cmp(&a.popularity).then_with(|| name(a).cmp(&name(b))));
    tracks.truncate(GROUP_TRACKS);
    reader.expect_vectors(&space, generation, tracks.iter().map(|picked| picked.track))?;
    let vectors = tracks.iter().filter_map(|picked| reader.vector(&space, generation, picked.track));
    Ok(group_centroid(vectors))
}
