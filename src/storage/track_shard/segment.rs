//! Track segments: rows of the catalogue, growing in memory or sealed in files.

use std::path::Path;
use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};
use roaring::RoaringBitmap;
use segue_storage_format::{
    ColumnFile, ColumnFileWriter, FileEntry, FormatError, PostingsFile, PostingsFileWriter, SegmentEntry,
    SegmentFile, SegmentKind, Verify, manifest::segment_folder,
};

use super::columns::SealedColumns;
use super::cow::CowVec;
use super::record;
use super::row::{TrackHot, TrackRow};
use super::shard::Opening;
use crate::error::{Error, Result};
use crate::storage::error::damaged;
use crate::types::{ArtistKey, AudioFeatures, Track};

/// File of the columns in a track segment's folder.
pub const COLUMNS: &str = "columns.seg";
/// File of the postings in a track segment's folder.
pub const POSTINGS: &str = "postings.seg";

/// The fields a track is posted under; the key is [`crate::types::key_of`] of the id or name unless stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum PostingField {
    /// Region number, or [`super::row::EVERYWHERE`].
    Region,
    /// 0 = unknown, 1 = clean, 2 = explicit.
    Explicit,
    /// Any artist of the track.
    Artist,
    /// Any genre of the track.
    Genre,
    /// The album.
    Album,
}

impl PostingField {
    const ALL: [Self; 5] = [Self::Region, Self::Explicit, Self::Artist, Self::Genre, Self::Album];

    fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Explicit => "explicit",
            Self::Artist => "artist",
            Self::Genre => "genre",
            Self::Album => "album",
        }
    }

    /// The keys `row` is posted under in this field.
    pub fn keys_of(self, row: &TrackRow) -> Vec<u64> {
        match self {
            Self::Region => row.region_keys(),
            Self::Explicit => vec![explicit_key(row.track.explicit)],
            Self::Artist => row.artists.iter().map(|artist| artist.0).collect(),
            Self::Genre => row.genres.iter().map(|(genre, _)| genre.0).collect(),
            Self::Album => {
                row.track.album_id.iter().map(|album| crate::types::AlbumKey::of(album.as_str()).0).collect()
            }
        }
    }
}

/// The posting key of an explicit flag.
pub fn explicit_key(explicit: Option<bool>) -> u64 {
    match explicit {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    }
}

/// Where a track segment's rows are.
#[derive(Clone)]
pub enum TrackBody {
    /// In memory, being appended to (or frozen, waiting for its files).
    Memory(CowVec<Arc<TrackRow>>),
    /// In files.
    Sealed(Arc<SealedTracks>),
}

/// One track segment as a version of the shard sees it.
#[derive(Clone)]
pub struct TrackSegment {
    /// Its number.
    pub id: u32,
    /// Whether rows may still be appended.
    pub growing: bool,
    /// Its rows.
    pub body: TrackBody,
    /// Rows that newer rows have replaced, by offset.
    pub dead: Arc<RoaringBitmap>,
    /// Ordinals whose newest row moved on to a later segment after this one froze.
    pub moved: Arc<RoaringBitmap>,
}

impl TrackSegment {
    /// An empty growing segment.
    pub fn growing(id: u32) -> Self {
        Self {
            id,
            growing: true,
            body: TrackBody::Memory(CowVec::default()),
            dead: Arc::default(),
            moved: Arc::default(),
        }
    }

    /// Number of rows, dead ones included.
    pub fn rows(&self) -> usize {
        match &self.body {
            TrackBody::Memory(rows) => rows.len(),
            TrackBody::Sealed(sealed) => sealed.rows,
        }
    }

    /// Its files, once it has some.
    pub fn files(&self) -> Option<&SegmentEntry> {
        match &self.body {
            TrackBody::Memory(_) => None,
            TrackBody::Sealed(sealed) => Some(&sealed.entry),
        }
    }

    /// The full record of a row.
    pub fn row(&self, offset: u32) -> Result<Arc<TrackRow>> {
        match &self.body {
            TrackBody::Memory(rows) => rows
                .get(offset as usize)
                .cloned()
                .ok_or_else(|| Error::Internal(format!("row beyond its segment. offset=`{offset}`"))),
            TrackBody::Sealed(sealed) => sealed.row(offset).map(Arc::new),
        }
    }

