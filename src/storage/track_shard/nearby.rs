//! Files that a new shard has in common with the one it was split from: they lie beside it, and are linked, not copied.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use segue_storage_format::manifest::{load as load_manifest, segment_folder};
use segue_storage_format::publish::create_folder;
use segue_storage_format::{FileEntry, SegmentEntry, SegmentKind};

use super::checkpoint::SmallState;
use super::command::{Inheritance, NewSegment, VectorSetSpec};
use super::lineage::Parting;
use super::recover::load_small_state;
use super::shard::TrackShard;
use super::workshop::Workshop;
use crate::error::{Error, Result};
use crate::storage::error::damaged;
use crate::storage::pinned::hash_file;

/// What the folder of every track shard begins with.
const PREFIX: &str = "tracks-";

impl TrackShard {
    /// What a new shard begins with, once the newest checkpoint is of a state in which its slots take no writes; `None` before, and
    /// when the new shard has begun already. The files are in the new shard's folder then, and staged for the entry.
    ///
    /// # Errors
    /// Damaged files; the operating system's.
    pub fn bequeath(&self, parting: Parting, to: &TrackShard) -> Result<Option<Inheritance>> {
        let Some(loaded) = load_manifest(self.folder()).map_err(damaged)? else { return Ok(None) };
        let manifest = loaded.manifest;
        let SmallState { loads, sets, epoch, lineage } = load_small_state(self.folder(), &manifest)?;
        let Some(lineage) = lineage.filter(|lineage| lineage.parting == Some(parting)) else {
            return Ok(None);
        };
        let mut segments = Vec::with_capacity(manifest.segments.len());
        for entry in manifest.segments {
            let new = NewSegment { set: set_of(&sets, &entry), entry };
            if !to.take_linked(self, &new)? {
                return Ok(None);
            }
            segments.push(new);
        }
        Ok(Some(Inheritance {
            lineage: lineage.of_child(parting, manifest.next_ordinal),
            next_ordinal: manifest.next_ordinal,
            next_recording: manifest.next_recording,
            next_segment: manifest.next_segment,
            epoch,
            loads,
            sets,
            segments,
        }))
    }

    /// Links a segment of another shard here and stages it; `false` when it is live here already.
    fn take_linked(&self, from: &TrackShard, new: &NewSegment) -> Result<bool> {
        self.while_fetching(new.entry.id, || {
            let workshop = self.workshop()?;
            let source = segment_folder(from.folder(), new.entry.id);
            for file in new.entry.all_files() {
                link(&source.join(&file.name), &workshop, new.entry.id, file)?;
            }
            if !self.place_ahead(&workshop, &new.entry)? {
                return Ok(false);
            }
            self.stage(new).map(|()| true)
        })
    }

    /// Links a file of a segment from the shard this one was split from, if that has it, and this one has still to begin.
    ///
    /// # Errors
    /// The operating system's.
    pub fn link_nearby(&self, workshop: &Workshop, segment: u64, file: &FileEntry) -> Result<bool> {
        if !self.is_new() {
            return Ok(false);
        }
        for folder in self.siblings() {
            let path = segment_folder(&folder, segment).join(&file.name);
            if !path.metadata().is_ok_and(|metadata| metadata.len() == file.len) {
                continue;
            }
            // What a checkpoint names was checked when it was made.
            let manifest = load_manifest(&folder).ok().flatten();
            let is_named = manifest.is_some_and(|loaded| {
                let mut segments = loaded.manifest.segments.iter().filter(|known| known.id == segment);
                segments.any(|known| known.all_files().any(|known| known == file))
            });
            let is_it = |(hash, _): ([u8; 32], u64)| hash == *file.content_id.as_bytes();
            if !is_named && !hash_file(&path).is_ok_and(is_it) {
                continue;
            }
            match link(&path, workshop, segment, file) {
                Ok(()) => return Ok(true),
                // It was merged away meanwhile.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether it is one that has still to get what it begins with.
    #[must_use]
    pub fn is_new(&self) -> bool {
        let (first, end) = self.view().slots();
        first == end
    }

    /// Whether it may have files in common with another shard.
    pub(super) fn has_relatives(&self) -> bool {
        self.is_new() || self.view().lineage.is_some()
    }

    /// The folders of the other track shards of the directory.
    pub(super) fn siblings(&self) -> Vec<PathBuf> {
        let Some(root) = self.folder().parent() else { return Vec::new() };
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let others = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
        let mut folders: Vec<PathBuf> =
            others.map(|entry| entry.path()).filter(|path| path != self.folder()).collect();
        folders.sort_unstable();
        folders
    }
}

/// The set of a segment of vectors.
fn set_of(sets: &[VectorSetSpec], entry: &SegmentEntry) -> Option<VectorSetSpec> {
    let is_it =
        |set: &&VectorSetSpec| set.space.as_str() == entry.space && set.generation.0 == entry.generation;
    (entry.kind == SegmentKind::Vectors).then(|| sets.iter().find(is_it).cloned()).flatten()
}

/// Links a file into a workshop.
fn link(source: &std::path::Path, workshop: &Workshop, segment: u64, file: &FileEntry) -> Result<()> {
    let folder = segment_folder(workshop.folder(), segment);
    create_folder(&folder).map_err(damaged)?;
    let target = folder.join(&file.name);
    match fs::hard_link(source, &target) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(|error| Error::io("link a file of another shard", source, error)),
    }
}
