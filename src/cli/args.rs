//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::pipeline::request::{TrackFilter, WriteToken};
use crate::types::{ArtistId, Date, Deadline, Region, TrackId};

/// Which database is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct BackendArgs {
    /// A running server, such as http://127.0.0.1:7700; several of a cluster with commas between them stand in for each other
    #[arg(long, value_name = "URL", conflicts_with = "data", help_heading = "Database", global = true)]
    pub endpoint: Option<String>,
    /// A data directory, opened in-process (no server may have it open)
    #[arg(long, value_name = "DIR", help_heading = "Database", global = true)]
    pub data: Option<PathBuf>,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputArgs {
    /// Print exactly one JSON document
    #[arg(long, global = true)]
    pub json: bool,
}

/// Conditions on tracks.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Conditions on tracks")]
pub struct FilterArgs {
    /// Playable in this region, such as SE
    #[arg(long, value_name = "CODE")]
    pub region: Option<Region>,
    /// false: only tracks known to be clean; true: only tracks known to be explicit
    #[arg(long, value_name = "BOOL")]
    pub explicit: Option<bool>,
    /// Any of these artists (repeatable)
    #[arg(long = "artist", value_name = "ID")]
    pub artists: Vec<ArtistId>,
    /// None of these artists (repeatable)
    #[arg(long = "exclude-artist", value_name = "ID")]
    pub exclude_artists: Vec<ArtistId>,
    /// Any of these genres (repeatable)
    #[arg(long = "genre", value_name = "NAME")]
    pub genres: Vec<String>,
    /// None of these genres (repeatable)
    #[arg(long = "exclude-genre", value_name = "NAME")]
    pub exclude_genres: Vec<String>,
    /// Any of these albums (repeatable)
    #[arg(long = "album", value_name = "ID")]
    pub albums: Vec<String>,
    /// None of these tracks (repeatable)
    #[arg(long = "exclude-track", value_name = "ID")]
    pub exclude_tracks: Vec<TrackId>,
    /// Popularity, 0..100, such as 20..80
    #[arg(long, value_name = "MIN..MAX", value_parser = numbers)]
    pub popularity: Option<(f32, f32)>,
    /// Days of release, such as 2020-01-01..2024-12-31
    #[arg(long, value_name = "FROM..TO", value_parser = days)]
    pub released: Option<(Date, Date)>,
    /// Beats a minute, such as 100..130
    #[arg(long, value_name = "MIN..MAX", value_parser = numbers)]
    pub tempo: Option<(f32, f32)>,
    /// Energy, 0..1, such as 0.6..1
    #[arg(long, value_name = "MIN..MAX", value_parser = numbers)]
    pub energy: Option<(f32, f32)>,
}

impl From<FilterArgs> for TrackFilter {
    fn from(args: FilterArgs) -> Self {
        Self {
            region: args.region,
            explicit: args.explicit,
            artists: args.artists,
            exclude_artists: args.exclude_artists,
            genres: args.genres,
            exclude_genres: args.exclude_genres,
            albums: args.albums,
            exclude_tracks: args.exclude_tracks,
            popularity: args.popularity,
            release_date: args.released,
            tempo: args.tempo,
            energy: args.energy,
        }
    }
}

/// What a read demands of the state and of the time it takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ReadArgs {
    /// The state must be at least this new: the `token` of a write's --json reply
    #[arg(long, value_name = "JSON", value_parser = token)]
    pub min_token: Option<WriteToken>,
    /// Give up after so long, with no answer rather than a part of one [default: the server's limit]
    #[arg(long, value_name = "N")]
    pub timeout_ms: Option<u64>,
}

impl ReadArgs {
    /// Until when the answer is waited for, from now.
    pub fn deadline(&self) -> Deadline {
        self.timeout_ms.map_or(Deadline::NEVER, |ms| Deadline::after(Duration::from_millis(ms)))
    }
}

fn token(text: &str) -> std::result::Result<WriteToken, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn ends<'a>(text: &'a str, example: &str) -> std::result::Result<(&'a str, &'a str), String> {
    text.split_once("..").ok_or_else(|| format!("expected two ends, such as {example}"))
}

fn numbers(text: &str) -> std::result::Result<(f32, f32), String> {
    let (min, max) = ends(text, "20..80")?;
    let number = |text: &str| text.trim().parse::<f32>().map_err(|error| error.to_string());
    Ok((number(min)?, number(max)?))
}

fn days(text: &str) -> std::result::Result<(Date, Date), String> {
    let (from, to) = ends(text, "2020-01-01..2024-12-31")?;
    let day = |text: &str| text.trim().parse::<Date>().map_err(|error| error.to_string());
    Ok((day(from)?, day(to)?))
}

/// A seed with a weight: `ID` or `ID=WEIGHT`.
pub fn weighted_seed(text: &str) -> std::result::Result<(TrackId, f32), String> {
    let (id, weight) = match text.rsplit_once('=') {
        Some((id, weight)) => match weight.parse() {
            Ok(weight) => (id, weight),
            Err(_) => (text, 1.0),
        },
        None => (text, 1.0),
    };
    TrackId::new(id).map(|id| (id, weight)).map_err(|error| error.to_string())
}

/// A file's text.
///
/// # Errors
/// `Io` when it cannot be read.
pub fn read_text(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::io("read the file", path, source))
}
