//! Opening a shard's files: the state at the last checkpoint; the log's later entries follow.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use roaring::RoaringBitmap;
use segue_storage_format::{
    BlobFile, Manifest, SegmentEntry, SegmentKind, Tombstones, Verify,
    manifest::{load as load_manifest, segment_folder},
};

use super::checkpoint::{STATE_SCHEMA, SmallState, shard_name};
use super::command::VectorSetSpec;
use super::row::TrackHot;
use super::segment::{SealedTracks, TrackBody, TrackSegment};
use super::shard::Opening;
use super::vectors::{NOWHERE, SealedVectors, VectorBody, VectorSegment, VectorSet};
use super::view::{Changes, TrackView};
use crate::error::{Error, Result};
use crate::storage::error::{damaged, describe};
use crate::types::{ShardId, slot_of_key};

/// A segment of tracks with the rows that are dead in it.
pub(super) type OpenedTracks = (Arc<SealedTracks>, RoaringBitmap);
/// A segment of vectors with the rows that are dead in it.
pub(super) type OpenedVectors = (Arc<SealedVectors>, RoaringBitmap);

/// Loads the newest whole checkpoint; says what it had to fall back from.
pub(super) fn load(folder: &Path, shard: ShardId, opening: &Opening) -> Result<(TrackView, Vec<String>)> {
    let mut view = TrackView::empty(shard, opening.shards);
    let Some(loaded) = load_manifest(folder).map_err(damaged)? else { return Ok((view, Vec::new())) };
    let repairs = loaded
        .fell_back
        .iter()
        .map(|error| {
            format!("a damaged manifest was passed over, the one before it is used: {}", describe(error))
        })
        .collect();
    let manifest = loaded.manifest;
    if manifest.shard != shard_name(shard) {
        return Err(Error::Corrupt(format!(
            "the folder belongs to another shard. path=`{}`, shard=`{}`, expected=`{}`",
            folder.display(),
            manifest.shard,
            shard_name(shard)
        )));
    }
    view.applied_index = manifest.applied_index;
    view.applied_term = manifest.applied_term;
    view.next_segment = manifest.next_segment;
    view.take_small_state(load_small_state(folder, &manifest)?);
    if manifest.slots != view.slots() {
        return Err(Error::Corrupt(format!(
            "the folder is of a database with another number of track shards. path=`{}`, slots=`{:?}`, expected=`{:?}`",
            folder.display(),
            manifest.slots,
            view.slots()
        )));
    }
    let (tracks, vectors): (Vec<_>, Vec<_>) =
        manifest.segments.iter().partition(|entry| entry.kind == SegmentKind::Tracks);
    let vectors =
        vectors.into_iter().map(|entry| Ok((entry, view.spec_of(entry)?))).collect::<Result<Vec<_>>>()?;
    let open_tracks = |entry: &SegmentEntry| -> Result<OpenedTracks> {
        Ok((Arc::new(SealedTracks::open(folder, entry, opening)?), dead_rows(folder, entry)?))
    };
    // Reading codes is most of a start.
    let open_vectors = |(entry, spec): &(&SegmentEntry, Arc<VectorSetSpec>)| -> Result<OpenedVectors> {
        Ok((Arc::new(SealedVectors::open(folder, entry, spec, opening)?), dead_rows(folder, entry)?))
    };
    let numbers = (manifest.next_ordinal, manifest.next_recording);
    let (opened, taken) = rayon::join(
        || vectors.par_iter().map(open_vectors).collect::<Result<Vec<_>>>(),
        || view.take_tracks(tracks.into_iter().map(open_tracks), numbers),
    );
    taken?;
    opened?.into_iter().try_for_each(|vectors| view.add_vectors(vectors))?;
    view.changes = Changes::starting_after(view.epoch);
    Ok((view, repairs))
}

