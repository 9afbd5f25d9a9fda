//! The columns of the catalogue that the stages read of every candidate, found once and then read row by row.

use std::sync::Arc;

use segue_storage_format::columns::Lists;
use smallvec::SmallVec;

use super::cow::CowVec;
use super::record::{self, Record};
use super::row::{TrackHot, TrackRow};
use super::segment::{TrackBody, out_of_rows, unpack_features};
use super::view::TrackView;
use crate::error::{Error, Result};
use crate::types::{ArtistKey, AudioFeatures, GenreKey};

/// Keys of a track's artists, primary first: as many as a record holds need no memory of their own.
pub type Artists = SmallVec<[ArtistKey; record::ARTISTS_MAX]>;
/// Keys of a track's genres with confidences, as [`Artists`].
pub type Genres = SmallVec<[(GenreKey, f32); record::GENRES_MAX]>;

/// What the columns say of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowFacts {
    /// Keys of all artists, primary first.
    pub artists: Artists,
    /// Keys and confidences of the genres.
    pub genres: Genres,
    /// How it sounds.
    pub audio: AudioFeatures,
}

/// Columns of all segments of a version. Made in a few look-ups by name a segment, so once for many rows.
pub struct TrackColumns<'a> {
    /// Segment numbers, ascending, with their rows.
    segments: Vec<(u32, SegmentColumns<'a>)>,
}

enum SegmentColumns<'a> {
    Memory(&'a CowVec<Arc<TrackRow>>),
    Sealed(SealedColumns<'a>),
}

/// Columns of a sealed segment, row by row.
pub struct SealedColumns<'a> {
    /// All of it, side by side; none in segments of before.
    pub(super) records: &'a [Record],
    /// Keys of the artists.
    pub(super) artists: Lists<'a, u64>,
    /// Keys of the genres.
    pub(super) genres: Lists<'a, u64>,
    /// The genres' confidences, as bits.
    pub(super) confidences: Lists<'a, u32>,
    /// How it sounds, as bits.
    pub(super) features: Lists<'a, u32>,
}

impl TrackView {
    /// The columns that the stages read.
    ///
    /// # Errors
    /// Damaged files.
    pub fn columns(&self) -> Result<TrackColumns<'_>> {
        let mut segments = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            let columns = match &segment.body {
                TrackBody::Memory(rows) => SegmentColumns::Memory(rows),
                TrackBody::Sealed(sealed) => SegmentColumns::Sealed(sealed.stage_columns()?),
            };
            segments.push((segment.id, columns));
        }
        Ok(TrackColumns { segments })
    }
}

impl TrackColumns<'_> {
    /// What the columns say of the row that `hot` points at.
    ///
    /// # Errors
    /// Damaged files.
    pub fn row(&self, hot: &TrackHot) -> Result<RowFacts> {
        let at = self.segments.binary_search_by_key(&hot.segment, |(id, _)| *id).map_err(|_| {
            Error::Internal(format!("a track points at no segment. segment=`{}`", hot.segment))
        })?;
        match &self.segments[at].1 {
            SegmentColumns::Memory(rows) => {
                let row = rows.get(hot.offset as usize).ok_or_else(|| out_of_rows(hot.offset))?;
                Ok(RowFacts {
                    artists: row.artists.as_slice().into(),
                    genres: row.genres.as_slice().into(),
                    audio: row.track.audio,
                })
            }
            SegmentColumns::Sealed(columns) => columns.row(hot.offset),
        }
    }
}

impl<'a> TrackColumns<'a> {
    /// Where [`TrackColumns::row`] will read: what to ask memory for. `None` when it reads in several places.
    pub(crate) fn record(&self, hot: &TrackHot) -> Option<&'a Record> {
        let at = self.segments.binary_search_by_key(&hot.segment, |(id, _)| *id).ok()?;
        match &self.segments[at].1 {
            SegmentColumns::Sealed(columns) => columns.records.get(hot.offset as usize),
            SegmentColumns::Memory(_) => None,
        }
    }
}

impl SealedColumns<'_> {
    fn row(&self, offset: u32) -> Result<RowFacts> {
        let (at, missing) = (offset as usize, || out_of_rows(offset));
        if let Some(facts) = self.records.get(at).and_then(record::decode) {
            return Ok(facts);
        }
        let artists = self.artists.get(at).ok_or_else(missing)?;
        let genres = self.genres.get(at).ok_or_else(missing)?;
        let confidences = self.confidences.get(at).ok_or_else(missing)?;
        let features = self.features.get(at).ok_or_else(missing)?;
        let audio = unpack_features(features)
            .ok_or_else(|| Error::Corrupt(format!("features are incomplete. offset=`{offset}`")))?;
        let genre = |(&key, &bits): (&u64, &u32)| (GenreKey(key), f32::from_bits(bits));
        Ok(RowFacts {
            artists: artists.iter().map(|&key| ArtistKey(key)).collect(),
            genres: genres.iter().zip(confidences).map(genre).collect(),
            audio,
        })
    }
}
