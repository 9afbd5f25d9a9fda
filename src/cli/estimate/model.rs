//! The sizes: from the layouts where they follow from layouts, measured on an ordinary catalogue where they follow from
//! data. `.ci/real-data` compares the sums with real files and a real process.

use segue_index::{BuildParams, IndexRowBytes, Profile};
use serde::Serialize;

use super::Size;
use crate::storage::track_shard::RECORD_BYTES;
use crate::storage::track_shard::row::TrackHot;
use crate::types::Metric;

/// Bytes that follow from data: means over 130,695 tracks, 1,902 listeners and 1.8 million plays, from the sizes of the files
/// and of the process after a restart and some thousand lists.
mod measured {
    /// The record of a track as stored (titles, names, genres, regions) and the keys of its artists and genres.
    pub const TRACK_RECORD: f64 = 372.0;
    /// A track's part of all postings: region, explicit, artist, genre, album.
    pub const TRACK_POSTINGS: f64 = 29.5;
    /// A listener's record.
    pub const USER: f64 = 300.0;
    /// A play in its day, with its share of keys and of the counts by day and region.
    pub const PLAY: f64 = 45.0;
    /// A track and a play as the log carries them.
    pub const LOG_TRACK: f64 = 380.0;
    pub const LOG_PLAY: f64 = 32.0;
    /// The program, its threads, buffers and the store's tables.
    pub const PROGRAM: f64 = 85e6;
    /// A listener in memory: record, profile, session.
    pub const LISTENER: f64 = 4_096.0;
    /// The same for each play.
    pub const LISTENER_PLAY: f64 = 194.0;
}

/// Fixed columns of a track row: ordinal, recording, slot, deleted, three keys, day, popularity, tempo, energy, duration.
const FIXED_COLUMNS: f64 = 55.0;
/// Features of a track row, eleven words.
const FEATURES: f64 = 44.0;
/// The offset a list or payload column keeps for each row; there are six such columns.
const OFFSETS: f64 = 6.0 * 8.0;
/// Size of the log's files at which those no longer needed are removed (`log_disk_bytes` of the cluster crate).
const LOG_BYTES_MAX: f64 = 256.0 * 1024.0 * 1024.0;
/// Listeners whose taste a node keeps, at most.
const LISTENERS_CACHED_MAX: f64 = 4_096.0;

/// One part of a database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its name.
    pub part: String,
    /// Rows of it.
    pub rows: u64,
    /// Bytes of a row on disk.
    pub row_bytes: f64,
    /// Bytes that must be in memory for fast answers, all rows together.
    pub memory_bytes: u64,
    /// Bytes of memory the process shows once everything was touched and there is room.
    pub resident_bytes: u64,
    /// Bytes on disk, all rows together.
    pub disk_bytes: u64,
}

/// What a database of some size needs, all replicas together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Sum of the parts.
    pub memory_bytes: u64,
    /// Sum of the parts.
    pub resident_bytes: u64,
    /// Sum of the parts.
    pub disk_bytes: u64,
    /// By part.
    pub parts: Vec<Part>,
}

/// Where a part's rows are when a request needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// In memory: codes and graphs read in whole, and mapped files that every request walks through.
    Hot,
    /// In a mapped file that is read here and there.
    Mapped,
    /// In a file that is read, not mapped.
    Read,
}

fn stored(name: &str, rows: f64, row_bytes: f64, held: Held) -> Part {
    let disk = (rows * row_bytes) as u64;
    Part {
        part: name.to_owned(),
        rows: rows as u64,
        row_bytes,
        memory_bytes: if held == Held::Hot { disk } else { 0 },
        resident_bytes: if held == Held::Read { 0 } else { disk },
        disk_bytes: disk,
    }
}

/// A part that is in memory only.
fn in_memory(name: &str, rows: f64, bytes: f64) -> Part {
    let bytes = bytes as u64;
    Part {
        part: name.to_owned(),
        rows: rows as u64,
        row_bytes: 0.0,
        memory_bytes: bytes,
        resident_bytes: bytes,
        disk_bytes: 0,
    }
}

/// Codes and links of one vector in the index of one metric, as segments are built.
fn index_row(metric: Metric, dim: u32) -> f64 {
    let sizes = IndexRowBytes::new(&BuildParams::new(metric, Profile::Fast), dim as usize);
    (sizes.codes + sizes.graph) as f64
}

