//! Checkpoints: the state at a `Seal` entry as files and one manifest, so that the log before it can go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rkyv::{Archive, Deserialize, Serialize};
use roaring::RoaringBitmap;
use segue_storage_format::{
    FileEntry, Manifest, SegmentEntry,
    manifest::{SHARD_FORMAT, publish, segment_folder, unreferenced},
    write_blob, write_tombstones,
};

use super::command::{LoadMark, VectorSetSpec};
use super::lineage::Lineage;
use super::shard::TrackShard;
use super::view::TrackView;
use crate::error::{Error, Result};
use crate::storage::error::damaged;

/// Schema of the blob with the small parts of the state: 1 without, 2 with a lineage.
pub(super) const STATE_SCHEMA: u32 = 2;
pub(super) const FIRST_SCHEMA: u32 = 1;

/// The small parts of a shard's state, kept as one blob beside the manifest.
#[derive(Debug, Default, Archive, Serialize, Deserialize)]
pub(super) struct SmallState {
    pub loads: Vec<LoadMark>,
    pub sets: Vec<VectorSetSpec>,
    pub epoch: u64,
    pub lineage: Option<Lineage>,
}

/// The same of a shard that was never split, as all were before that could be.
#[derive(Debug, Default, Archive, Serialize, Deserialize)]
pub(super) struct FirstSmallState {
    pub loads: Vec<LoadMark>,
    pub sets: Vec<VectorSetSpec>,
    pub epoch: u64,
}

impl SmallState {
    /// Reads a blob of one of the schemas.
    pub(super) fn read(schema: u32, payload: &[u8]) -> std::result::Result<Self, rkyv::rancor::Error> {
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(payload.len());
        aligned.extend_from_slice(payload);
        if schema > FIRST_SCHEMA {
            return rkyv::from_bytes::<Self, rkyv::rancor::Error>(&aligned);
        }
        let first = rkyv::from_bytes::<FirstSmallState, rkyv::rancor::Error>(&aligned)?;
        let FirstSmallState { loads, sets, epoch } = first;
        Ok(Self { loads, sets, epoch, lineage: None })
    }

    /// The schema and bytes of the blob.
    fn write(self) -> std::result::Result<(u32, rkyv::util::AlignedVec), rkyv::rancor::Error> {
        if self.lineage.is_some() {
            return rkyv::to_bytes::<rkyv::rancor::Error>(&self).map(|bytes| (STATE_SCHEMA, bytes));
        }
        let Self { loads, sets, epoch, .. } = self;
        let first = FirstSmallState { loads, sets, epoch };
        rkyv::to_bytes::<rkyv::rancor::Error>(&first).map(|bytes| (FIRST_SCHEMA, bytes))
    }
}

/// The shard's name in its manifest.
pub(super) fn shard_name(shard: crate::types::ShardId) -> String {
    format!("tracks-{shard}")
}

impl TrackShard {
    /// Publishes `capture` (the state at a `Seal` entry) once all its segments are in files; afterwards the log up to it
    /// may be dropped, and files nothing refers to are removed.
    ///
    /// # Errors
    /// `Unavailable` while a frozen segment has no files yet; disk errors.
    pub fn publish_checkpoint(&self, capture: &Arc<TrackView>) -> Result<()> {
        self.sound()?;
        let _publishing = self.publishing.lock();
        let now = self.view();
        let index = capture.applied_index;
        if index <= self.durable_index() {
            return Ok(()); // A newer state was taken over from another replica meanwhile.
        }
        let mut segments = Vec::new();
        for segment in &capture.segments {
            let sealed_now = || now.segments.iter().find(|known| known.id == segment.id);
            // What was in files then may have been merged away since; its own files are still the truth of then.
            let entry = segment.files().or_else(|| sealed_now().and_then(|known| known.files()));
            let entry = entry.ok_or_else(not_sealed)?.clone();
            segments.push(self.with_tombstones(entry, &segment.dead, index)?);
        }
        for (key, set) in &capture.sets {
            let now = now.sets.get(key);
            for segment in &set.segments {
                let Some(now) = now else {
                    continue; // The generation was dropped meanwhile; the log says so again after a restart.
                };
                let entry =
                    segment.files().or_else(|| now.segment(segment.id).and_then(|known| known.files()));
                let entry = entry.ok_or_else(not_sealed)?.clone();
                segments.push(self.with_tombstones(entry, &segment.dead, index)?);
            }
        }
        segments.sort_by_key(|segment| segment.id);
        let state = self.write_small_state(capture)?;
        let manifest = Manifest {
            format: SHARD_FORMAT,
            shard: shard_name(self.shard),
            slots: capture.slots(),
            epoch: 1,
            applied_index: index,
            applied_term: capture.applied_term,
            conf_state: Vec::new(),
            next_segment: capture.next_segment,
            next_ordinal: capture.ordinals(),
            next_recording: u32::try_from(capture.recordings.len()).expect("fewer recordings than ordinals"),
            segments,
            files: vec![state],
        };
        publish(&self.folder, &manifest).map_err(damaged)?;
        self.checkpointed(capture);
        Ok(())
    }

