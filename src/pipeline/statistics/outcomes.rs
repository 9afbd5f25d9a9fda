//! What became of served tracks: the rewards that exploration and the blend learn from.

use super::document::ArmStatistics;
use crate::pipeline::explore::{Arm, ArmSums, Context, context};
use crate::pipeline::learn::WeightSums;
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
    lists(view).flatten().collect()
}

/// The same by list.
fn lists(view: &UserView) -> impl Iterator<Item = Vec<Outcome>> + '_ {
    view.served.iter().filter(|list| !list.choices.is_empty()).map(|list| {
        let after = view.plays.partition_point(|play| play.at >= list.at);
        let until = Timestamp(list.at.0.saturating_add(ANSWER_DAYS * DAY_MS));
        let answers: Vec<&PlayRecord> = view.plays[..after].iter().filter(|play| play.at <= until).collect();
        if answers.is_empty() {
            return Vec::new();
        }
        let earlier = view.plays_total.saturating_sub(after as u64);
        let context = context(earlier, list.at.hour(), list.at.weekday());
        let choices = list.choices.iter();
        choices.filter_map(|&(position, choice)| outcome(list, position, choice, &answers, context)).collect()
    })
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
    /// Adds what became of a listener's lists.
    pub(super) fn add(&mut self, view: &UserView, newest: Timestamp) {
        for list in lists(view) {
            for outcome in list.iter().filter(|outcome| outcome.explored) {
                let Some(source) = Source::from_code(outcome.choice.source) else { continue };
                let arm = Arm { source, genre_cluster: outcome.choice.genre_cluster };
                let discount = discount(outcome.at, newest);
                self.arms.entry(arm).or_default().add(&outcome.context, outcome.reward, discount);
            }
            add_list(&mut self.weights, &list, newest);
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
    for list in lists(view).filter(|list| list.first().is_some_and(|slot| slot.at <= as_of)) {
        add_list(&mut sums, &list, as_of);
    }
    sums
}

/// Adds the slots of a list that were not explored. The log names the source that contributed most to a track; that one is
/// taken to have said it.
fn add_list(sums: &mut WeightSums, list: &[Outcome], now: Timestamp) {
    let Some(at) = list.first().map(|slot| slot.at) else { return };
    let blended = list.iter().filter(|slot| !slot.explored);
    let tracks: Vec<(Source, f64)> =
        blended.filter_map(|slot| Some((Source::from_code(slot.choice.source)?, slot.reward))).collect();
    if !tracks.is_empty() {
        sums.add(&tracks, discount(at, now));
    }
}

fn discount(at: Timestamp, now: Timestamp) -> f64 {
    decay(now.days_since(at), HALF_LIFE_DAYS)
}