    /// Adds to `out` the ordinals posted under `key` whose newest row is here.
    pub fn postings(&self, field: PostingField, key: u64, out: &mut RoaringBitmap) -> Result<()> {
        match &self.body {
            TrackBody::Memory(rows) => {
                for (offset, row) in rows.iter().enumerate() {
                    let dead = u32::try_from(offset).is_ok_and(|offset| self.dead.contains(offset));
                    if !dead && !row.deleted && field.keys_of(row).contains(&key) {
                        out.insert(row.ordinal);
                    }
                }
            }
            TrackBody::Sealed(sealed) => {
                if let Some(mut found) = sealed.posted(field, key)? {
                    found -= &*self.moved;
                    *out |= found;
                }
            }
        }
        Ok(())
    }
}

/// A sealed track segment: mapped columns and postings.
pub struct SealedTracks {
    /// The files, as the manifest lists them.
    pub entry: SegmentEntry,
    /// Number of rows.
    pub rows: usize,
    columns: ColumnFile,
    postings: PostingsFile,
}

impl SealedTracks {
    /// Opens the files of `entry` in `shard_folder`.
    pub fn open(shard_folder: &Path, entry: &SegmentEntry, opening: &Opening) -> Result<Self> {
        let folder = segment_folder(shard_folder, entry.id);
        let path = folder.join(COLUMNS);
        let (columns, verify) = match &opening.health {
            None => (ColumnFile::open(&path, opening.verify), opening.verify),
            Some(health) => (ColumnFile::open_on_use(&path, health), Verify::Full),
        };
        let columns = columns.map_err(damaged)?;
        let postings = PostingsFile::open(&folder.join(POSTINGS), verify).map_err(damaged)?;
        let rows = usize::try_from(columns.rows()).map_err(|_| Error::Corrupt("row count".to_owned()))?;
        if columns.rows() != entry.rows {
            return Err(Error::Corrupt(format!(
                "segment has another number of rows than its manifest says. segment=`{}`, rows=`{rows}`, manifest=`{}`",
                entry.id, entry.rows
            )));
        }
        let opened = Self { entry: entry.clone(), rows, columns, postings };
        // The first request should not have to check what every one reads.
        opened.stage_columns()?;
        Ok(opened)
    }

    /// The file of its columns.
    pub fn columns_file(&self) -> &SegmentFile {
        self.columns.file()
    }

    /// Ordinals, a row each.
    pub fn ordinals(&self) -> Result<&[u32]> {
        self.columns.fixed("ordinal").map_err(damaged)
    }

    /// The ordinals posted under `key` when the segment was written.
    pub fn posted(&self, field: PostingField, key: u64) -> Result<Option<RoaringBitmap>> {
        self.postings.field(field.name()).and_then(|field| field.rows(key)).map_err(damaged)
    }

    /// Every key of a field.
    pub fn keys(&self, field: PostingField) -> Result<&[u64]> {
        self.postings.field(field.name()).map(|field| field.keys()).map_err(damaged)
    }

    /// How many rows were posted under `key`; cheap.
    pub fn posted_count(&self, field: PostingField, key: u64) -> u64 {
        self.postings.field(field.name()).map_or(0, |field| field.cardinality(key))
    }