pub(super) fn load_small_state(folder: &Path, manifest: &Manifest) -> Result<SmallState> {
    let Some(file) = manifest.files.iter().find(|file| file.name.starts_with("state-")) else {
        return Err(Error::Corrupt(format!("the manifest names no state file. path=`{}`", folder.display())));
    };
    let blob = BlobFile::open(&folder.join(&file.name), Verify::Full).map_err(damaged)?;
    let payload = blob.payload_up_to(STATE_SCHEMA).map_err(damaged)?;
    SmallState::read(blob.schema(), payload).map_err(|error| {
        Error::Corrupt(format!("the state file cannot be read. file=`{}`: {error}", file.name))
    })
}

/// The rows that are dead in a segment, by its file of them.
pub(super) fn dead_rows(folder: &Path, entry: &SegmentEntry) -> Result<RoaringBitmap> {
    let Some(file) = &entry.tombstones else { return Ok(RoaringBitmap::new()) };
    let path = segment_folder(folder, entry.id).join(&file.name);
    Ok(Tombstones::open(&path).map_err(damaged)?.deleted)
}

fn segment_number(entry: &SegmentEntry) -> Result<u32> {
    u32::try_from(entry.id)
        .map_err(|_| Error::Corrupt(format!("segment number out of range. segment=`{}`", entry.id)))
}

fn is_of(set: &VectorSet, entry: &SegmentEntry) -> bool {
    set.spec.space.as_str() == entry.space && set.spec.generation.0 == entry.generation
}

fn of_no_set(entry: &SegmentEntry) -> Error {
    Error::Corrupt(format!(
        "a vector segment belongs to no known set. segment=`{}`, space=`{}`, generation=`{}`",
        entry.id, entry.space, entry.generation
    ))
}

impl TrackView {
    /// Takes over what is kept beside the segments.
    pub(super) fn take_small_state(&mut self, state: SmallState) {
        self.epoch = state.epoch;
        self.loads = Arc::new(state.loads.into_iter().map(|load| (load.load_id.clone(), load)).collect());
        for spec in state.sets {
            self.sets.insert((spec.space.clone(), spec.generation), VectorSet::new(spec));
        }
        self.lineage = state.lineage.map(Arc::new);
    }

    /// Takes over segments of tracks, whose numbers of tracks and recordings are below these. Rows of tracks in other shards are dead.
    pub(super) fn take_tracks(
        &mut self,
        opened: impl Iterator<Item = Result<OpenedTracks>>,
        (next_ordinal, next_recording): (u32, u32),
    ) -> Result<()> {
        for _ in 0..next_ordinal {
            self.hot.push(TrackHot::ABSENT);
        }
        for _ in 0..next_recording {
            self.recordings.push(u32::MAX);
        }
        self.ids.reserve(next_ordinal as usize);
        self.recording_ids.reserve(next_recording as usize);
        let mut keys = vec![(0_u64, 0_u64); next_ordinal as usize];
        for segment in opened {
            self.add_tracks(segment?, &mut keys)?;
        }
        self.segments.sort_by_key(|segment| segment.id);
        self.find_moved()?;
        self.number_names(&keys)
    }

    /// Takes over an opened segment of tracks; `keys` are those of the tracks and recordings by ordinal.
    fn add_tracks(&mut self, (sealed, mut dead): OpenedTracks, keys: &mut [(u64, u64)]) -> Result<()> {
        let recordings = self.recordings.len();
        let (mut fault, mut elsewhere) = (None, Vec::new());
        sealed.for_each_hot(|offset, ordinal, track_key, recording_key, hot| {
            if dead.contains(offset) {
                return;
            }
            if self.lineage.is_some() && !self.owns(slot_of_key(track_key)) {
                elsewhere.push(offset);
                return;
            }
            match keys.get_mut(ordinal as usize) {
                Some(slot) if (hot.recording as usize) < recordings => *slot = (track_key, recording_key),
                _ => return fault = Some(ordinal),
            }
            self.hot.set(ordinal as usize, hot, &TrackHot::ABSENT);
        })?;
        if let Some(ordinal) = fault {
            return Err(Error::Corrupt(format!(
                "a row has a number the manifest never gave. segment=`{}`, ordinal=`{ordinal}`",
                sealed.entry.id
            )));
        }
        dead.extend(elsewhere);
        self.segments.push(TrackSegment {
            id: segment_number(&sealed.entry)?,
            growing: false,
            body: TrackBody::Sealed(sealed),
            dead: Arc::new(dead),
            moved: Arc::default(),
        });
        Ok(())
    }

