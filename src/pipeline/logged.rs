//! Lists that a listener was shown, as they were logged: for people who ask what was served and why, and for estimates of what
//! other recipes would have done (PIPELINE.md §8).

use serde::{Deserialize, Serialize};

use super::experiment::Assignment;
use super::explore::Arm;
use super::reader::Reader;
use super::recipe::Source;
use crate::error::Result;
use crate::storage::user_shard::{ListOrigin, SlotChoice, StoredList};
use crate::types::{GenerationId, Surface, Timestamp, TrackId};

/// A list that was reported as served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedList {
    /// When it was shown.
    pub at: Timestamp,
    /// Where.
    pub surface: Surface,
    /// The id of the request that asked for it.
    pub request_id: String,
    /// What it was made by; absent for lists that were reported to programs which did not keep it.
    pub made_by: Option<MadeBy>,
    /// What was shown, first to last.
    pub slots: Vec<LoggedSlot>,
}

/// What a list was made by: with the request it is all that makes it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// `name@version`.
    pub recipe: String,
    /// The experiment and the arm that chose the recipe, if one did.
    pub experiment: Option<Assignment>,
    /// The generation compared in.
    pub generation: Option<GenerationId>,
    /// The request's random seed.
    pub seed: u64,
    /// [`candidate_set_hash`](super::impression::candidate_set_hash) of the candidates it was chosen from.
    pub candidates_hash: u64,
    /// The time it was made for.
    pub as_of: Timestamp,
}

/// One slot of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedSlot {
    /// Its place in the whole list, the first 0.
    pub position: u32,
    /// The track.
    pub track_id: TrackId,
    /// Its title.
    pub title: String,
    /// The source that contributed most, where that was kept.
    pub source: Option<String>,
    /// Whether it explored.
    pub explored: bool,
    /// The exploration's arm.
    pub arm: Option<String>,
    /// Probability with which it was chosen, given the draws before it; 1 where nothing was explored.
    pub propensity: Option<f64>,
    /// Which of the list's draws it was, the first 0, and from how many tracks; of explored slots where that was kept.
    pub draw: Option<(u16, u16)>,
}

/// Names what was stored.
///
/// # Errors
/// Damaged files; those of the nodes that were asked for tracks.
pub fn logged_lists(reader: &Reader<'_>, stored: Vec<StoredList>) -> Result<Vec<LoggedList>> {
    reader.expect_rows(stored.iter().flat_map(|it| it.list.tracks.iter().map(|served| served.track)))?;
    stored.into_iter().map(|list| logged(reader, list)).collect()
}

fn logged(reader: &Reader<'_>, stored: StoredList) -> Result<LoggedList> {
    let StoredList { at, list, choices, origin } = stored;
    let positions = origin.as_ref().map_or(&[][..], |origin| &origin.positions);
    let mut slots = Vec::with_capacity(list.tracks.len());
    for (place, served) in (0..).zip(&list.tracks) {
        let row = reader.row(served.track)?;
        let choice = choices.iter().find(|(of, _)| *of == place).map(|(_, choice)| *choice);
        let source = choice.and_then(|choice| Source::from_code(choice.source));
        let drawn = choice.filter(|_| served.explored);
        let arm = |choice: SlotChoice| Some(Arm { source: source?, genre_cluster: choice.genre_cluster });
        slots.push(LoggedSlot {
            position: positions.get(place as usize).copied().unwrap_or(place),
            track_id: row.track.track_id.clone(),
            title: row.track.title.clone(),
            source: source.map(|source| source.as_str().to_owned()),
            explored: served.explored,
            arm: drawn.and_then(arm).map(|arm| arm.to_string()),
            propensity: choice.map(|choice| choice.propensity.into()),
            draw: drawn.filter(|choice| choice.open > 0).map(|choice| (choice.draw, choice.open)),
        });
    }
    let made_by = origin.map(made_by);
    Ok(LoggedList { at, surface: list.surface, request_id: list.impression, made_by, slots })
}

fn made_by(origin: ListOrigin) -> MadeBy {
    let ListOrigin { recipe, experiment, generation, seed, candidates_hash, as_of, positions: _ } = origin;
    let experiment = experiment.map(|(experiment, arm)| Assignment { experiment, arm });
    MadeBy { recipe, experiment, generation, seed, candidates_hash, as_of }
}
