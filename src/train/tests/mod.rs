//! Tests of the trainer on planted data, on files and, where it is installed, on the reference data.
#![expect(clippy::unwrap_used, reason = "tests")]

mod files;
mod reference;
mod solving;
mod weighing;

use super::*;
use crate::types::*;

/// Two groups of users who play two groups of items, each pair with chance 0.4; some skips across the groups.
fn two_tastes(seed: u64) -> Vec<Play> {
    let mut rng = SplitMix64::new(seed);
    let mut plays = Vec::new();
    for user in 0..60_u32 {
        for item in 0..80_u32 {
            let same = user % 2 == item % 2;
            let chance = rng.uniform();
            if same && chance < 0.4 {
                plays.push(play(user, item, PlayAction::Play, 180_000, rng.below(100) as i64));
            } else if !same && chance < 0.05 {
                plays.push(play(user, item, PlayAction::Skip, 5_000, rng.below(100) as i64));
            }
        }
    }
    plays
}

fn play(user: u32, item: u32, action: PlayAction, listened_ms: u32, days_ago: i64) -> Play {
    Play {
        user_id: UserId::new(format!("u{user:02}")).unwrap(),
        track_id: TrackId::new(format!("t{item:02}")).unwrap(),
        played_at: NOW.minus_days(days_ago),
        listened_ms,
        action,
    }
}

const NOW: Timestamp = Timestamp(1_793_491_200_000);

fn params() -> WeightParams {
    WeightParams { half_life_days: 62.4, reference_time: NOW }
}

fn small() -> AlsParams {
    AlsParams { dim: 12, alpha0: 0.1, lambda: 0.05, alpha: 0.5, sweeps: 8, ..AlsParams::default() }
}

fn score(model: &AlsModel, user: usize, track: usize) -> f32 {
    model.user(user).iter().zip(model.track(track)).map(|(a, b)| a * b).sum()
}
