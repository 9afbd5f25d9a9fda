//! What this node has served of each surface's newest experiment: lists and listeners by arm, and how its shadow compares.
//!
//! In memory and of this process (`node/counts` adds up those of all nodes): it is for watching an experiment, not for its
//! result (`segue eval split` reads that from what was served and stored). Bounded: one experiment a surface, and
//! [`LISTENERS_MAX`] listeners of it.

use std::collections::{BTreeMap, HashMap};

use metrics::{counter, gauge, histogram};
use parking_lot::Mutex;
use tracing::warn;

use crate::pipeline::experiment::{
    ArmReport, Experiment, ExperimentReport, RANK_BIAS, RATIO_P_MIN, ShadowReport, rank_biased_overlap,
    sample_ratio, shared,
};
use crate::types::{Surface, TrackId, UserId, key_of};

/// Listeners that are told apart; of more, every second is left out, and so on.
const LISTENERS_MAX: usize = 1 << 16;
/// The parts are tested whenever so many lists were served.
const TEST_EVERY: u64 = 1_000;

/// The counts of all surfaces.
#[derive(Debug, Default)]
pub(super) struct Tallies(Mutex<BTreeMap<Surface, Tally>>);

#[derive(Debug, Default)]
struct Tally {
    version: u32,
    counted: Counted,
    /// It was said that the parts are not what they should be.
    is_warned: bool,
}

/// What was counted of one version of an experiment, by one node or by several.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counted {
    /// Lists by arm.
    pub(super) requests: Vec<u64>,
    pub(super) listeners: Listeners,
    /// Lists of the shadow, requests it was not asked, those it failed, and lists that were the same as served.
    pub(super) lists: u64,
    pub(super) dropped: u64,
    pub(super) failed: u64,
    pub(super) same: u64,
    /// Sums over its lists.
    pub(super) overlap: f64,
    pub(super) rank_biased_overlap: f64,
}

/// An even sample of different listeners with their arms (distinct sampling, Gibbons 2001): those whose hash ends with
/// `level` zeros. Whether one is in it does not depend on their arm, whose hash is another.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Listeners {
    pub(super) level: u32,
    /// Arms by the keys of listeners.
    pub(super) arms: HashMap<u64, u8>,
}

impl Listeners {
    fn add(&mut self, user: &UserId, arm: usize) {
        self.insert(key_of(user.as_str()), u8::try_from(arm).unwrap_or(u8::MAX));
        self.thin();
    }

    fn insert(&mut self, key: u64, arm: u8) {
        if key.trailing_zeros() >= self.level {
            self.arms.insert(key, arm);
        }
    }

    /// Adds another sample: what both of them would have kept.
    fn merge(&mut self, other: &Self) {
        self.level = self.level.max(other.level);
        self.keep_level();
        other.arms.iter().for_each(|(key, arm)| self.insert(*key, *arm));
        self.thin();
    }

    fn thin(&mut self) {
        while self.arms.len() > LISTENERS_MAX {
            self.level += 1;
            self.keep_level();
        }
    }

    fn keep_level(&mut self) {
        let level = self.level;
        self.arms.retain(|key, _| key.trailing_zeros() >= level);
    }

    fn count(&self, arm: usize) -> u64 {
        self.arms.values().filter(|of| usize::from(**of) == arm).count() as u64
    }

    fn share(&self) -> f64 {
        1.0 / (1_u64 << self.level.min(63)) as f64
    }
}

impl Counted {
    /// Adds what another node has counted of the same version.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests.resize(self.requests.len().max(other.requests.len()), 0);
        self.requests.iter_mut().zip(&other.requests).for_each(|(sum, count)| *sum += count);
        self.listeners.merge(&other.listeners);
        self.lists += other.lists;
        self.dropped += other.dropped;
        self.failed += other.failed;
        self.same += other.same;
        self.overlap += other.overlap;
        self.rank_biased_overlap += other.rank_biased_overlap;
    }

    fn parts(&self, experiment: &Experiment) -> Vec<(u64, f64)> {
        let weights = experiment.arms.iter().map(|arm| f64::from(arm.weight));
        weights.enumerate().map(|(arm, weight)| (self.listeners.count(arm), weight)).collect()
    }

    /// What is said of it. `missing`: nodes that were not heard.
    pub(super) fn report(
        &self,
        experiment: Experiment,
        is_running: bool,
        missing: Vec<String>,
    ) -> ExperimentReport {
        let parts = self.parts(&experiment);
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        let ratio_p = sample_ratio(&parts);
        let arms = experiment.arms.iter().zip(&parts).enumerate();
        let arms = arms.map(|(place, (arm, (listeners, weight)))| ArmReport {
            arm: arm.name.clone(),
            recipe: arm.recipe.clone(),
            share: weight / total,
            requests: self.requests.get(place).copied().unwrap_or(0),
            listeners: *listeners,
        });
        let mean = |sum: f64| (self.lists > 0).then(|| sum / self.lists as f64);
        let shadow = experiment.shadow.as_ref().map(|shadow| ShadowReport {
            recipe: shadow.recipe.clone(),
            k: shadow.k,
            lists: self.lists,
            dropped: self.dropped,
            failed: self.failed,
            same: self.same,
            overlap: mean(self.overlap),
            rank_biased_overlap: mean(self.rank_biased_overlap),
        });
        ExperimentReport {
            arms: arms.collect(),
            listener_share: self.listeners.share(),
            ratio_p,
            is_sound: ratio_p >= RATIO_P_MIN,
            shadow,
            is_running,
            missing_nodes: missing,
            experiment,
        }
    }
}

