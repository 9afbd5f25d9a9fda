//! `segue generate`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::args::OutputArgs;
use super::output::{Align, bytes, count, print, print_json, table};
use super::progress::Progress;
use crate::error::Result;
use crate::generate::{Catalogue, GenerateParams, GeneratedFile, WriteOptions, generate};
use crate::types::Timestamp;

const EXAMPLES: &str = "\
Writes tracks.parquet, users.parquet, plays.parquet and track_audio.parquet (docs/DATA.md has the
columns), which `segue load` and `segue train` read. The same seed and sizes give the same files.
Memory: about 100 bytes a track, 16 a listener, and the piece of a file being written.

--vectors also writes track_cf.parquet and user_cf.parquet, made directly instead of trained, for
sizes nobody wants to train: singular values fall as (j + 1)^-0.5, genres and artists are clusters,
track norms are 0.10 at 1 %, 0.51 at the median and 1.50 at 99 %, growing with popularity.

Examples:
  segue generate --out ./made
  segue generate --tracks 20000 --listeners 1000 --seed 7 --out ./made
  segue generate --tracks 1000000 --listeners 50000 --vectors --cf-dim 256 --out ./made";

/// Plays of a listener on average, when the number of plays is not given.
pub const PLAYS_PER_LISTENER: u64 = 200;

/// Make up a catalogue with listeners and plays.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct GenerateArgs {
    /// The folder to write into; created when it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Tracks, 100 to 200,000,000
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    tracks: u32,
    /// Listeners, at least 1
    #[arg(long, value_name = "COUNT", default_value_t = 5_000)]
    listeners: u32,
    /// Plays of all listeners together [default: 200 a listener]
    #[arg(long, value_name = "COUNT")]
    plays: Option<u64>,
    /// Genres, 4 to 60
    #[arg(long, value_name = "COUNT", default_value_t = 60)]
    genres: u32,
    /// Decides everything that is left to chance
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The present: the newest play and release lie just before it
    #[arg(long, value_name = "RFC3339", default_value_t = GenerateParams::default().as_of)]
    as_of: Timestamp,
    /// Dimension of the audio vectors, 16 to 1,024
    #[arg(long, value_name = "N", default_value_t = 128)]
    audio_dim: u32,
    /// Dimension of the vectors of --vectors, 16 to 1,024
    #[arg(long, value_name = "N", default_value_t = 64)]
    cf_dim: u32,
    /// Also write user and track vectors, made without training
    #[arg(long)]
    vectors: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl GenerateArgs {
    fn params(&self) -> GenerateParams {
        GenerateParams {
            tracks: self.tracks,
            listeners: self.listeners,
            plays: self.plays.unwrap_or(PLAYS_PER_LISTENER * u64::from(self.listeners)),
            genres: self.genres,
            seed: self.seed,
            as_of: self.as_of,
            audio_dim: self.audio_dim,
            cf_dim: self.cf_dim,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// `InvalidField` names a number out of range; `Io` when the disk refuses.
    pub fn run(self) -> Result<()> {
        let start = Instant::now();
        let params = self.params();
        let catalogue = generate(&params)?;
        let files = write(&catalogue, &self.out, WriteOptions { vectors: self.vectors })?;
        let seconds = start.elapsed().as_secs_f64();
        if self.output.json {
            return print_json(&json!({
                "out": self.out.display().to_string(),
                "tracks": params.tracks,
                "listeners": params.listeners,
                "artists": catalogue.artist_count(),
                "plays": params.plays,
                "genres": params.genres,
                "seed": params.seed,
                "as_of": params.as_of,
                "files": files,
                "seconds": seconds,
            }));
        }
        print(&text(&files, &self.out, seconds))
    }
}

/// Writes the files of a catalogue and shows how far it is.
///
/// # Errors
/// `Io` when the disk refuses.
pub fn write(catalogue: &Catalogue, folder: &Path, options: WriteOptions) -> Result<Vec<GeneratedFile>> {
    let mut current: Option<(&'static str, Progress)> = None;
    catalogue.write(folder, options, &mut |progress| {
        if current.as_ref().is_none_or(|(file, _)| *file != progress.file) {
            // The bar of the file before goes first: two bars would draw over each other.
            drop(current.take());
            current = Some((progress.file, Progress::rows(progress.file, progress.total)));
        }
        if let Some((_, bar)) = &current {
            bar.at_row(progress.rows);
        }
    })
}

fn text(files: &[GeneratedFile], out: &Path, seconds: f64) -> String {
    let row =
        |file: &GeneratedFile| vec![file.path.display().to_string(), count(file.rows), bytes(file.bytes)];
    let heading = ["file", "rows", "size"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(files.iter().map(row)).collect();
    let out = out.display();
    format!(
        "{}\nmade in {seconds:.1} s; next:\n  segue load tracks {out}/tracks.parquet --data ./segue-data\n  segue train als --plays \
         {out}/plays.parquet --tracks {out}/tracks.parquet --out ./model\n",
        table(&[Align::Left, Align::Right, Align::Right], &rows)
    )
}
