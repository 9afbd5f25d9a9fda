//! The one place that changes a track shard's state: log entries, in order, the same way on every replica.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::command::{LoadMark, NewSegment, SegmentOrigin, TrackCommand, TrackReply, VectorSetSpec};
use super::row::{TrackHot, TrackRow};
use super::segment::{TrackBody, TrackSegment};
use super::vectors::{GrowingVectors, NOWHERE, VectorBody, VectorSegment, VectorSet};
use super::view::TrackView;
use crate::error::{Error, Result};
use crate::types::{GenerationId, SpaceName, Track, TrackId, key_of};

/// A finished segment opened from its files.
#[derive(Clone)]
pub enum OpenedSegment {
    /// Of tracks.
    Tracks(Arc<super::segment::SealedTracks>),
    /// Of vectors.
    Vectors(Arc<super::vectors::SealedVectors>),
}

/// Hands the applier the opened files of a segment.
pub type OpenSegment<'a> = dyn Fn(&NewSegment) -> Result<OpenedSegment> + 'a;

impl TrackView {
    /// Applies one command. `open` opens the files of new segments, which are in `folder` then.
    ///
    /// # Errors
    /// Only what is not a function of the log: files that cannot be read. A caller's mistake is a reply.
    pub(super) fn apply(
        &mut self,
        command: TrackCommand,
        open: &OpenSegment<'_>,
        folder: &Path,
    ) -> Result<TrackReply> {
        if self.is_moved(&command) {
            return Ok(TrackReply::Moved);
        }
        match command {
            TrackCommand::UpsertTracks { tracks, load } => self.upsert_tracks(tracks, load),
            TrackCommand::DeleteTracks { ids } => self.delete_tracks(&ids),
            TrackCommand::UpsertVectors { set, ids, rows } => Ok(self.upsert_vectors(&set, &ids, &rows)),
            TrackCommand::DeleteVectors { space, generation, ids } => {
                Ok(self.delete_vectors(&space, generation, &ids))
            }
            TrackCommand::DropGeneration { generation } => {
                let before = self.sets.len();
                self.sets.retain(|(_, of), _| *of != generation || generation == GenerationId::STATIC);
                Ok(TrackReply::Done((before - self.sets.len()) as u64))
            }
            TrackCommand::Seal => Ok(self.freeze()),
            TrackCommand::ReserveSegments { count } => {
                let first = self.next_segment;
                self.next_segment += u64::from(count);
                Ok(TrackReply::Done(first))
            }
            TrackCommand::AddSegments { segments, origin, load } => {
                self.add_segments(&segments, &origin, load, open)
            }
            TrackCommand::MarkLoad { load } => {
                self.mark_load(Some(load));
                Ok(TrackReply::Done(0))
            }
            TrackCommand::Split(step) => self.split_step(*step, open, folder),
        }
    }

    fn upsert_tracks(&mut self, tracks: Vec<Track>, load: Option<LoadMark>) -> Result<TrackReply> {
        let count = tracks.len() as u64;
        let mut changed = Vec::with_capacity(tracks.len());
        for track in tracks {
            let ordinal = match self.ordinal_of(track.track_id.as_str()) {
                Some(ordinal) => ordinal,
                None => {
                    let ordinal = self.ordinals();
                    self.ids.insert(track.track_id.as_str(), ordinal);
                    ordinal
                }
            };
            let recording = self.recording_number(&track);
            self.put_track(TrackRow::new(ordinal, recording, false, track));
            changed.push(ordinal);
        }
        self.catalogue_changed(&changed);
        self.mark_load(load);
        Ok(TrackReply::Done(count))
    }

    fn delete_tracks(&mut self, ids: &[TrackId]) -> Result<TrackReply> {
        let mut changed = Vec::new();
        for id in ids {
            let Some(ordinal) = self.find(id) else { continue };
            let row = self.row(ordinal)?;
            self.put_track(TrackRow { deleted: true, ..TrackRow::clone(&row) });
            for set in self.sets.values_mut().filter(|set| set.has(ordinal)) {
                set.relocate(ordinal, NOWHERE);
            }
            changed.push(ordinal);
        }
        self.catalogue_changed(&changed);
        Ok(TrackReply::Done(changed.len() as u64))
    }

    fn catalogue_changed(&mut self, ordinals: &[u32]) {
        if !ordinals.is_empty() {
            self.epoch += 1;
            self.changes.note(self.epoch, ordinals);
        }
    }