    /// Which ordinals' newest rows lie in a later segment than an older row of theirs.
    fn find_moved(&mut self) -> Result<()> {
        for at in 0..self.segments.len() {
            let segment = &self.segments[at];
            let TrackBody::Sealed(sealed) = &segment.body else { continue };
            let ordinals = sealed.ordinals()?;
            let moved: RoaringBitmap = segment
                .dead
                .iter()
                .filter_map(|offset| ordinals.get(offset as usize).copied())
                .filter(|&ordinal| self.hot(ordinal).segment != segment.id)
                .collect();
            self.segments[at].moved = Arc::new(moved);
        }
        Ok(())
    }

    /// Rebuilds names → numbers and the rings of recordings from the keys of the rows.
    fn number_names(&mut self, keys: &[(u64, u64)]) -> Result<()> {
        for ordinal in 0..self.ordinals() {
            let hot = self.hot(ordinal);
            if hot.segment == u32::MAX {
                if self.is_elsewhere(ordinal) {
                    continue;
                }
                return Err(Error::Corrupt(format!("an ordinal has no row. ordinal=`{ordinal}`")));
            }
            self.live += u64::from(hot.live);
            let (track_key, recording_key) = keys[ordinal as usize];
            let ids = Arc::clone(&self.ids);
            ids.insert_key(track_key, ordinal, || {
                self.row(ordinal).map(|row| row.track.track_id.as_str().to_owned())
            })?;
            let new_recording = self.recordings.get(hot.recording as usize) == Some(&u32::MAX);
            if new_recording && self.has_siblings() {
                self.recording_keys.set(hot.recording as usize, recording_key, &0);
            }
            if new_recording {
                let ids = Arc::clone(&self.recording_ids);
                ids.insert_key(recording_key, hot.recording, || {
                    self.row(ordinal).map(|row| row.track.recording_id.as_str().to_owned())
                })?;
            }
            self.link(ordinal, hot.recording);
        }
        Ok(())
    }

    /// What the set of a vector segment is.
    fn spec_of(&self, entry: &SegmentEntry) -> Result<Arc<VectorSetSpec>> {
        let known = self.sets.values().find(|set| is_of(set, entry));
        known.map(|set| Arc::clone(&set.spec)).ok_or_else(|| of_no_set(entry))
    }

    /// Takes over an opened vector segment.
    /// Those of tracks in other shards are dead: tracks come first.
    pub(super) fn add_vectors(&mut self, (sealed, mut dead): OpenedVectors) -> Result<()> {
        let (entry, id) = (&sealed.entry, segment_number(&sealed.entry)?);
        if self.lineage.is_some() {
            let rows = (0_u32..).zip(sealed.ordinals()?);
            dead.extend(rows.filter(|(_, ordinal)| self.is_elsewhere(**ordinal)).map(|(offset, _)| offset));
        }
        let known = self.sets.values_mut().find(|set| is_of(set, entry));
        let set = known.ok_or_else(|| of_no_set(entry))?;
        let ordinals = self.hot.len();
        for (offset, &ordinal) in (0_u32..).zip(sealed.ordinals()?) {
            if dead.contains(offset) {
                continue;
            }
            if ordinal as usize >= ordinals {
                return Err(Error::Corrupt(format!(
                    "a vector belongs to an ordinal the manifest never gave. segment=`{id}`, ordinal=`{ordinal}`"
                )));
            }
            set.locations.set(ordinal as usize, (id, offset), &NOWHERE);
            set.live += 1;
        }
        let body = VectorBody::Sealed(sealed);
        set.segments.push(VectorSegment { id, growing: false, body, dead: Arc::new(dead.into()) });
        set.segments.sort_by_key(|segment| segment.id);
        Ok(())
    }
}