impl Tally {
    /// Says once that the parts are not what they should be, when they are not.
    fn test(&mut self, experiment: &Experiment) {
        let p = sample_ratio(&self.counted.parts(experiment));
        let surface = experiment.surface.as_str().to_owned();
        gauge!("segue_experiment_sample_ratio_p", "surface" => surface).set(p);
        if p < RATIO_P_MIN && !std::mem::replace(&mut self.is_warned, true) {
            warn!(
                surface = %experiment.surface,
                experiment = experiment.reference(),
                p,
                "the arms of an experiment are not served in the shares of their weights: do not compare them"
            );
        }
    }
}

impl Tallies {
    /// Runs `change` on the counts of an experiment; of one that is older than what is counted, on nothing.
    fn with(&self, experiment: &Experiment, change: impl FnOnce(&mut Tally)) {
        let mut all = self.0.lock();
        let tally = all.entry(experiment.surface.clone()).or_default();
        if tally.version > experiment.version {
            return;
        }
        if tally.version < experiment.version {
            let counted = Counted { requests: vec![0; experiment.arms.len()], ..Counted::default() };
            *tally = Tally { version: experiment.version, counted, is_warned: false };
        }
        change(tally);
    }

    /// Counts a list that is answered in an arm.
    pub(super) fn served(&self, experiment: &Experiment, arm: &str, user: &UserId) {
        let Some(place) = experiment.arms.iter().position(|other| other.name == arm) else { return };
        let labels = [
            ("surface", experiment.surface.as_str().to_owned()),
            ("experiment", experiment.reference()),
            ("arm", arm.to_owned()),
        ];
        counter!("segue_experiment_requests_total", &labels).increment(1);
        self.with(experiment, |tally| {
            tally.counted.requests[place] += 1;
            tally.counted.listeners.add(user, place);
            if tally.counted.requests.iter().sum::<u64>().is_multiple_of(TEST_EVERY) {
                tally.test(experiment);
            }
        });
    }

    /// Counts a request that the shadow was not asked.
    pub(super) fn dropped(&self, experiment: &Experiment) {
        counter!("segue_shadow_dropped_requests_total", &shadow_labels(experiment)).increment(1);
        self.with(experiment, |tally| tally.counted.dropped += 1);
    }

    /// Counts a request that the shadow was asked in vain.
    pub(super) fn failed(&self, experiment: &Experiment) {
        counter!("segue_shadow_failed_lists_total", &shadow_labels(experiment)).increment(1);
        self.with(experiment, |tally| tally.counted.failed += 1);
    }

    /// Compares a list that was served with that of the shadow.
    pub(super) fn compared(&self, experiment: &Experiment, served: &[TrackId], shadow: &[TrackId]) {
        let k = experiment.shadow.as_ref().map_or(0, |shadow| shadow.k as usize);
        let (a, b) = (&served[..served.len().min(k)], &shadow[..shadow.len().min(k)]);
        let overlap = shared(a, b);
        let rank_biased = rank_biased_overlap(served, shadow, RANK_BIAS);
        let labels = shadow_labels(experiment);
        counter!("segue_shadow_lists_total", &labels).increment(1);
        histogram!("segue_shadow_overlap_ratio", &labels).record(overlap);
        histogram!("segue_shadow_rank_biased_overlap_ratio", &labels).record(rank_biased);
        self.with(experiment, |tally| {
            tally.counted.lists += 1;
            tally.counted.same += u64::from(a == b);
            tally.counted.overlap += overlap;
            tally.counted.rank_biased_overlap += rank_biased;
        });
    }

    /// What was counted here of a version of a surface's experiment; nothing, when it is not the newest that was served here.
    pub(super) fn counted(&self, surface: &Surface, version: u32) -> Counted {
        let all = self.0.lock();
        let tally = all.get(surface).filter(|tally| tally.version == version);
        tally.map_or_else(Counted::default, |tally| tally.counted.clone())
    }
}

