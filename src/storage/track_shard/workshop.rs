//! Where a segment's files are made before they take their place.
//!
//! Two nodes may make a segment of the same number: a leader that loses its office while it builds does not know yet, and
//! its successor seals the same rows. Which of the two is live the log says. So files are written to a folder of their
//! own, `building/N`, and moved into the segment's folder in a moment that excludes the log entry of that segment:
//! nothing of a live segment is ever written to. What a crash leaves in `building` is removed at the next start.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use segue_storage_format::SegmentEntry;
use segue_storage_format::manifest::segment_folder;
use segue_storage_format::publish::{create_folder, sync_folder};

use super::segment::TrackBody;
use super::shard::TrackShard;
use super::vectors::VectorBody;
use crate::error::{Error, Result};
use crate::storage::error::damaged;

const FOLDER: &str = "building";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder for files in the making, laid out as a shard's; removed when dropped.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// What takes the place of the shard's folder for those who write segments.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be removed now is at the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl TrackShard {
    /// Makes an empty folder for files in the making.
    ///
    /// # Errors
    /// The operating system's.
    pub fn workshop(&self) -> Result<Workshop> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder().join(FOLDER).join(number.to_string());
        create_folder(&folder).map_err(damaged)?;
        Ok(Workshop { folder })
    }

    /// Moves the files of a frozen segment that was built here into their place; `false`, and nothing is moved, when its
    /// rows are in files already: another leader has sealed it meanwhile.
    ///
    /// # Errors
    /// The operating system's.
    pub fn place_sealed(&self, workshop: &Workshop, entry: &SegmentEntry) -> Result<bool> {
        self.place_if(workshop, entry, || self.is_frozen(entry.id))
    }

    /// Moves files that were fetched ahead of their log entry into their place; `false`, and nothing is moved, when the
    /// entry was faster.
    ///
    /// # Errors
    /// The operating system's.
    pub fn place_ahead(&self, workshop: &Workshop, entry: &SegmentEntry) -> Result<bool> {
        self.place_if(workshop, entry, || !self.is_live(entry.id))
    }

    /// Moves files into their place on behalf of the log entry that is being applied.
    ///
    /// # Errors
    /// The operating system's.
    pub fn place_for_entry(&self, workshop: &Workshop, entry: &SegmentEntry) -> Result<()> {
        place(self.folder(), workshop, entry)
    }

    fn place_if(
        &self,
        workshop: &Workshop,
        entry: &SegmentEntry,
        allowed: impl Fn() -> bool,
    ) -> Result<bool> {
        // An entry notes the segment under this lock before it opens the files.
        let recent = self.recent();
        if recent.contains_key(&entry.id) || !allowed() {
            return Ok(false);
        }
        place(self.folder(), workshop, entry)?;
        drop(recent);
        Ok(true)
    }

    /// Whether a segment's rows are in memory only.
    fn is_frozen(&self, id: u64) -> bool {
        let view = self.view();
        let mut tracks = view.segments.iter();
        let mut vectors = view.sets.values().flat_map(|set| &set.segments);
        tracks.any(|known| u64::from(known.id) == id && matches!(known.body, TrackBody::Memory(_)))
            || vectors.any(|known| u64::from(known.id) == id && matches!(known.body, VectorBody::Memory(_)))
    }
}

fn place(shard: &Path, workshop: &Workshop, entry: &SegmentEntry) -> Result<()> {
    let (from, to) = (segment_folder(&workshop.folder, entry.id), segment_folder(shard, entry.id));
    create_folder(&to).map_err(damaged)?;
    for file in entry.all_files() {
        let source = from.join(&file.name);
        // What was in place already was not fetched again.
        if source.exists() {
            let target = to.join(&file.name);
            fs::rename(&source, &target)
                .map_err(|error| Error::io("move a finished file into its place", target, error))?;
        }
    }
    sync_folder(&to).map_err(damaged)
}

/// Removes what a crash left in the making.
///
/// # Errors
/// The operating system's.
pub(super) fn clear(shard: &Path) -> Result<()> {
    let folder = shard.join(FOLDER);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove what was only begun", folder, error))
        }
        _ => Ok(()),
    }
}
