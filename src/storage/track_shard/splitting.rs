//! The steps of a split in the states of both shards: the parent freezes its upper slots, the child begins with the parent's
//! files, the parent gives the slots up. The whole way: `docs/adr/0024`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rkyv::{Archive, Deserialize, Serialize};

use super::apply::{OpenSegment, OpenedSegment};
use super::checkpoint::SmallState;
use super::command::{LoadMark, NewSegment, SegmentOrigin, TrackCommand, TrackReply, VectorSetSpec};
use super::lineage::{Lineage, Parting};
use super::recover;
use super::row::TrackHot;
use super::segment::TrackBody;
use super::shard::TrackShard;
use super::vectors::NOWHERE;
use super::view::{Changes, TrackView};
use crate::error::Result;
use crate::types::{SlotRange, TrackId, slot_of, slot_of_key};

/// A step of a split, in the log of one of the two shards.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum TrackSplitOp {
    /// From here on the slots from one on take no writes, and nothing is loaded.
    Freeze {
        /// The new shard.
        child: u16,
        /// Its first slot.
        at: u16,
    },
    /// The shard is a new one, and begins with files of another.
    Inherit(Inheritance),
    /// The new shard has everything: from here on its slots are no more those of this one.
    Release {
        /// The new shard.
        child: u16,
    },
}

impl From<TrackSplitOp> for TrackCommand {
    fn from(step: TrackSplitOp) -> Self {
        Self::Split(Box::new(step))
    }
}

/// What a new shard begins with: its parent's checkpoint, of which it takes the rows of its slots.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Inheritance {
    /// Its slots and whose numbers it has.
    pub lineage: Lineage,
    /// One past the last ordinal that the parent had given.
    pub next_ordinal: u32,
    /// The same of numbers of recordings.
    pub next_recording: u32,
    /// The same of segments.
    pub next_segment: u64,
    /// The parent's version of the catalogue.
    pub epoch: u64,
    /// Loads the parent knew of.
    pub loads: Vec<LoadMark>,
    /// Its vector sets.
    pub sets: Vec<VectorSetSpec>,
    /// Its segments with their files of deleted rows, in order of number.
    pub segments: Vec<NewSegment>,
}

impl TrackShard {
    /// Keeps the version before slots are given away.
    pub(super) fn keep_former(&self, former: Option<Arc<TrackView>>) {
        if let Some(former) = former {
            *self.former.lock() = Some((Instant::now(), former));
        }
    }

    /// A version that owns a range of slots: the newest, or the last one before some of them were given away, while that is kept.
    /// Whoever began with the range finds all of its tracks in it.
    #[must_use]
    pub fn version_of(&self, (first, end): (u16, u16)) -> Option<Arc<TrackView>> {
        let has_them = |view: &Arc<TrackView>| {
            let (own_first, own_end) = view.slots();
            own_first <= first && end <= own_end
        };
        // The former one is kept before the newest is published.
        let newest = self.view();
        if has_them(&newest) {
            return Some(newest);
        }
        self.former.lock().as_ref().map(|(_, former)| Arc::clone(former)).filter(has_them)
    }

    /// Lets the version before slots were given away go, once that was so long ago.
    pub fn let_former_go(&self, after: Duration) {
        let mut former = self.former.lock();
        if former.as_ref().is_some_and(|(since, _)| since.elapsed() >= after) {
            *former = None;
        }
    }
}

impl TrackView {
    /// Whether a command has to wait, or to go elsewhere, because slots it touches are being given away or are gone. A load is
    /// refused whole while slots are given away, so that how far it has come is the same in both shards.
    pub(super) fn is_moved(&self, command: &TrackCommand) -> bool {
        let Some(lineage) = &self.lineage else { return false };
        let is_parting = lineage.parting.is_some();
        let end = lineage.parting.map_or(lineage.slots.end, |parting| parting.at);
        let stays = |id: &TrackId| (lineage.slots.first..end).contains(&slot_of(id.as_str()).0);
        match command {
            TrackCommand::UpsertTracks { tracks, load } => {
                load.is_some() && is_parting || !tracks.iter().all(|track| stays(&track.track_id))
            }
            TrackCommand::DeleteTracks { ids }
            | TrackCommand::UpsertVectors { ids, .. }
            | TrackCommand::DeleteVectors { ids, .. } => !ids.iter().all(stays),
            TrackCommand::DropGeneration { .. } | TrackCommand::MarkLoad { .. } => is_parting,
            TrackCommand::AddSegments { origin, load, .. } => {
                is_parting && (load.is_some() || *origin == SegmentOrigin::Loaded)
            }
            TrackCommand::Seal | TrackCommand::ReserveSegments { .. } | TrackCommand::Split(_) => false,
        }
    }

    /// Whether a loaded row is of a track that has gone to another shard since the segment was built.
    pub(super) fn is_elsewhere(&self, ordinal: u32) -> bool {
        self.lineage.as_ref().is_some_and(|lineage| ordinal < lineage.shared_below) && !self.has_row(ordinal)
    }