fn shadow_labels(experiment: &Experiment) -> [(&'static str, String); 2] {
    let recipe = experiment.shadow.as_ref().map_or_else(String::new, |shadow| shadow.recipe.clone());
    [("surface", experiment.surface.as_str().to_owned()), ("recipe", recipe)]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::pipeline::experiment::{Arm, Shadow};

    fn experiment(version: u32) -> Experiment {
        let arm = |name: &str| Arm { name: name.to_owned(), recipe: "radio@1".to_owned(), weight: 1 };
        Experiment {
            surface: Surface::new("radio").unwrap(),
            name: "arc".to_owned(),
            version,
            salt: None,
            arms: vec![arm("a"), arm("b")],
            shadow: Some(Shadow { recipe: "default@1".to_owned(), share: 1.0, k: 2 }),
        }
    }

    fn user(number: u64) -> UserId {
        UserId::new(format!("u{number}")).unwrap()
    }

    fn report(tallies: &Tallies, experiment: Experiment) -> ExperimentReport {
        tallies.counted(&experiment.surface, experiment.version).report(experiment, true, Vec::new())
    }

    /// Serves listeners in the arms that are theirs, but every `lost`-th of the second arm not at all.
    fn serve(tallies: &Tallies, experiment: &Experiment, users: u64, lost: u64) {
        for user in (0..users).map(user) {
            let arm = experiment.arm_of(&user).unwrap();
            if arm.name == "a" || !key_of(user.as_str()).is_multiple_of(lost) {
                tallies.served(experiment, &arm.name, &user);
                tallies.served(experiment, &arm.name, &user);
            }
        }
    }

    #[test]
    fn a_biased_log_is_not_sound_and_a_fair_one_is() {
        for (lost, is_sound) in [(u64::MAX, true), (10, false)] {
            let tallies = Tallies::default();
            serve(&tallies, &experiment(1), 20_000, lost);
            let report = report(&tallies, experiment(1));
            assert_eq!(report.is_sound, is_sound, "p={}", report.ratio_p);
            let listeners: u64 = report.arms.iter().map(|arm| arm.listeners).sum();
            let requests: u64 = report.arms.iter().map(|arm| arm.requests).sum();
            assert_eq!((requests, report.listener_share), (2 * listeners, 1.0));
            assert_eq!(tallies.0.lock()[&experiment(1).surface].is_warned, !is_sound);
        }
    }

    #[test]
    fn of_very_many_listeners_an_even_sample_is_counted() {
        let tallies = Tallies::default();
        serve(&tallies, &experiment(1), 200_000, u64::MAX);
        let report = report(&tallies, experiment(1));
        let listeners: u64 = report.arms.iter().map(|arm| arm.listeners).sum();
        assert!(report.listener_share < 1.0 && listeners <= LISTENERS_MAX as u64);
        let estimate = listeners as f64 / report.listener_share;
        assert!((estimate / 200_000.0 - 1.0).abs() < 0.03, "{estimate}");
        assert!(report.is_sound, "p={}", report.ratio_p);
    }

    #[test]
    fn what_two_nodes_counted_is_what_one_would_have() {
        let (one, two, both) = (Tallies::default(), Tallies::default(), Tallies::default());
        for (number, user) in (0..150_000).map(|number| (number, user(number))) {
            let arm = experiment(1).arm_of(&user).unwrap().name.clone();
            // Every tenth listener is served by both.
            let here = match number % 20 {
                0 | 10 => [true, true],
                odd => [odd % 2 == 1, odd % 2 == 0],
            };
            for (tallies, _) in [&one, &two].into_iter().zip(here).filter(|(_, serves)| *serves) {
                tallies.served(&experiment(1), &arm, &user);
                both.served(&experiment(1), &arm, &user);
            }
        }
        one.dropped(&experiment(1));
        both.dropped(&experiment(1));
        let counted = |tallies: &Tallies| tallies.counted(&experiment(1).surface, 1);
        let mut sum = counted(&one);
        sum.add(&counted(&two));
        assert_eq!(sum, counted(&both));
        assert_eq!((sum.requests.iter().sum::<u64>(), sum.dropped), (165_000, 1));
        assert!(sum.listeners.level > 0, "more listeners than are kept");
        assert_eq!(sum.report(experiment(1), true, Vec::new()), report(&both, experiment(1)));
    }

    #[test]
    fn a_new_version_counts_from_nothing_and_an_old_one_no_more() {
        let tallies = Tallies::default();
        let tracks = |ids: &[&str]| ids.iter().map(|id| TrackId::new(*id).unwrap()).collect::<Vec<_>>();
        tallies.compared(&experiment(1), &tracks(&["a", "b", "c"]), &tracks(&["b", "x", "c"]));
        tallies.compared(&experiment(1), &tracks(&["a", "b", "c"]), &tracks(&["a", "b", "d"]));
        tallies.dropped(&experiment(1));
        tallies.failed(&experiment(1));
        let shadow = report(&tallies, experiment(1)).shadow.unwrap();
        assert_eq!((shadow.lists, shadow.same, shadow.dropped, shadow.failed), (2, 1, 1, 1));
        assert_eq!(shadow.overlap, Some(0.75), "half of two, and two of two");
        assert!(shadow.rank_biased_overlap.unwrap() > 0.5);
        serve(&tallies, &experiment(2), 10, u64::MAX);
        serve(&tallies, &experiment(1), 10, u64::MAX);
        let requests = |version| -> u64 {
            report(&tallies, experiment(version)).arms.iter().map(|arm| arm.requests).sum()
        };
        assert_eq!((requests(1), requests(2)), (0, 20));
        assert_eq!(report(&tallies, experiment(2)).shadow.unwrap().overlap, None);
    }
}