    /// The columns that the stages read.
    pub(super) fn stage_columns(&self) -> Result<SealedColumns<'_>> {
        let columns = &self.columns;
        let records = columns.has("facts").then(|| columns.payload("facts")).transpose().map_err(damaged)?;
        Ok(SealedColumns {
            records: records.and_then(|records| records.uniform()).unwrap_or_default(),
            artists: columns.lists("artists").map_err(damaged)?,
            genres: columns.lists("genres").map_err(damaged)?,
            confidences: columns.lists("genre_confidences").map_err(damaged)?,
            features: columns.lists("features").map_err(damaged)?,
        })
    }

    /// The full record of a row.
    pub fn row(&self, offset: u32) -> Result<TrackRow> {
        let at = offset as usize;
        let payload = self.columns.payload_row("track", at).map_err(damaged)?;
        let bytes = payload.ok_or_else(|| out_of_rows(offset))?;
        let track = decode_track(bytes)?;
        let ordinal = *self.ordinals()?.get(at).ok_or_else(|| out_of_rows(offset))?;
        let recordings: &[u32] = self.columns.fixed("recording").map_err(damaged)?;
        let deleted: &[u8] = self.columns.fixed("deleted").map_err(damaged)?;
        let recording = *recordings.get(at).ok_or_else(|| out_of_rows(offset))?;
        let deleted = *deleted.get(at).ok_or_else(|| out_of_rows(offset))? != 0;
        Ok(TrackRow::new(ordinal, recording, deleted, track))
    }

    /// Calls `each(offset, ordinal, track key, recording key, hot facts)` for every row, reading columns only.
    pub fn for_each_hot(&self, mut each: impl FnMut(u32, u32, u64, u64, TrackHot)) -> Result<()> {
        let column = |name: &str| self.columns.fixed::<f32>(name).map_err(damaged);
        let (popularity, tempo, energy) = (column("popularity")?, column("tempo")?, column("energy")?);
        let key = |name: &str| self.columns.fixed::<u64>(name).map_err(damaged);
        let (track, recording_key, album) = (key("track_key")?, key("recording_key")?, key("album_key")?);
        let recordings: &[u32] = self.columns.fixed("recording").map_err(damaged)?;
        let durations: &[u32] = self.columns.fixed("duration_ms").map_err(damaged)?;
        let days: &[i32] = self.columns.fixed("release_day").map_err(damaged)?;
        let deleted: &[u8] = self.columns.fixed("deleted").map_err(damaged)?;
        let artists = self.columns.lists::<u64>("artists").map_err(damaged)?;
        let segment = u32::try_from(self.entry.id).map_err(|_| Error::Corrupt("segment id".to_owned()))?;
        for (at, &ordinal) in self.ordinals()?.iter().enumerate() {
            let offset = u32::try_from(at).map_err(|_| Error::Corrupt("segment too long".to_owned()))?;
            let hot = TrackHot {
                segment,
                offset,
                recording: recordings[at],
                sibling: ordinal,
                artist: artists.get(at).and_then(|row| row.first().copied()).unwrap_or(0),
                album: album[at],
                release_day: days[at],
                popularity: popularity[at],
                tempo: tempo[at],
                energy: energy[at],
                duration_ms: durations[at],
                live: deleted[at] == 0,
                key: track[at],
            };
            each(offset, ordinal, track[at], recording_key[at], hot);
        }
        Ok(())
    }
}

/// The features as eleven words; NaN and `u32::MAX` stand for unknown.
pub(super) fn pack_features(audio: &AudioFeatures) -> [u32; 11] {
    let real = |value: Option<f32>| value.unwrap_or(f32::NAN).to_bits();
    let whole = |value: Option<u8>| value.map_or(u32::MAX, u32::from);
    [
        real(audio.tempo),
        whole(audio.key),
        whole(audio.mode),
        real(audio.energy),
        real(audio.danceability),
        real(audio.valence),
        real(audio.acousticness),
        real(audio.instrumentalness),
        real(audio.speechiness),
        real(audio.liveness),
        real(audio.loudness),
    ]
}

pub(super) fn unpack_features(words: &[u32]) -> Option<AudioFeatures> {
    let &[
        tempo,
        key,
        mode,
        energy,
        danceability,
        valence,
        acousticness,
        instrumentalness,
        speechiness,
        liveness,
        loudness,
    ] = words
    else {
        return None;
    };
    let real = |bits: u32| Some(f32::from_bits(bits)).filter(|value| !value.is_nan());
    let whole = |word: u32| u8::try_from(word).ok();
    Some(AudioFeatures {
        tempo: real(tempo),
        key: whole(key),
        mode: whole(mode),
        energy: real(energy),
        danceability: real(danceability),
        valence: real(valence),
        acousticness: real(acousticness),
        instrumentalness: real(instrumentalness),
        speechiness: real(speechiness),
        liveness: real(liveness),
        loudness: real(loudness),
    })
}

pub(super) fn out_of_rows(offset: u32) -> Error {
    Error::Internal(format!("row beyond its segment. offset=`{offset}`"))
}

fn decode_track(bytes: &[u8]) -> Result<Track> {
    let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    rkyv::from_bytes::<Track, rkyv::rancor::Error>(&aligned)
        .map_err(|error| Error::Corrupt(format!("a track record cannot be read: {error}")))
}

pub(super) fn encode_track(track: &Track) -> Result<rkyv::util::AlignedVec> {
    rkyv::to_bytes::<rkyv::rancor::Error>(track)
        .map_err(|error| Error::Internal(format!("a track record cannot be written: {error}")))
}