    /// Takes one step of a split. Each may be said again.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn split_step(
        &mut self,
        step: TrackSplitOp,
        open: &OpenSegment<'_>,
        folder: &Path,
    ) -> Result<TrackReply> {
        match step {
            TrackSplitOp::Freeze { child, at } => self.freeze_slots(Parting { child, at }),
            TrackSplitOp::Inherit(inheritance) => self.inherit(inheritance, open, folder),
            TrackSplitOp::Release { child } => Ok(self.release_slots(child)),
        }
    }

    fn freeze_slots(&mut self, parting: Parting) -> Result<TrackReply> {
        let (first, end) = self.slots();
        match self.parting() {
            Some(known) if known == parting => return Ok(TrackReply::Done(0)),
            Some(known) => {
                return Ok(TrackReply::Refused(format!(
                    "the shard is being split for another new shard. new=`tracks-{}`",
                    known.child
                )));
            }
            // They were given away before.
            None if parting.at >= end => return Ok(TrackReply::Done(0)),
            None if parting.at <= first => {
                return Ok(TrackReply::Refused(format!("each half needs a slot. at=`{}`", parting.at)));
            }
            None => {}
        }
        if !self.has_siblings() {
            self.key_recordings()?;
        }
        let whole = || Lineage::of(self.shard, SlotRange { first, end });
        let lineage = self.lineage.as_deref().cloned().unwrap_or_else(whole);
        self.lineage = Some(Arc::new(Lineage { parting: Some(parting), ..lineage }));
        // What recordings are known by has changed.
        self.catalogue_is_new();
        Ok(TrackReply::Done(0))
    }

    /// Finds the keys of all recordings, which one shard alone does not keep. Cost: a pass over columns.
    fn key_recordings(&mut self) -> Result<()> {
        let mut keys = std::mem::take(&mut self.recording_keys);
        let mut put = |number: u32, key: u64| keys.set(number as usize, key, &0);
        for segment in &self.segments {
            match &segment.body {
                TrackBody::Memory(rows) => {
                    rows.iter().for_each(|row| put(row.recording, row.recording_key()))
                }
                TrackBody::Sealed(sealed) => {
                    sealed.for_each_hot(|_, _, _, key, hot| put(hot.recording, key))?;
                }
            }
        }
        self.recording_keys = keys;
        Ok(())
    }

    fn release_slots(&mut self, child: u16) -> TrackReply {
        let Some(lineage) = self.lineage.as_deref().cloned() else {
            return TrackReply::Refused("the shard was never split".to_owned());
        };
        let Some(parting) = lineage.parting.filter(|parting| parting.child == child) else {
            return TrackReply::Done(0); // It was done before.
        };
        let slots = SlotRange { end: parting.at, ..lineage.slots };
        let shared_below = self.ordinals();
        self.lineage = Some(Arc::new(Lineage { slots, shared_below, parting: None, ..lineage }));
        let mut gone = 0;
        for ordinal in 0..shared_below {
            let hot = self.hot(ordinal);
            if self.has_row(ordinal) && !slots.contains(slot_of_key(hot.key)) {
                self.give_up(ordinal, &hot);
                gone += 1;
            }
        }
        self.catalogue_is_new();
        TrackReply::Done(gone)
    }

    /// Leaves a track to another shard: its rows are dead here, as if newer ones had replaced them.
    fn give_up(&mut self, ordinal: u32, hot: &TrackHot) {
        self.bury(ordinal, hot);
        self.unlink(ordinal, hot);
        self.live -= u64::from(hot.live);
        self.hot.set(ordinal as usize, TrackHot::ABSENT, &TrackHot::ABSENT);
        for set in self.sets.values_mut().filter(|set| set.has(ordinal)) {
            set.relocate(ordinal, NOWHERE);
        }
    }

    /// Nothing that was derived of an earlier version can be brought up to date.
    fn catalogue_is_new(&mut self) {
        self.epoch += 1;
        self.changes = Changes::starting_after(self.epoch);
    }

    fn inherit(
        &mut self,
        inheritance: Inheritance,
        open: &OpenSegment<'_>,
        folder: &Path,
    ) -> Result<TrackReply> {
        if self.lineage.is_some() {
            return Ok(TrackReply::Done(0)); // It was done before.
        }
        let (first, end) = self.slots();
        if first != end || self.ordinals() > 0 {
            return Ok(TrackReply::Refused("the shard has tracks of its own".to_owned()));
        }
        let mut view = Self::empty(self.shard, self.shards);
        (view.applied_index, view.applied_term) = (self.applied_index, self.applied_term);
        view.inherited_at = self.applied_index;
        view.next_segment = inheritance.next_segment;
        view.take_small_state(SmallState {
            loads: inheritance.loads,
            sets: inheritance.sets,
            epoch: inheritance.epoch,
            lineage: Some(inheritance.lineage),
        });
        let (mut tracks, mut vectors) = (Vec::new(), Vec::new());
        for new in inheritance.segments {
            let segment = open(&new)?;
            let dead = recover::dead_rows(folder, &new.entry)?;
            match segment {
                OpenedSegment::Tracks(sealed) => tracks.push(Ok((sealed, dead))),
                OpenedSegment::Vectors(sealed) => vectors.push((sealed, dead)),
            }
        }
        view.take_tracks(tracks.into_iter(), (inheritance.next_ordinal, inheritance.next_recording))?;
        vectors.into_iter().try_for_each(|vectors| view.add_vectors(vectors))?;
        view.catalogue_is_new();
        *self = view;
        Ok(TrackReply::Done(self.live))
    }
}
