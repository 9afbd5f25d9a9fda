//! Checkpoints: the state at a `Seal` entry as files and one manifest, so that the log before it can go.

use std::path::Path;
use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};
use roaring::RoaringBitmap;
use segue_storage_format::{
    FileEntry, Manifest, SegmentEntry,
    manifest::{SHARD_FORMAT, publish, segment_folder, unreferenced},
    write_blob, write_tombstones,
};

use super::command::{LoadMark, VectorSetSpec};
use super::segment::TrackBody;
use super::shard::TrackShard;
use super::vectors::VectorBody;
use super::view::TrackView;
use crate::error::{Error, Result};
use crate::storage::error::damaged;
use crate::types::SLOTS;

/// Schema of the blob with the small parts of the state.
pub(super) const STATE_SCHEMA: u32 = 1;

/// The small parts of a shard's state, kept as one blob beside the manifest.
#[derive(Debug, Default, Archive, Serialize, Deserialize)]
pub(super) struct SmallState {
    pub loads: Vec<LoadMark>,
    pub sets: Vec<VectorSetSpec>,
    pub epoch: u64,
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
        let now = self.view();
        let index = capture.applied_index;
        let mut segments = Vec::new();
        for segment in &capture.segments {
            let entry =
                now.segments.iter().find(|known| known.id == segment.id).and_then(|known| {
                    match &known.body {
                        TrackBody::Sealed(sealed) => Some(sealed.entry.clone()),
                        TrackBody::Memory(_) => None,
                    }
                });
            segments.push(self.with_tombstones(entry.ok_or_else(not_sealed)?, &segment.dead, index)?);
        }
        for (key, set) in &capture.sets {
            let now = now.sets.get(key);
            for segment in &set.segments {
                let entry = now.and_then(|set| set.segment(segment.id)).and_then(|known| match &known.body {
                    VectorBody::Sealed(sealed) => Some(sealed.entry.clone()),
                    VectorBody::Memory(_) => None,
                });
                let Some(entry) = entry else {
                    if now.is_none() {
                        continue; // The generation was dropped meanwhile; the log says so again after a restart.
                    }
                    return Err(not_sealed());
                };
                segments.push(self.with_tombstones(entry, &segment.dead, index)?);
            }
        }
        segments.sort_by_key(|segment| segment.id);
        let state = self.write_small_state(capture)?;
        let manifest = Manifest {
            format: SHARD_FORMAT,
            shard: shard_name(self.shard),
            slots: (0, SLOTS),
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
            let name = format!("tombstones-{index:016x}.seg");
            Some(write_tombstones(&folder, &name, dead, index).map_err(damaged)?)
        };
        Ok(SegmentEntry { tombstones, ..entry })
    }

    fn write_small_state(&self, capture: &TrackView) -> Result<FileEntry> {
        let state = SmallState {
            loads: capture.loads.values().cloned().collect(),
            sets: capture.sets.values().map(|set| VectorSetSpec::clone(&set.spec)).collect(),
            epoch: capture.epoch,
        };
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&state)
            .map_err(|error| Error::Internal(format!("the shard's state cannot be written: {error}")))?;
        let name = format!("state-{:016x}.seg", capture.applied_index);
        write_blob(&self.folder, &name, STATE_SCHEMA, &bytes).map_err(damaged)
    }

    /// Removes files that neither a kept manifest nor the current state nor a staged segment refers to; returns bytes
    /// freed. Must not run beside a build or a checkpoint of the same shard.
    pub fn remove_garbage(&self) -> Result<u64> {
        let view = self.view();
        let mut keep = self.staged_ids();
        keep.extend(view.segments.iter().map(|segment| u64::from(segment.id)));
        keep.extend(view.sets.values().flat_map(|set| &set.segments).map(|segment| u64::from(segment.id)));
        let garbage = unreferenced(&self.folder, &keep).map_err(damaged)?;
        for file in &garbage.files {
            remove(file, std::fs::remove_file(file))?;
        }
        for folder in &garbage.folders {
            remove(folder, std::fs::remove_dir(folder))?;
        }
        Ok(garbage.bytes)
    }
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
