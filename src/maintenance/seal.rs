//! Sealing: everything that grows is frozen by a log entry, written to files, and becomes a checkpoint.

use std::path::Path;
use std::sync::Arc;

use super::build::{IndexChoice, write_rows_as_given};
use super::{ProgressFn, Propose};
use crate::error::{Error, Result};
use crate::storage::track_shard::command::{NewSegment, SegmentOrigin, TrackCommand, TrackReply};
use crate::storage::track_shard::segment::{TrackBody, write_tracks};
use crate::storage::track_shard::vectors::VectorBody;
use crate::storage::track_shard::{TrackShard, TrackView};

/// Rows that are in memory only.
#[must_use]
pub fn growing_rows(view: &TrackView) -> usize {
    let tracks = view.segments.iter().filter(|segment| matches!(segment.body, TrackBody::Memory(_)));
    let vectors = view.sets.values().flat_map(|set| &set.segments);
    tracks.map(|segment| segment.rows()).sum::<usize>()
        + vectors
            .filter(|segment| matches!(segment.body, VectorBody::Memory(_)))
            .map(|segment| segment.rows())
            .sum::<usize>()
}

/// Freezes what grows, writes it to files, makes the files live and publishes the checkpoint. Finishes an interrupted
/// seal first, if there is one.
///
/// Not to be run twice at a time on one shard.
///
/// # Errors
/// Disk errors and refused proposals; nothing is lost then, and the next call goes on where this one stopped.
pub fn seal(
    shard: &TrackShard,
    propose: &Propose<'_>,
    choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<()> {
    if let Some(capture) = shard.pending_checkpoint() {
        finish(shard, &capture, propose, choice, &|_| {})?;
    }
    if shard.view().applied_index == shard.durable_index() {
        return Ok(());
    }
    propose(&TrackCommand::Seal)?;
    let Some(capture) = shard.pending_checkpoint() else {
        return Err(Error::Internal("a seal entry left no checkpoint to write".to_owned()));
    };
    finish(shard, &capture, propose, choice, progress)
}

/// Writes the files of what `capture` froze, makes them live, publishes the checkpoint.
fn finish(
    shard: &TrackShard,
    capture: &Arc<TrackView>,
    propose: &Propose<'_>,
    choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<()> {
    let workshop = shard.workshop()?;
    let mut segments = build_files(shard, workshop.folder(), capture, choice, progress)?;
    let mut placed = Ok(());
    segments.retain(|new| {
        placed.is_ok()
            && shard.place_sealed(&workshop, &new.entry).unwrap_or_else(|error| {
                placed = Err(error);
                false
            })
    });
    placed?;
    if !segments.is_empty() {
        for new in &segments {
            shard.stage(new)?;
        }
        let ids: Vec<u64> = segments.iter().map(|new| new.entry.id).collect();
        let origin = SegmentOrigin::Sealed(capture.applied_index);
        let reply = propose(&TrackCommand::AddSegments { segments, origin, load: None });
        shard.unstage(ids, &reply);
        // A generation dropped meanwhile makes its segment stale: the checkpoint leaves it out.
        if !matches!(reply?, TrackReply::Done(_) | TrackReply::Stale) {
            return Err(Error::Internal("sealed segments were refused".to_owned()));
        }
    }
    shard.publish_checkpoint(capture)?;
    shard.remove_garbage()?;
    progress(1.0);
    Ok(())
}

/// Writes what is in memory of `capture` to files below `folder`.
fn build_files(
    shard: &TrackShard,
    folder: &Path,
    capture: &TrackView,
    choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<Vec<NewSegment>> {
    let now = shard.view();
    let total = growing_rows(capture).max(1) as f64;
    let mut done = 0.0;
    let mut built = Vec::new();
    for segment in &capture.segments {
        let sealed = now
            .segments
            .iter()
            .any(|known| known.id == segment.id && matches!(known.body, TrackBody::Sealed(_)));
        if let (TrackBody::Memory(rows), false) = (&segment.body, sealed) {
            let rows: Vec<_> = rows.iter().cloned().collect();
            let entry = write_tracks(folder, segment.id, &rows, &segment.dead)?;
            built.push(NewSegment { entry, set: None });
            done += rows.len() as f64;
            progress(done / total);
        }
    }
    for (key, set) in &capture.sets {
        let Some(known) = now.sets.get(key) else { continue };
        for segment in &set.segments {
            let sealed =
                known.segment(segment.id).is_some_and(|known| matches!(known.body, VectorBody::Sealed(_)));
            if let (VectorBody::Memory(rows), false) = (&segment.body, sealed) {
                let (start, share) = (done / total, rows.rows() as f64 / total);
                let part = |fraction: f64| progress(start + share * fraction);
                let id = u64::from(segment.id);
                // Offsets stay: dead rows are known by them.
                let entry = write_rows_as_given(folder, id, &set.spec, rows.iter(), choice, &part)?;
                built.push(NewSegment { entry, set: Some(set.spec.as_ref().clone()) });
                done += rows.rows() as f64;
            }
        }
    }
    Ok(built)
}
