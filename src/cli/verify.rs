//! `segue verify`.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use segue_storage_format::verify::{Damage, VerifyProgress, verify_shard_with};
use serde_json::json;

use super::args::OutputArgs;
use super::output::{bytes, count, print, print_json};
use crate::error::{Error, ErrorKind, Result};
use crate::node::{DirectoryReport, verify};

const EXAMPLES: &str = "\
Reads everything, changes nothing. The database must not be running. Exit status 0 only when nothing is damaged.

Example:
  segue verify ./segue-data";

/// What the name of a manifest starts with; a folder with one is a shard's.
const MANIFEST: &str = "MANIFEST-";

/// Check every checksum and cross-reference of a database that is not running.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// The data directory, or the folder of one track shard
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl VerifyArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// `Corrupt` when something is damaged (each damage is printed); `NotFound` when there is no database.
    pub fn run(self) -> Result<()> {
        let report = checked(&self.dir)?;
        let whole = &report.checked;
        if self.output.json {
            let damage: Vec<_> = whole.damage.iter().map(document).collect();
            let (files, bytes, notes) = (whole.files, whole.bytes, &report.notes);
            print_json(&json!({ "files": files, "bytes": bytes, "damage": damage, "notes": notes }))?;
        } else {
            let damage: String = whole.damage.iter().map(|damage| format!("DAMAGED {damage}\n")).collect();
            let notes: String = report.notes.iter().map(|note| format!("note: {note}\n")).collect();
            let read = format!("{} files, {} read", count(whole.files), bytes(whole.bytes));
            print(&format!("{damage}{notes}{read}, {} damaged places\n", whole.damage.len()))?;
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

fn checked(dir: &Path) -> Result<DirectoryReport> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(0).with_message(dir.display().to_string());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut progress = |progress: VerifyProgress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    };
    let report = match verify(dir, &mut progress) {
        Err(error) if error.kind() == ErrorKind::NotFound && is_shard(dir) => {
            let checked = verify_shard_with(dir, &mut progress);
            Ok(DirectoryReport { checked, notes: Vec::new() })
        }
        result => result,
    };
    bar.finish_and_clear();
    report
}

/// Whether a folder is that of a single track shard.
fn is_shard(dir: &Path) -> bool {
    let is_manifest = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(MANIFEST);
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_manifest)))
}
