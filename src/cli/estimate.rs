//! `segue estimate`: memory and disk by part, from counts alone. Nothing is opened or measured.

use serde::Serialize;

use super::args::OutputArgs;
use super::output::{Align, bytes, count, print, print_json, table};
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Memory is what is kept in memory for fast answers; the rest is read from disk when it is needed. Disk is one replica at
rest; sealing and merging need up to twice a shard's largest segment while they run, and a new generation needs the room
of the vectors once more until the old one is dropped.

Examples:
  segue estimate --tracks 100000000 --users 615000000 --dim 256
  segue estimate --tracks 130695 --users 1882 --dim 64 --plays-per-user 953 --json";

/// Memory and disk a database of some size needs.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct EstimateArgs {
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    output: OutputArgs,
}

/// How large a database is.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Size {
    /// Tracks of the catalogue
    #[arg(long, value_name = "COUNT")]
    pub tracks: u64,
    /// Listeners
    #[arg(long, value_name = "COUNT")]
    pub users: u64,
    /// Dimension of user_cf and track_cf
    #[arg(long, value_name = "N")]
    pub dim: u32,
    /// Dimension of the audio vectors; 0 = none
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub audio_dim: u32,
    /// Share of the tracks that have a track_cf vector
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub trained_share: f64,
    /// Plays kept for a listener
    #[arg(long, value_name = "COUNT", default_value_t = 500.0)]
    pub plays_per_user: f64,
    /// Share of the listeners whose state is kept in memory
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub active_share: f64,
    /// Generations kept at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub generations: u32,
    /// Copies of everything, on different nodes
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub replicas: u32,
}

/// Bytes of one row of each part. Where a part's size follows from a layout, `docs` of that layout say so; where it
/// follows from data (titles, names), the number is the mean over the project's own catalogue.
mod row {
    /// Text and small fields of a track: title, artists, album, label, genres, regions, audio features.
    pub const TRACK_COLUMNS: f64 = 260.0;
    /// A track's id and its hash slot (id text, 8-byte hash, 4-byte ordinal).
    pub const TRACK_ID: f64 = 44.0;
    /// A track's part of all postings (region, explicit, artist, genre, album) and sorted columns.
    pub const TRACK_POSTINGS: f64 = 64.0;
    /// Neighbours of a node in the graph.
    pub const GRAPH_DEGREE: f64 = 32.0;
    /// Link to a neighbour, and the two factors of its code.
    pub const GRAPH_LINK: f64 = 4.0 + 8.0;
    /// Bits a dimension takes in a neighbour's code.
    pub const CODE_BITS: f64 = 1.0;
    /// Bytes of one component of a full-precision vector.
    pub const COMPONENT: f64 = 4.0;
    /// A listener's record, rules and counts.
    pub const USER: f64 = 220.0;
    /// A play in a listener's day buckets (track, time, length, action), as the LSM tree stores it.
    pub const PLAY: f64 = 18.0;
    /// What a listener kept in memory takes besides the plays: profile, session, exclusions.
    pub const USER_CACHED: f64 = 2_048.0;
    /// The same for each play: an entry of the heard set.
    pub const PLAY_CACHED: f64 = 8.0;
}

/// One part of a database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its name.
    pub part: String,
    /// Rows of it.
    pub rows: u64,
    /// Bytes of a row on disk.
    pub row_bytes: f64,
    /// Bytes kept in memory, all rows together.
    pub memory_bytes: u64,
    /// Bytes on disk, all rows together.
    pub disk_bytes: u64,
}

/// What a database of some size needs, all replicas together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// By part.
    pub parts: Vec<Part>,
    /// Sum of the parts.
    pub memory_bytes: u64,
    /// Sum of the parts.
    pub disk_bytes: u64,
}

/// Where a part's rows are when a request needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Memory,
    Disk,
}

fn part(name: &str, rows: f64, row_bytes: f64, held: Held) -> Part {
    let disk = rows * row_bytes;
    let memory = if held == Held::Memory { disk } else { 0.0 };
    Part {
        part: name.to_owned(),
        rows: rows as u64,
        row_bytes,
        memory_bytes: memory as u64,
        disk_bytes: disk as u64,
    }
}

/// Codes and links of one node of a graph: every neighbour's code lies beside its link.
fn node_bytes(dim: u32) -> f64 {
    row::GRAPH_DEGREE * (f64::from(dim) * row::CODE_BITS / 8.0 + row::GRAPH_LINK)
}

