//! Judging a training run on pairs it did not see: one pair in five is held out by a hash of its ids (EVAL.md's split), so
//! that everybody who runs it holds out the same ones.

use std::collections::HashSet;

use rayon::prelude::*;

use super::metrics::{RankingEval, RankingReport, in_hash_split_test, top_k};
use crate::error::Result;
use crate::train::{AlsModel, Interactions};
use crate::types::key_of;

/// Pairs to train on and pairs to judge by.
pub struct HoldOut {
    /// Four fifths of the pairs.
    pub train: Interactions,
    /// Liked pairs that were held out, of listeners with any pair to train on.
    pub pairs: u64,
    /// Held-out items by row of `train`'s users. Items that nobody else has are among them: no model can find those.
    held_out: Vec<HashSet<String>>,
}

impl HoldOut {
    /// Splits. A disliked pair of the held-out fifth is neither trained on nor looked for; so are the pairs of a listener
    /// all of whose pairs are held out.
    ///
    /// # Errors
    /// `InvalidField` when nothing is left to train on.
    pub fn split(data: &Interactions) -> Result<Self> {
        let (users, items) = (data.users(), data.items());
        let train = data.filtered(|user, item| !is_held_out(&users[user], &items[item]))?;
        let mut held_out = vec![HashSet::new(); train.users().len()];
        let mut pairs = 0;
        for (user, id) in users.iter().enumerate() {
            let Ok(row) = train.users().binary_search(id) else { continue };
            for (item, _, liked) in data.of_user(user) {
                if liked && is_held_out(id, &items[item]) {
                    held_out[row].insert(items[item].clone());
                    pairs += 1;
                }
            }
        }
        Ok(Self { train, pairs, held_out })
    }

    /// Ranks all items of the model but those a listener was trained on by exact inner product, and judges the first `k`.
    /// Costs `users · items · dim`.
    #[must_use]
    pub fn judge(&self, model: &AlsModel, k: usize) -> RankingReport {
        let list = |user: usize| -> Vec<String> {
            let known: HashSet<usize> = self.train.of_user(user).map(|(item, ..)| item).collect();
            let vector = model.user(user);
            let scored = (0..model.track_ids.len())
                .filter(|item| !known.contains(item))
                .map(|item| (item, vector.iter().zip(model.track(item)).map(|(a, b)| a * b).sum()));
            top_k(scored, k).into_iter().map(|item| model.track_ids[item].clone()).collect()
        };
        let judged = |user: &usize| !self.held_out[*user].is_empty();
        let users: Vec<usize> = (0..self.held_out.len()).filter(judged).collect();
        let lists: Vec<Vec<String>> = users.par_iter().map(|&user| list(user)).collect();
        let mut eval = RankingEval::new(k);
        for (user, list) in users.iter().zip(&lists) {
            eval.add(list, &self.held_out[*user]);
        }
        eval.report(model.track_ids.len())
    }
}

/// Ids that are numbers are hashed as such, which is the published split; others by their text.
fn is_held_out(user: &str, item: &str) -> bool {
    match (user.parse(), item.parse()) {
        (Ok(user), Ok(item)) => in_hash_split_test(user, item),
        _ => key_of(&format!("{user}\n{item}")).is_multiple_of(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{AlsParams, InteractionsBuilder, WeightParams, train_als};
    use crate::types::SplitMix64;

    /// Two groups of listeners, each of whom likes half of the forty items of the group.
    fn two_groups() -> Interactions {
        let mut rng = SplitMix64::new(1);
        let mut builder = InteractionsBuilder::new(WeightParams::timeless()).expect("valid");
        for user in 0..80 {
            for item in (user % 2..80).step_by(2).filter(|_| rng.uniform() < 0.5) {
                builder.add_pair(&format!("u{user}"), &format!("t{item:02}"));
            }
        }
        builder.build().expect("pairs")
    }

    #[test]
    fn a_fifth_is_held_out_and_what_is_trained_on_is_not() {
        let data = two_groups();
        let parts = HoldOut::split(&data).expect("pairs are left");
        assert_eq!(parts.pairs as usize + parts.train.pairs(), data.pairs());
        let share = parts.pairs as f64 / data.pairs() as f64;
        assert!((0.16..0.24).contains(&share), "{share}");
        for (row, id) in parts.train.users().iter().enumerate() {
            for (item, ..) in parts.train.of_user(row) {
                let item = &parts.train.items()[item];
                assert!(!parts.held_out[row].contains(item), "{id} {item}");
            }
        }
    }

    #[test]
    fn a_model_of_the_groups_is_far_better_than_chance() {
        let parts = HoldOut::split(&two_groups()).expect("pairs are left");
        let params = AlsParams { dim: 4, sweeps: 6, lambda: 0.05, ..AlsParams::default() };
        let model = train_als(&parts.train, &params, &mut |_| {}).expect("trained");
        let report = parts.judge(&model, 10);
        // About four held-out items a listener among 24 unknown ones of the own group and 40 of the other: by chance a
        // precision of 4/64 over all, 4/24 within the group.
        assert_eq!(report.users, 80);
        assert!(report.precision > 0.13, "{report:?}");
        assert!(report.recall > 0.3, "{report:?}");
    }

    #[test]
    fn numbers_are_split_as_published_and_texts_by_their_own_hash() {
        let numbers = (0..1_000).filter(|i| is_held_out("7", &i.to_string())).count();
        assert_eq!(numbers, (0..1_000).filter(|&i| in_hash_split_test(7, i)).count());
        let texts = (0..1_000).filter(|i| is_held_out("u7", &format!("t{i}"))).count();
        assert!((160..240).contains(&texts), "{texts}");
    }
}
