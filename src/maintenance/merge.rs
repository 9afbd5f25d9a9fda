//! Merging: several sealed segments of one kind become one, without their dead rows.

use std::sync::Arc;

use super::build::{IndexChoice, write_vector_segment};
use super::{ProgressFn, Propose};
use crate::error::{Error, Result};
use crate::storage::error::damaged;
use crate::storage::track_shard::command::{NewSegment, SegmentOrigin, TrackCommand, TrackReply};
use crate::storage::track_shard::row::TrackRow;
use crate::storage::track_shard::segment::{TrackBody, write_tracks};
use crate::storage::track_shard::vectors::{VectorBody, VectorSet};
use crate::storage::track_shard::{TrackShard, TrackView};
use crate::types::{GenerationId, SpaceName};

/// Segments of one size class that are merged together.
const FANOUT: usize = 4;
/// Share of dead rows above which a segment is rewritten by itself: of small ones, whose searches are short whatever they hold, and
/// of others. A rewrite at one half builds one row for each that died, at a fifth four.
const DEAD_SHARE_MAX: [f64; 2] = [0.5, 0.2];
/// Rows up to which a segment is small.
const SMALL_ROWS: usize = 65_536;

/// Segments worth merging into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePlan {
    /// The vector set; `None` for the catalogue.
    pub set: Option<(SpaceName, GenerationId)>,
    /// The segments to replace, oldest first.
    pub inputs: Vec<u32>,
}

/// What should be merged now: any four sealed segments within a factor of four of each other in size, and any segment
/// of which more than a fifth is dead, a half if it is small. Deterministic for a version of the shard.
#[must_use]
pub fn plan_merges(view: &TrackView) -> Vec<MergePlan> {
    let tracks: Vec<Sized> = view
        .segments
        .iter()
        .filter(|segment| matches!(segment.body, TrackBody::Sealed(_)))
        .map(|segment| Sized::new(segment.id, segment.rows(), segment.dead.len()))
        .collect();
    let mut plans: Vec<MergePlan> =
        choose(&tracks).map(|inputs| MergePlan { set: None, inputs }).into_iter().collect();
    for (key, set) in &view.sets {
        let vectors: Vec<Sized> = set
            .segments
            .iter()
            .filter(|segment| matches!(segment.body, VectorBody::Sealed(_)))
            .map(|segment| Sized::new(segment.id, segment.rows(), segment.dead.len()))
            .collect();
        plans.extend(choose(&vectors).map(|inputs| MergePlan { set: Some(key.clone()), inputs }));
    }
    plans
}

struct Sized {
    id: u32,
    live: usize,
    /// More of its rows are dead than should be kept.
    is_worn: bool,
}

impl Sized {
    fn new(id: u32, rows: usize, dead: u64) -> Self {
        let dead = usize::try_from(dead).unwrap_or(rows);
        let dead_max = DEAD_SHARE_MAX[usize::from(rows > SMALL_ROWS)];
        Self { id, live: rows.saturating_sub(dead), is_worn: dead as f64 > dead_max * rows as f64 }
    }
}

fn choose(segments: &[Sized]) -> Option<Vec<u32>> {
    let mut by_size: Vec<&Sized> = segments.iter().collect();
    by_size.sort_by_key(|segment| (segment.live, segment.id));
    let alike =
        by_size.windows(FANOUT).rev().find(|window| window[FANOUT - 1].live <= 4 * window[0].live.max(256));
    let mut inputs: Vec<u32> = match alike {
        // Everything smaller goes along: it costs less than the merge itself.
        Some(window) => {
            let largest = (window[FANOUT - 1].live, window[FANOUT - 1].id);
            by_size
                .iter()
                .filter(|segment| (segment.live, segment.id) <= largest)
                .map(|segment| segment.id)
                .collect()
        }
        None => segments.iter().filter(|segment| segment.is_worn).map(|s| s.id).take(1).collect(),
    };
    inputs.sort_unstable();
    (!inputs.is_empty()).then_some(inputs)
}

