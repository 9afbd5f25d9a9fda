//! Who is in which arm, and which requests the shadow is asked as well: hashes, so that nobody has to be asked.

use serde::{Deserialize, Serialize};

use super::document::{Arm, Experiment, Shadow};
use crate::types::UserId;

/// The arm a list was made in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// `name@version` of the experiment.
    pub experiment: String,
    /// The arm's name.
    pub arm: String,
}

/// A point that is even over all numbers for ids of which nothing is known, and independent for two salts: the first eight
/// bytes of BLAKE3 over the salt's length, the salt and the id. Part of what experiments mean: never change it.
#[must_use]
pub fn point(salt: &str, id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(salt.len() as u64).to_le_bytes());
    hasher.update(salt.as_bytes());
    hasher.update(id.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

impl Experiment {
    /// The arm a listener is in; none when there are no arms. The last arm has the lowest points, so that the second of
    /// two arms is the second part of `segue eval split` with the same salt.
    #[must_use]
    pub fn arm_of(&self, user: &UserId) -> Option<&Arm> {
        let total: u128 = self.arms.iter().map(|arm| u128::from(arm.weight)).sum();
        let mut left = (u128::from(point(self.salt(), user.as_str())) * total) >> 64;
        for arm in self.arms.iter().rev() {
            if left < u128::from(arm.weight) {
                return Some(arm);
            }
            left -= u128::from(arm.weight);
        }
        None
    }

    /// The shadow, when it is asked the request of this id as well.
    #[must_use]
    pub fn shadow_of(&self, request_id: &str) -> Option<&Shadow> {
        let shadow = self.shadow.as_ref()?;
        // 53 bits: every value is a number that a double holds.
        let uniform =
            (point(&format!("shadow/{}", self.salt()), request_id) >> 11) as f64 / (1_u64 << 53) as f64;
        (uniform < shadow.share).then_some(shadow)
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::experiment;
    use super::super::ratio::{RATIO_P_MIN, sample_ratio};
    use super::*;

    const USERS: u64 = 10_000;

    fn user(number: u64) -> UserId {
        UserId::new(format!("u{number}")).expect("valid")
    }

    fn with(salt: &str, weights: &[u32]) -> Experiment {
        let arm = |(place, weight): (usize, &u32)| Arm {
            name: format!("arm-{place}"),
            recipe: "radio@1".into(),
            weight: *weight,
        };
        let arms = weights.iter().enumerate().map(arm).collect();
        Experiment { salt: Some(salt.into()), arms, ..experiment() }
    }

    fn place(experiment: &Experiment, number: u64) -> usize {
        let arm = experiment.arm_of(&user(number)).expect("there are arms");
        experiment.arms.iter().position(|other| other == arm).expect("one of them")
    }

    #[test]
    fn arms_have_their_shares_of_ten_thousand_listeners() {
        for weights in [vec![1, 1], vec![9, 1], vec![50, 30, 20], vec![1; 16], vec![1_000_000, 1_000_000, 1]]
        {
            let experiment = with("shares", &weights);
            let mut counts = vec![0_u64; weights.len()];
            (0..USERS).for_each(|number| counts[place(&experiment, number)] += 1);
            let cells: Vec<(u64, f64)> =
                counts.iter().zip(&weights).map(|(&count, &weight)| (count, f64::from(weight))).collect();
            assert!(sample_ratio(&cells) >= RATIO_P_MIN, "{weights:?}: {counts:?}");
            if weights.len() == 2 {
                let share = f64::from(weights[1]) / f64::from(weights[0] + weights[1]);
                let spread = 4.0 * (USERS as f64 * share * (1.0 - share)).sqrt();
                assert!((counts[1] as f64 - USERS as f64 * share).abs() < spread, "{counts:?}");
            }
        }
    }

    #[test]
    fn splits_of_two_salts_are_independent() {
        let (a, b) = (with("a", &[1, 1]), with("b", &[3, 1]));
        let mut cells = [[0_u64; 2]; 2];
        (0..USERS).for_each(|number| cells[place(&a, number)][place(&b, number)] += 1);
        let flat: Vec<(u64, f64)> = cells.iter().flatten().copied().zip([3.0, 1.0, 3.0, 1.0]).collect();
        assert!(sample_ratio(&flat) >= RATIO_P_MIN, "{cells:?}");
    }

    #[test]
    fn a_listener_stays_and_moves_only_where_a_weight_grows() {
        let (before, after) = (with("stay", &[9, 1]), with("stay", &[8, 2]));
        for number in 0..2_000 {
            assert_eq!(place(&before, number), place(&with("stay", &[9, 1]), number));
            assert!(place(&before, number) <= place(&after, number), "nobody leaves the arm that grows");
        }
        assert_eq!(Experiment { arms: Vec::new(), ..experiment() }.arm_of(&user(1)), None);
    }

    #[test]
    fn points_never_change() {
        assert_eq!(point("arc", "u1"), FROZEN);
        assert_ne!(point("ab", "c"), point("a", "bc"), "the salt's end counts");
    }

    const FROZEN: u64 = 6_314_816_477_604_655_734;

    #[test]
    fn the_shadow_is_asked_its_share_of_requests_whatever_the_arm() {
        let experiment = experiment();
        let asked = |request: u64| experiment.shadow_of(&format!("r{request}")).is_some();
        let count = (0..USERS).filter(|&request| asked(request)).count() as u64;
        assert!(sample_ratio(&[(USERS - count, 3.0), (count, 1.0)]) >= RATIO_P_MIN, "{count}");
        let all =
            Experiment { shadow: Some(Shadow { share: 1.0, ..shadow(&experiment) }), ..experiment.clone() };
        assert!((0..100).all(|request| all.shadow_of(&format!("r{request}")).is_some()));
        assert!(Experiment { shadow: None, ..experiment }.shadow_of("r1").is_none());
    }

    fn shadow(experiment: &Experiment) -> Shadow {
        experiment.shadow.clone().expect("has one")
    }
}
