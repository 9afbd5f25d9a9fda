//! From places to what people read: ids, titles, names.

use super::reader::Reader;
use super::request::{Recommendation, RecommendedTrack};
use crate::error::Result;
use crate::types::{GenerationId, Timestamp, TrackRef};

/// A track of a finished list.
pub struct ListTrack {
    /// Which.
    pub track: TrackRef,
    /// Its score.
    pub score: f64,
    /// Who offered it.
    pub source: &'static str,
}

/// Adds ids, titles and artist names.
///
/// # Errors
/// Damaged files.
pub fn hydrate(reader: &Reader<'_>, tracks: &[ListTrack], reason: &str) -> Result<Vec<RecommendedTrack>> {
    let mut list = Vec::with_capacity(tracks.len());
    reader.expect_rows(tracks.iter().map(|listed| listed.track))?;
    for ListTrack { track, score, source } in tracks {
        let row = reader.row(*track)?;
        list.push(RecommendedTrack {
            track_id: row.track.track_id.clone(),
            title: row.track.title.clone(),
            artists: row.track.artists.iter().map(|artist| artist.name.clone()).collect(),
            score: *score,
            sources: vec![(*source).to_owned()],
            explored: false,
            reason: reason.to_owned(),
            explanation: None,
        });
    }
    Ok(list)
}

/// A reply without tracks: what every reply says.
pub fn reply_of(reader: &Reader<'_>, as_of: Timestamp, generation: Option<GenerationId>) -> Recommendation {
    Recommendation {
        user_id: None,
        recipe: String::new(),
        experiment: None,
        generation,
        as_of,
        request_id: String::new(),
        seed: 0,
        cold_start: String::new(),
        degraded: Vec::new(),
        relaxed: Vec::new(),
        applied: reader.applied.clone(),
        searches: Vec::new(),
        impression: String::new(),
        tracks: Vec::new(),
        offers: Vec::new(),
        funnel: None,
    }
}

impl Reader<'_> {
    /// A track as people name it: title and primary artist.
    ///
    /// # Errors
    /// Damaged files.
    pub fn name_of(&self, track: TrackRef) -> Result<String> {
        let row = self.row(track)?;
        Ok(match row.track.artists.first() {
            Some(artist) => format!("{} by {}", row.track.title, artist.name),
            None => row.track.title.clone(),
        })
    }
}
