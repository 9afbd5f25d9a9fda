//! Artists whose tracks lie near each other: mean track vectors, by cosine.

use rayon::prelude::*;

use super::document::ArtistStatistics;
use crate::error::Result;
use crate::pipeline::cold_start::group_centroid;
use crate::pipeline::reader::Reader;
use crate::pipeline::spaces::track_cf;
use crate::pipeline::vectors::UnitRows;
use crate::storage::track_shard::segment::PostingField;
use crate::types::GenerationId;

/// Neighbours kept of an artist.
const NEAR_MAX: usize = 16;
/// Tracks that make up an artist's mean, the first by key.
const TRACKS_MAX: usize = 200;

/// Fills in [`ArtistStatistics::near`]. Cost: O(artists² · dim), on the threads of the pool.
///
/// # Errors
/// Damaged files.
pub(super) fn fill(
    reader: &Reader<'_>,
    generation: GenerationId,
    artists: &mut [ArtistStatistics],
) -> Result<()> {
    let space = track_cf();
    let Some(dim) = reader.tracks.dim(&space, generation) else { return Ok(()) };
    let mut means = Vec::with_capacity(artists.len());
    for artist in artists.iter() {
        let tracks = reader.posted(PostingField::Artist, artist.artist.0, TRACKS_MAX)?;
        reader.expect_vectors(&space, generation, tracks.iter().copied())?;
        let vectors = tracks.iter().filter_map(|&track| reader.vector(&space, generation, track));
        means.push(group_centroid(vectors));
    }
    let mut rows = UnitRows::with_capacity(dim as usize, means.len());
    means.iter().for_each(|mean| rows.push(mean.as_deref()));
    artists.par_iter_mut().enumerate().for_each(|(at, artist)| artist.near = nearest(&rows, at));
    Ok(())
}

/// The nearest rows to one, ties by place; only those that point the same way at all.
fn nearest(rows: &UnitRows<'_>, at: usize) -> Vec<(u32, f32)> {
    let Some(own) = rows.row(at) else { return Vec::new() };
    let others = (0..rows.len()).filter(|&other| other != at);
    let mut found: Vec<(u32, f32)> = others
        .filter_map(|other| Some((u32::try_from(other).ok()?, own.cosine(rows.row(other)?))))
        .filter(|(_, cosine)| *cosine > 0.0)
        .collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if found.len() > NEAR_MAX {
        found.select_nth_unstable_by(NEAR_MAX, order);
        found.truncate(NEAR_MAX);
    }
    found.sort_unstable_by(order);
    found
}