/// A vector in its file, rows on cache lines, and its owner beside it.
fn vector_row(dim: u32) -> f64 {
    f64::from((4 * dim).next_multiple_of(64)) + 4.0
}

/// A map from keys of ids to numbers: 17 bytes a bucket, at most seven of eight full, a power of two.
fn id_map(ids: f64) -> f64 {
    let buckets = (ids * 8.0 / 7.0).max(4.0).log2().ceil().exp2();
    buckets * 17.0
}

fn track_parts(size: &Size) -> Vec<Part> {
    let tracks = size.tracks as f64;
    let columns = FIXED_COLUMNS + OFFSETS + FEATURES + RECORD_BYTES as f64 + measured::TRACK_RECORD;
    // Two maps: of tracks and of recordings, which are nearly as many; and a number for each recording.
    let facts = tracks * (size_of::<TrackHot>() as f64 + 4.0) + 2.0 * id_map(tracks);
    vec![
        stored("track columns", tracks, columns, Held::Mapped),
        stored("track postings", tracks, measured::TRACK_POSTINGS, Held::Hot),
        in_memory("track facts and ids", tracks, facts),
    ]
}

/// Vectors of tracks: rows, an index a metric, and where each track's vector is: for all, and once more for each segment.
fn space_parts(name: &str, tracks: f64, rows: f64, dim: u32, metrics: &[Metric]) -> Vec<Part> {
    let mut parts = vec![stored(&format!("{name} vectors"), rows, vector_row(dim), Held::Mapped)];
    parts.extend(
        metrics.iter().map(|&metric| {
            stored(&format!("{name} graph, {metric}"), rows, index_row(metric, dim), Held::Hot)
        }),
    );
    parts.extend(metrics.iter().map(|&metric| {
        let sieve = IndexRowBytes::new(&BuildParams::new(metric, Profile::Fast), dim as usize).sieve;
        in_memory(&format!("{name} sieve, {metric}"), rows, rows * sieve as f64)
    }));
    parts.push(in_memory(&format!("{name} places"), tracks, tracks * 8.0 + rows * 4.0));
    parts
}

fn listener_parts(size: &Size) -> Vec<Part> {
    let (users, generations) = (size.users as f64, f64::from(size.generations));
    let plays = users * size.plays_per_user;
    let active = (users * size.active_share).min(LISTENERS_CACHED_MAX);
    let cached = active * (measured::LISTENER + size.plays_per_user * measured::LISTENER_PLAY);
    vec![
        stored("listeners", users, measured::USER, Held::Read),
        stored("user_cf vectors", users * generations, f64::from(4 * size.dim), Held::Read),
        stored("plays", plays, measured::PLAY, Held::Read),
        in_memory("listeners in memory", active, cached),
    ]
}

/// What writing everything puts into the log, up to the size at which it is compacted. Vectors loaded in bulk skip it.
fn log(size: &Size) -> f64 {
    let plays = size.users as f64 * size.plays_per_user;
    (size.tracks as f64 * measured::LOG_TRACK + plays * measured::LOG_PLAY).min(LOG_BYTES_MAX)
}

/// What a database of this size needs. A pure function of its argument.
#[must_use]
pub fn estimate(size: &Size) -> Estimate {
    let tracks = size.tracks as f64;
    let mut parts = track_parts(size);
    let trained = tracks * size.trained_share * f64::from(size.generations);
    parts.extend(space_parts("track_cf", tracks, trained, size.dim, &[Metric::Ip, Metric::Cosine]));
    if size.audio_dim > 0 {
        parts.extend(space_parts("audio", tracks, tracks, size.audio_dim, &[Metric::Cosine]));
    }
    parts.extend(listener_parts(size));
    parts.push(stored("log", 1.0, log(size), Held::Read));
    parts.push(in_memory("program", 1.0, measured::PROGRAM));
    let replicas = u64::from(size.replicas);
    for part in &mut parts {
        for bytes in [&mut part.memory_bytes, &mut part.resident_bytes, &mut part.disk_bytes] {
            *bytes = bytes.saturating_mul(replicas);
        }
    }
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).fold(0, u64::saturating_add);
    Estimate {
        memory_bytes: sum(|part| part.memory_bytes),
        resident_bytes: sum(|part| part.resident_bytes),
        disk_bytes: sum(|part| part.disk_bytes),
        parts,
    }
}