    fn mark_load(&mut self, load: Option<LoadMark>) {
        if let Some(load) = load {
            Arc::make_mut(&mut self.loads).insert(load.load_id.clone(), load);
        }
    }

    /// The number of a track's recording, a new one if it is the recording's first track.
    fn recording_number(&mut self, track: &Track) -> u32 {
        let name = track.recording_id.as_str();
        let is = |number: u32| {
            let head = self.recordings.get(number as usize).copied().unwrap_or(u32::MAX);
            self.row(head).is_ok_and(|row| row.track.recording_id.as_str() == name)
        };
        self.recording_ids.find(name, is).unwrap_or_else(|| {
            let number = u32::try_from(self.recordings.len()).expect("fewer recordings than ordinals");
            self.recording_ids.insert(name, number);
            self.recordings.push(u32::MAX);
            if self.has_siblings() {
                self.recording_keys.set(number as usize, key_of(name), &0);
            }
            number
        })
    }

    /// Appends a row and makes it its ordinal's newest.
    fn put_track(&mut self, row: TrackRow) {
        let (ordinal, recording) = (row.ordinal, row.recording);
        let old = self.hot(ordinal);
        self.bury(ordinal, &old);
        let segment = self.growing_tracks();
        let id = segment.id;
        let offset = u32::try_from(segment.rows()).expect("a growing segment is sealed long before 2³² rows");
        let mut hot = row.hot(id, offset);
        if let TrackBody::Memory(rows) = &mut segment.body {
            rows.push(Arc::new(row));
        }
        if old.recording == recording {
            hot.sibling = old.sibling;
        }
        self.live = self.live + u64::from(hot.live) - u64::from(old.live);
        self.hot.set(ordinal as usize, hot, &TrackHot::ABSENT);
        if old.recording != recording {
            self.unlink(ordinal, &old);
            self.link(ordinal, recording);
        }
    }

    /// Marks an ordinal's old row dead.
    pub(super) fn bury(&mut self, ordinal: u32, old: &TrackHot) {
        let Ok(at) = self.segments.binary_search_by_key(&old.segment, |segment| segment.id) else { return };
        let segment = &mut self.segments[at];
        Arc::make_mut(&mut segment.dead).insert(old.offset);
        if !segment.growing {
            Arc::make_mut(&mut segment.moved).insert(ordinal);
        }
    }

    fn growing_tracks(&mut self) -> &mut TrackSegment {
        let at = match self.segments.iter().position(|segment| segment.growing) {
            Some(at) => at,
            None => {
                let id = self.take_segment_id();
                self.segments.push(TrackSegment::growing(id));
                self.segments.len() - 1
            }
        };
        &mut self.segments[at]
    }

    fn take_segment_id(&mut self) -> u32 {
        let id = u32::try_from(self.next_segment).expect("a shard makes fewer than 2³² segments");
        self.next_segment += 1;
        id
    }

    /// Puts `ordinal` into the ring of its recording.
    pub(super) fn link(&mut self, ordinal: u32, recording: u32) {
        let head = self.recordings.get(recording as usize).copied().unwrap_or(u32::MAX);
        let mut hot = self.hot(ordinal);
        if head == u32::MAX {
            hot.sibling = ordinal;
            self.recordings.set(recording as usize, ordinal, &u32::MAX);
        } else {
            let mut first = self.hot(head);
            hot.sibling = first.sibling;
            first.sibling = ordinal;
            self.hot.set(head as usize, first, &TrackHot::ABSENT);
        }
        self.hot.set(ordinal as usize, hot, &TrackHot::ABSENT);
    }

    /// Takes `ordinal` out of the ring it was in.
    pub(super) fn unlink(&mut self, ordinal: u32, old: &TrackHot) {
        if old.recording == u32::MAX {
            return;
        }
        let mut before = old.sibling;
        while self.hot(before).sibling != ordinal && before != ordinal {
            before = self.hot(before).sibling;
        }
        if before == ordinal {
            self.recordings.set(old.recording as usize, u32::MAX, &u32::MAX);
            return;
        }
        let mut previous = self.hot(before);
        previous.sibling = old.sibling;
        self.hot.set(before as usize, previous, &TrackHot::ABSENT);
        if self.recordings.get(old.recording as usize) == Some(&ordinal) {
            self.recordings.set(old.recording as usize, before, &u32::MAX);
        }
    }