/// Carries out a plan: writes the merged files and puts them in the place of the inputs. `false` when the state moved on
/// meanwhile and the plan no longer fits.
///
/// Not to be run beside another merge or seal of the same shard.
///
/// # Errors
/// Disk errors and refused proposals; nothing is lost then.
pub fn merge(
    shard: &TrackShard,
    plan: &MergePlan,
    propose: &Propose<'_>,
    choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<bool> {
    let view = shard.view();
    let TrackReply::Done(id) = propose(&TrackCommand::ReserveSegments { count: 1 })? else {
        return Err(Error::Internal("a segment number was refused".to_owned()));
    };
    let Some(new) = (match &plan.set {
        None => Some(merge_tracks(shard, &view, plan, id)?),
        Some((space, generation)) => match view.set(space, *generation) {
            Some(set) => Some(merge_vectors(shard, &view, set, plan, id, choice, progress)?),
            None => None,
        },
    }) else {
        return Ok(false);
    };
    shard.stage(&new)?;
    let origin = SegmentOrigin::Merged(plan.inputs.iter().map(|&id| u64::from(id)).collect());
    let reply = propose(&TrackCommand::AddSegments { segments: vec![new], origin, load: None });
    shard.unstage([id], &reply);
    Ok(matches!(reply?, TrackReply::Done(_)))
}

fn merge_tracks(shard: &TrackShard, view: &TrackView, plan: &MergePlan, id: u64) -> Result<NewSegment> {
    let mut rows: Vec<Arc<TrackRow>> = Vec::new();
    for segment in view.segments.iter().filter(|segment| plan.inputs.contains(&segment.id)) {
        for offset in 0..u32::try_from(segment.rows()).unwrap_or(u32::MAX) {
            if !segment.dead.contains(offset) {
                rows.push(segment.row(offset)?);
            }
        }
    }
    rows.sort_by_key(|row| row.ordinal);
    let id = u32::try_from(id).map_err(|_| Error::Internal("segment numbers ran out".to_owned()))?;
    let entry = write_tracks(shard.folder(), id, &rows, &roaring::RoaringBitmap::new())?;
    Ok(NewSegment { entry, set: None })
}

fn merge_vectors(
    shard: &TrackShard,
    view: &TrackView,
    set: &VectorSet,
    plan: &MergePlan,
    id: u64,
    choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<NewSegment> {
    let mut places: Vec<(u32, usize, u32)> = Vec::new();
    for (at, segment) in
        set.segments.iter().enumerate().filter(|(_, segment)| plan.inputs.contains(&segment.id))
    {
        let VectorBody::Sealed(sealed) = &segment.body else {
            return Err(Error::Internal("only sealed segments are merged".to_owned()));
        };
        // A row that cannot be read would be left out.
        sealed.vectors.file().ensure_all().map_err(damaged)?;
        let alive = (0_u32..).zip(sealed.ordinals()?).filter(|(offset, _)| !segment.dead.contains(*offset));
        places.extend(
            alive
                .filter(|(_, ordinal)| view.hot(**ordinal).live)
                .map(|(offset, &ordinal)| (ordinal, at, offset)),
        );
    }
    places.sort_unstable();
    let rows =
        places.iter().filter_map(|&(ordinal, at, offset)| Some((ordinal, set.segments[at].row(offset)?)));
    let entry = write_vector_segment(shard.folder(), id, &set.spec, rows, choice, progress)?;
    Ok(NewSegment { entry, set: Some(set.spec.as_ref().clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(sizes: &[(usize, u64)]) -> Vec<Sized> {
        (0..).zip(sizes).map(|(id, &(rows, dead))| Sized::new(id, rows, dead)).collect()
    }

    #[test]
    fn four_of_a_size_merge_and_small_ones_go_along() {
        assert_eq!(choose(&sized(&[(1_000, 0), (1_200, 0), (3_000, 0)])), None);
        assert_eq!(choose(&sized(&[(1_000, 0), (1_200, 0), (3_000, 0), (2_000, 0)])), Some(vec![0, 1, 2, 3]));
        let mixed = sized(&[(1_000_000, 0), (50_000, 0), (60_000, 0), (70_000, 0), (10, 0), (80_000, 0)]);
        assert_eq!(choose(&mixed), Some(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_segment_with_a_fifth_dead_is_rewritten_a_small_one_with_a_half() {
        assert_eq!(choose(&sized(&[(100_000, 20_000), (9_000, 0)])), None);
        assert_eq!(choose(&sized(&[(100_000, 20_001), (9_000, 0)])), Some(vec![0]));
        assert_eq!(choose(&sized(&[(1_000, 500), (9_000, 0)])), None);
        assert_eq!(choose(&sized(&[(1_000, 501), (9_000, 0)])), Some(vec![0]));
    }
}