/// Writes rows as the files of segment `id`; `dead(offset)` rows are kept (offsets stay) but not posted.
pub fn write_tracks(
    shard_folder: &Path,
    id: u32,
    rows: &[Arc<TrackRow>],
    dead: &RoaringBitmap,
) -> Result<SegmentEntry> {
    let folder = segment_folder(shard_folder, u64::from(id));
    segue_storage_format::publish::create_folder(&folder).map_err(damaged)?;
    let columns = write_columns(&folder, rows)?;
    let postings = write_postings(&folder, rows, dead).map_err(damaged)?;
    Ok(SegmentEntry {
        id: u64::from(id),
        kind: SegmentKind::Tracks,
        space: String::new(),
        generation: 0,
        profile: String::new(),
        rows: rows.len() as u64,
        files: vec![columns, postings],
        tombstones: None,
    })
}

fn write_columns(folder: &Path, rows: &[Arc<TrackRow>]) -> Result<FileEntry> {
    let payload = rows.iter().map(|row| encode_track(&row.track)).collect::<Result<Vec<_>>>()?;
    let hot: Vec<TrackHot> = rows.iter().map(|row| row.hot(0, 0)).collect();
    let write = || -> std::result::Result<FileEntry, FormatError> {
        let mut file = ColumnFileWriter::create(folder, COLUMNS)?;
        file.fixed_from("ordinal", rows.iter().map(|row| row.ordinal))?;
        file.fixed_from("recording", rows.iter().map(|row| row.recording))?;
        file.fixed_from(
            "slot",
            rows.iter().map(|row| crate::types::slot_of(row.track.recording_id.as_str()).0),
        )?;
        file.fixed_from("deleted", rows.iter().map(|row| u8::from(row.deleted)))?;
        file.fixed_from(
            "track_key",
            rows.iter().map(|row| crate::types::key_of(row.track.track_id.as_str())),
        )?;
        file.fixed_from("recording_key", rows.iter().map(|row| row.recording_key()))?;
        file.fixed_from("album_key", hot.iter().map(|hot| hot.album))?;
        file.fixed_from("release_day", hot.iter().map(|hot| hot.release_day))?;
        file.fixed_from("popularity", hot.iter().map(|hot| hot.popularity))?;
        file.fixed_from("tempo", hot.iter().map(|hot| hot.tempo))?;
        file.fixed_from("energy", hot.iter().map(|hot| hot.energy))?;
        file.fixed_from("duration_ms", hot.iter().map(|hot| hot.duration_ms))?;
        let artists: Vec<Vec<u64>> =
            rows.iter().map(|row| row.artists.iter().map(|ArtistKey(key)| *key).collect()).collect();
        file.lists("artists", &artists)?;
        let genres: Vec<Vec<u64>> =
            rows.iter().map(|row| row.genres.iter().map(|(genre, _)| genre.0).collect()).collect();
        file.lists("genres", &genres)?;
        let confidences: Vec<Vec<u32>> =
            rows.iter().map(|row| row.genres.iter().map(|(_, c)| c.to_bits()).collect()).collect();
        file.lists("genre_confidences", &confidences)?;
        file.lists("features", rows.iter().map(|row| pack_features(&row.track.audio)))?;
        let records = rows.iter().map(|row| record::encode(&row.artists, &row.genres, &row.track.audio));
        file.payload("facts", records)?;
        file.payload("track", &payload)?;
        file.finish()
    };
    write().map_err(damaged)
}

fn write_postings(
    folder: &Path,
    rows: &[Arc<TrackRow>],
    dead: &RoaringBitmap,
) -> std::result::Result<FileEntry, FormatError> {
    let universe = rows.iter().map(|row| u64::from(row.ordinal) + 1).max().unwrap_or(0);
    let mut file = PostingsFileWriter::create(folder, POSTINGS, universe)?;
    for field in PostingField::ALL {
        let mut lists = std::collections::BTreeMap::<u64, RoaringBitmap>::new();
        for (offset, row) in rows.iter().enumerate() {
            let dead = u32::try_from(offset).is_ok_and(|offset| dead.contains(offset));
            if !dead && !row.deleted {
                for key in field.keys_of(row) {
                    lists.entry(key).or_default().insert(row.ordinal);
                }
            }
        }
        file.field(field.name(), lists.iter().map(|(key, rows)| (*key, rows)))?;
    }
    file.finish()
}
