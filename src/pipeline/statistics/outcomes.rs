//! What became of served tracks: the rewards that exploration and the blend learn from.

use super::document::ArmStatistics;
use crate::pipeline::explore::{Arm, ArmSums, Context, context};
use crate::pipeline::learn::{Said, WIDTH, WeightSums};
use crate::pipeline::recipe::Source;
use crate::pipeline::signals::{DISLIKE_BEFORE_MS, decay};
use crate::storage::user_shard::{PlayRecord, ServedRecord, SlotChoice, UserView};
use crate::types::{DAY_MS, PlayAction, Timestamp};
use std::collections::BTreeMap;

/// How long after it was shown an event still speaks of the showing.
const ANSWER_DAYS: i64 = 7;
/// Half-life of an impression.
pub const HALF_LIFE_DAYS: f64 = 30.0;

/// A served slot whose outcome is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// When it was shown.
    pub at: Timestamp,
    /// For whom and when, as the bandit sees it.
    pub context: Context,
    /// How the slot was chosen.
    pub choice: SlotChoice,
    /// Whether it was an exploration.
    pub explored: bool,
    /// 0 to 1.
    pub reward: f64,
}

/// The outcomes of a listener's served lists, newest list first. A slot nobody touched counts 0 once the listener went
/// on to other tracks, and is no outcome while they did not.
pub fn outcomes(view: &UserView) -> Vec<Outcome> {
    let mut all = Vec::new();
    for list in view.served.iter().filter(|list| !list.choices.is_empty()) {
        let after = view.plays.partition_point(|play| play.at >= list.at);
        let until = Timestamp(list.at.0.saturating_add(ANSWER_DAYS * DAY_MS));
        let answers: Vec<&PlayRecord> = view.plays[..after].iter().filter(|play| play.at <= until).collect();
        if answers.is_empty() {
            continue;
        }
        let earlier = view.plays_total.saturating_sub(after as u64);
        let context = context(earlier, list.at.hour(), list.at.weekday());
        for &(position, choice) in &list.choices {
            all.extend(outcome(list, position, choice, &answers, context));
        }
    }
    all
}

fn outcome(
    list: &ServedRecord,
    position: u32,
    choice: SlotChoice,
    answers: &[&PlayRecord],
    context: Context,
) -> Option<Outcome> {
    let slot = list.tracks.get(position as usize)?;
    let of_it = answers.iter().filter(|play| play.track == slot.track);
    let reward = of_it.map(|play| reward(play)).fold(0.0, f64::max);
    Some(Outcome { at: list.at, context, choice, explored: slot.explored, reward })
}

/// The four rewards of PIPELINE.md §2, of a stored event.
fn reward(play: &PlayRecord) -> f64 {
    match play.action {
        PlayAction::Save => 1.0,
        PlayAction::Skip if play.listened_ms < DISLIKE_BEFORE_MS => 0.0,
        _ if play.completed => 0.8,
        _ if play.listened_ms >= DISLIKE_BEFORE_MS => 0.5,
        _ => 0.0,
    }
}

/// Adds up outcomes of all listeners, discounted by event time against `newest`.
#[derive(Default)]
pub(super) struct OutcomeSums {
    arms: BTreeMap<Arm, ArmSums>,
    pub weights: WeightSums,
}

impl OutcomeSums {
    pub(super) fn add(&mut self, outcome: &Outcome, newest: Timestamp) {
        let Some(source) = Source::from_code(outcome.choice.source) else { return };
        let discount = decay(newest.days_since(outcome.at), HALF_LIFE_DAYS);
        if outcome.explored {
            let arm = Arm { source, genre_cluster: outcome.choice.genre_cluster };
            self.arms.entry(arm).or_default().add(&outcome.context, outcome.reward, discount);
        } else {
            self.weights.add(&said_by(source), outcome.reward, discount);
        }
    }

    /// At most `most` arms, those with most weight; by source and cluster.
    pub(super) fn arms(self, most: usize) -> Vec<ArmStatistics> {
        let mut arms: Vec<ArmStatistics> = self
            .arms
            .into_iter()
            .map(|(arm, sums)| ArmStatistics { source: arm.source.code(), cluster: arm.genre_cluster, sums })
            .collect();
        arms.sort_by(|a, b| b.sums.weight.total_cmp(&a.sums.weight));
        arms.truncate(most);
        arms.sort_by_key(|arm| (arm.source, arm.cluster));
        arms
    }
}

/// A listener's own rewards by source.
pub fn own_weights(view: &UserView, as_of: Timestamp) -> WeightSums {
    let mut sums = WeightSums::default();
    for outcome in outcomes(view).iter().filter(|outcome| !outcome.explored && outcome.at <= as_of) {
        if let Some(source) = Source::from_code(outcome.choice.source) {
            let discount = decay(as_of.days_since(outcome.at), HALF_LIFE_DAYS);
            sums.add(&said_by(source), outcome.reward, discount);
        }
    }
    sums
}

/// The log names the source that contributed most; that one is taken to have said it.
fn said_by(source: Source) -> Said {
    let mut said = [0.0; WIDTH];
    said[usize::from(source.code())] = 1.0;
    said
}