/// What a database of this size needs. A pure function of its argument.
#[must_use]
pub fn estimate(size: &Size) -> Estimate {
    let (tracks, users) = (size.tracks as f64, size.users as f64);
    let generations = f64::from(size.generations);
    let trained = tracks * size.trained_share * generations;
    let plays = users * size.plays_per_user;
    let vector = |dim: u32| f64::from(dim) * row::COMPONENT;
    let mut parts = vec![
        part("track columns", tracks, row::TRACK_COLUMNS, Held::Disk),
        part("track ids", tracks, row::TRACK_ID, Held::Memory),
        part("track postings", tracks, row::TRACK_POSTINGS, Held::Memory),
        part("track_cf vectors", trained, vector(size.dim), Held::Disk),
        part("track_cf graph, ip", trained, node_bytes(size.dim), Held::Memory),
        part("track_cf graph, cosine", trained, node_bytes(size.dim), Held::Memory),
    ];
    if size.audio_dim > 0 {
        parts.push(part("audio vectors", tracks, vector(size.audio_dim), Held::Disk));
        parts.push(part("audio graph, cosine", tracks, node_bytes(size.audio_dim), Held::Memory));
    }
    parts.push(part("listeners", users, row::USER, Held::Disk));
    parts.push(part("user_cf vectors", users * generations, vector(size.dim), Held::Disk));
    parts.push(part("plays", plays, row::PLAY, Held::Disk));
    let active = users * size.active_share;
    let cached = active * (row::USER_CACHED + size.plays_per_user * row::PLAY_CACHED + vector(size.dim));
    let cache =
        Part { memory_bytes: cached as u64, ..part("listeners in memory", active, 0.0, Held::Memory) };
    parts.push(cache);
    let replicas = u64::from(size.replicas);
    for part in &mut parts {
        part.memory_bytes = part.memory_bytes.saturating_mul(replicas);
        part.disk_bytes = part.disk_bytes.saturating_mul(replicas);
    }
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).fold(0, u64::saturating_add);
    Estimate { memory_bytes: sum(|part| part.memory_bytes), disk_bytes: sum(|part| part.disk_bytes), parts }
}

impl Size {
    fn validate(&self) -> Result<()> {
        for (field, share) in [("trained_share", self.trained_share), ("active_share", self.active_share)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::invalid(field, format!("must be 0 to 1. value=`{share}`")));
            }
        }
        if !(0.0..=1e9).contains(&self.plays_per_user) {
            return Err(Error::invalid(
                "plays_per_user",
                format!("must be 0 or above. value=`{}`", self.plays_per_user),
            ));
        }
        Ok(())
    }
}

impl EstimateArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// A share that is none; those of printing.
    pub fn run(self) -> Result<()> {
        self.size.validate()?;
        let estimate = estimate(&self.size);
        if self.output.json { print_json(&estimate) } else { print(&text(&estimate)) }
    }
}

fn text(estimate: &Estimate) -> String {
    let heading = ["part", "rows", "bytes a row", "memory", "disk"].map(str::to_owned).to_vec();
    let line = |part: &Part| {
        let row_bytes = if part.row_bytes > 0.0 { format!("{:.0}", part.row_bytes) } else { String::new() };
        vec![part.part.clone(), count(part.rows), row_bytes, bytes(part.memory_bytes), bytes(part.disk_bytes)]
    };
    let total = vec![
        "total".to_owned(),
        String::new(),
        String::new(),
        bytes(estimate.memory_bytes),
        bytes(estimate.disk_bytes),
    ];
    let lines = estimate.parts.iter().map(line);
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(lines).chain([total]).collect();
    table(&[Align::Left, Align::Right, Align::Right, Align::Right, Align::Right], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> Size {
        Size {
            tracks: 1_000,
            users: 100,
            dim: 64,
            audio_dim: 128,
            trained_share: 0.5,
            plays_per_user: 10.0,
            active_share: 0.1,
            generations: 1,
            replicas: 1,
        }
    }

    #[test]
    fn parts_add_up_and_follow_the_table() {
        let small = estimate(&size());
        assert_eq!(small.disk_bytes, small.parts.iter().map(|part| part.disk_bytes).sum::<u64>());
        let graph = small.parts.iter().find(|part| part.part == "track_cf graph, ip").expect("listed");
        assert_eq!((graph.rows, graph.disk_bytes), (500, 500 * 32 * (8 + 12)));
        let tripled = estimate(&Size { replicas: 3, ..size() });
        assert_eq!(
            (tripled.memory_bytes, tripled.disk_bytes),
            (3 * small.memory_bytes, 3 * small.disk_bytes)
        );
    }

    #[test]
    fn the_table_fits_eighty_columns_at_the_largest_size() {
        let large = Size { tracks: 100_000_000, users: 615_000_000, dim: 256, replicas: 3, ..size() };
        assert!(text(&estimate(&large)).lines().all(|line| line.len() <= 80));
    }
}