    fn with_tombstones(&self, entry: SegmentEntry, dead: &RoaringBitmap, index: u64) -> Result<SegmentEntry> {
        let tombstones = if dead.is_empty() {
            None
        } else {
            let folder = segment_folder(&self.folder, entry.id);
            let name = format!("{TOMBSTONES}{index:016x}.seg");
            Some(write_tombstones(&folder, &name, dead, index).map_err(damaged)?)
        };
        Ok(SegmentEntry { tombstones, ..entry })
    }

    fn write_small_state(&self, capture: &TrackView) -> Result<FileEntry> {
        let state = SmallState {
            loads: capture.loads.values().cloned().collect(),
            sets: capture.sets.values().map(|set| VectorSetSpec::clone(&set.spec)).collect(),
            epoch: capture.epoch,
            lineage: capture.lineage.as_deref().cloned(),
        };
        let (schema, bytes) = state
            .write()
            .map_err(|error| Error::Internal(format!("the shard's state cannot be written: {error}")))?;
        let name = format!("state-{:016x}.seg", capture.applied_index);
        write_blob(&self.folder, &name, schema, &bytes).map_err(damaged)
    }

    /// Removes files that neither a kept manifest nor the current state nor a waiting checkpoint nor a staged segment nor a
    /// log entry after the last checkpoint refers to; returns bytes freed. Must not run beside a build or a checkpoint of the same shard.
    pub fn remove_garbage(&self) -> Result<u64> {
        self.forget_staged(Instant::now());
        let mut keep = self.staged_ids();
        keep.extend(self.recent_ids());
        let mut garbage = unreferenced(&self.folder, &keep).map_err(damaged)?;
        let live = self.live_folders();
        // Of live segments only bitmaps of deleted rows go, those that no kept manifest names.
        garbage
            .files
            .retain(|file| file.parent().is_none_or(|folder| !live.contains(folder)) || is_tombstones(file));
        garbage.folders.retain(|folder| !live.contains(folder));
        let mut bytes = 0;
        for file in &garbage.files {
            bytes += file.metadata().map_or(0, |metadata| metadata.len());
            remove(file, std::fs::remove_file(file))?;
        }
        for folder in &garbage.folders {
            remove(folder, std::fs::remove_dir(folder))?;
        }
        Ok(bytes)
    }

    /// Folders of the segments in the newest state and in a checkpoint that waits to be published.
    fn live_folders(&self) -> BTreeSet<PathBuf> {
        let views = self.pending_checkpoint().into_iter().chain([self.view()]);
        let mut live = BTreeSet::new();
        for view in views {
            let vectors = view.sets.values().flat_map(|set| &set.segments).map(|segment| segment.id);
            let ids = view.segments.iter().map(|segment| segment.id).chain(vectors);
            live.extend(ids.map(|id| segment_folder(&self.folder, u64::from(id))));
        }
        live
    }
}

/// What the name of a file of deleted rows starts with; the log index follows.
const TOMBSTONES: &str = "tombstones-";

fn is_tombstones(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TOMBSTONES))
}

fn remove(path: &Path, result: std::io::Result<()>) -> Result<()> {
    result.map_err(|source| Error::Io {
        action: "removing an unused file".into(),
        path: path.to_owned(),
        source,
    })
}

fn not_sealed() -> Error {
    Error::Unavailable("a frozen segment has no files yet".to_owned())
}