    fn upsert_vectors(&mut self, spec: &VectorSetSpec, ids: &[TrackId], rows: &[f32]) -> TrackReply {
        let mut ordinals = Vec::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            match self.find(id) {
                Some(ordinal) => ordinals.push(ordinal),
                None => return TrackReply::UnknownTrack { row: row as u64 },
            }
        }
        let dim = spec.dim as usize;
        if let Some(reply) = self.wrong_dim(spec) {
            return reply;
        }
        assert_eq!(rows.len(), ids.len() * dim, "the write path sends whole rows");
        let new_id = self.next_segment;
        let set = self.set_mut(spec);
        if ids.is_empty() {
            // Says only of what dimension the set is.
            return TrackReply::Done(0);
        }
        let mut used_id = false;
        let at = set.segments.iter().position(|segment| segment.growing).unwrap_or_else(|| {
            used_id = true;
            set.segments.push(VectorSegment {
                id: u32::try_from(new_id).expect("a shard makes fewer than 2³² segments"),
                growing: true,
                body: VectorBody::Memory(GrowingVectors::new(dim)),
                dead: Arc::default(),
            });
            set.segments.len() - 1
        });
        let id = set.segments[at].id;
        for (ordinal, row) in ordinals.iter().zip(rows.chunks_exact(dim)) {
            if let VectorBody::Memory(growing) = &mut set.segments[at].body {
                let offset = growing.push(*ordinal, row);
                set.relocate(*ordinal, (id, offset));
            }
        }
        if used_id {
            self.next_segment += 1;
        }
        TrackReply::Done(ids.len() as u64)
    }

    fn wrong_dim(&self, spec: &VectorSetSpec) -> Option<TrackReply> {
        let known = self.set(&spec.space, spec.generation)?;
        (known.spec.dim != spec.dim).then_some(TrackReply::WrongDim { expected: known.spec.dim })
    }

    fn set_mut(&mut self, spec: &VectorSetSpec) -> &mut VectorSet {
        self.sets.entry((spec.space.clone(), spec.generation)).or_insert_with(|| VectorSet::new(spec.clone()))
    }

    fn delete_vectors(&mut self, space: &SpaceName, generation: GenerationId, ids: &[TrackId]) -> TrackReply {
        let ordinals: Vec<u32> = ids.iter().filter_map(|id| self.ordinal_of(id.as_str())).collect();
        let Some(set) = self.sets.get_mut(&(space.clone(), generation)) else { return TrackReply::Done(0) };
        let mut count = 0;
        for ordinal in ordinals {
            if set.has(ordinal) {
                set.relocate(ordinal, NOWHERE);
                count += 1;
            }
        }
        TrackReply::Done(count)
    }

    /// Ends every growing segment. What is frozen stays searchable in memory until its files take its place.
    fn freeze(&mut self) -> TrackReply {
        let mut frozen = 0;
        for segment in self.segments.iter_mut().filter(|segment| segment.growing) {
            segment.growing = false;
            frozen += 1;
        }
        for segment in
            self.sets.values_mut().flat_map(|set| &mut set.segments).filter(|segment| segment.growing)
        {
            segment.growing = false;
            frozen += 1;
        }
        TrackReply::Done(frozen)
    }

    fn add_segments(
        &mut self,
        segments: &[NewSegment],
        origin: &SegmentOrigin,
        load: Option<LoadMark>,
        open: &OpenSegment<'_>,
    ) -> Result<TrackReply> {
        for new in segments {
            if let Some(reply) = new.set.as_ref().and_then(|spec| self.wrong_dim(spec)) {
                return Ok(reply);
            }
        }
        for new in segments {
            let fits = match origin {
                SegmentOrigin::Sealed(_) => self.swap_sealed(new, open)?,
                SegmentOrigin::Merged(inputs) => self.swap_merged(new, inputs, open)?,
                SegmentOrigin::Loaded => match self.add_loaded(new, open)? {
                    Added::No => false,
                    Added::Moved => return Ok(TrackReply::Moved),
                    Added::Yes => true,
                },
            };
            if !fits {
                return Ok(TrackReply::Stale);
            }
        }
        self.mark_load(load);
        Ok(TrackReply::Done(segments.len() as u64))
    }

    /// A frozen segment's rows move from memory to files; offsets stay. Files that are gone or damaged (a replay long
    /// after) change nothing: the rows are in memory still, and maintenance writes them again.
    fn swap_sealed(&mut self, new: &NewSegment, open: &OpenSegment<'_>) -> Result<bool> {
        let is = |id: u32| u64::from(id) == new.entry.id;
        match &new.set {
            None => {
                let Some(segment) = self.segments.iter_mut().find(|segment| is(segment.id)) else {
                    return Ok(false);
                };
                if matches!(segment.body, TrackBody::Memory(_)) {
                    let Ok(OpenedSegment::Tracks(sealed)) = open(new) else { return Ok(false) };
                    segment.body = TrackBody::Sealed(sealed);
                }
            }
            Some(spec) => {
                let set = self.sets.get_mut(&(spec.space.clone(), spec.generation));
                let segment = set.and_then(|set| set.segments.iter_mut().find(|segment| is(segment.id)));
                let Some(segment) = segment else { return Ok(false) };
                if matches!(segment.body, VectorBody::Memory(_)) {
                    let Ok(OpenedSegment::Vectors(sealed)) = open(new) else { return Ok(false) };
                    segment.body = VectorBody::Sealed(sealed);
                }
            }
        }
        Ok(true)
    }

    /// One segment takes the place of several. Rows that were replaced while it was built are dead in it. If its files
    /// cannot be opened (a replay long after), the inputs simply stay.
    fn swap_merged(&mut self, new: &NewSegment, inputs: &[u64], open: &OpenSegment<'_>) -> Result<bool> {
        let inputs: BTreeSet<u32> = inputs.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        let id = u32::try_from(new.entry.id).map_err(|_| Error::Corrupt("segment id".to_owned()))?;
        let Ok(opened) = open(new) else { return Ok(false) };
        match (&new.set, opened) {
            (None, OpenedSegment::Tracks(sealed)) => {
                if !inputs.iter().all(|input| self.segments.iter().any(|segment| segment.id == *input)) {
                    return Ok(false);
                }
                let mut out = TrackSegment { growing: false, ..TrackSegment::growing(id) };
                for (offset, &ordinal) in (0..).zip(sealed.ordinals()?) {
                    let mut hot = self.hot(ordinal);
                    if inputs.contains(&hot.segment) {
                        (hot.segment, hot.offset) = (id, offset);
                        self.hot.set(ordinal as usize, hot, &TrackHot::ABSENT);
                    } else {
                        Arc::make_mut(&mut out.dead).insert(offset);
                        Arc::make_mut(&mut out.moved).insert(ordinal);
                    }
                }
                out.body = TrackBody::Sealed(sealed);
                self.segments.retain(|segment| !inputs.contains(&segment.id));
                self.insert_track_segment(out);
            }
            (Some(spec), OpenedSegment::Vectors(sealed)) => {
                let Some(set) = self.sets.get_mut(&(spec.space.clone(), spec.generation)) else {
                    return Ok(false);
                };
                if !inputs.iter().all(|input| set.segments.iter().any(|segment| segment.id == *input)) {
                    return Ok(false);
                }
                set.replace_merged(id, sealed, &inputs)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn insert_track_segment(&mut self, segment: TrackSegment) {
        let at = self.segments.partition_point(|known| known.id < segment.id);
        self.segments.insert(at, segment);
    }

    /// Rows of a bulk load take the place of older vectors of the same tracks.
    fn add_loaded(&mut self, new: &NewSegment, open: &OpenSegment<'_>) -> Result<Added> {
        let (Some(spec), OpenedSegment::Vectors(sealed)) = (&new.set, open(new)?) else {
            return Ok(Added::No);
        };
        let id = u32::try_from(new.entry.id).map_err(|_| Error::Corrupt("segment id".to_owned()))?;
        if self.set(&spec.space, spec.generation).is_some_and(|set| set.segment(id).is_some()) {
            return Ok(Added::Yes);
        }
        if sealed.ordinals()?.iter().any(|&ordinal| self.is_elsewhere(ordinal)) {
            return Ok(Added::Moved);
        }
        let owners: Vec<(u32, bool)> =
            sealed.ordinals()?.iter().map(|&ordinal| (ordinal, self.hot(ordinal).live)).collect();
        let set = self.set_mut(spec);
        set.segments.push(VectorSegment {
            id,
            growing: false,
            body: VectorBody::Sealed(sealed),
            dead: Arc::default(),
        });
        for (offset, (ordinal, live)) in (0_u32..).zip(owners) {
            if live {
                set.relocate(ordinal, (id, offset));
            } else if let Some(segment) = set.segments.last_mut() {
                Arc::make_mut(&mut segment.dead).insert(offset);
            }
        }
        Ok(Added::Yes)
    }
}

/// What became of a loaded segment.
enum Added {
    Yes,
    /// It is of no set.
    No,
    /// It has rows of tracks that have gone to another shard.
    Moved,
}
