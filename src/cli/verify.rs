//! `segue verify`.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use segue_storage_format::verify::{Damage, VerifyReport, verify_shard_with};
use serde_json::json;

use super::args::OutputArgs;
use super::output::{bytes, count, print, print_json};
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
The database must not be running. Exit status 0 only when nothing is damaged.

Example:
  segue verify ./segue-data";

/// How deep below the data directory shards lie at most.
const DEPTH_MAX: usize = 4;
/// What the name of a manifest starts with; a folder with one is a shard's.
const MANIFEST: &str = "MANIFEST-";

/// Check every checksum and cross-reference of a database that is not running.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// The data directory, or the folder of one shard
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl VerifyArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// `Corrupt` when something is damaged (each damage is printed); `NotFound` when there is no shard.
    pub fn run(self) -> Result<()> {
        let mut shards = Vec::new();
        find_shards(&self.dir, 0, &mut shards)?;
        if shards.is_empty() {
            return Err(Error::not_found("shard (a folder with a manifest)", self.dir.display()));
        }
        let mut whole = VerifyReport::default();
        for shard in &shards {
            let report = verify(shard);
            whole.files += report.files;
            whole.bytes += report.bytes;
            whole.damage.extend(report.damage);
        }
        if self.output.json {
            let damage: Vec<_> = whole.damage.iter().map(document).collect();
            print_json(&json!({ "files": whole.files, "bytes": whole.bytes, "damage": damage }))?;
        } else {
            let damage: String = whole.damage.iter().map(|damage| format!("DAMAGED {damage}\n")).collect();
            let read = format!("{} files, {} read", count(whole.files), bytes(whole.bytes));
            print(&format!("{damage}{read}, {} damaged places\n", whole.damage.len()))?;
        }
        if whole.is_clean() {
            return Ok(());
        }
        Err(Error::Corrupt(format!("{} damaged places in {}", whole.damage.len(), self.dir.display())))
    }
}

fn document(damage: &Damage) -> serde_json::Value {
    json!({ "file": damage.file.display().to_string(), "offset": damage.offset, "what": damage.what })
}

fn verify(shard: &Path) -> VerifyReport {
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(0).with_message(shard.display().to_string());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let report = verify_shard_with(shard, &mut |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    report
}

/// Folders with a manifest, in name order.
fn find_shards(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |source| Error::io("read the folder", dir, source);
    let mut folders = Vec::new();
    let mut is_shard = false;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        is_shard |= entry.file_name().to_string_lossy().starts_with(MANIFEST);
        if entry.file_type().map_err(failed)?.is_dir() {
            folders.push(entry.path());
        }
    }
    if is_shard {
        found.push(dir.to_owned());
    } else if depth < DEPTH_MAX {
        folders.sort();
        for folder in &folders {
            find_shards(folder, depth + 1, found)?;
        }
    }
    Ok(())
}
