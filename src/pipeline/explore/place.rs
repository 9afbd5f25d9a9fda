//! How many slots explore and which.

use super::{Stream, rng};

/// The first slots of a list, which never explore. A list of at most so many tracks does not explore at all.
pub const SAFE_SLOTS: usize = 3;

/// `rate·n` rounded up or down at random so that its mean is exact: plain rounding down would give a list of 10 at
/// rate 0.08 no exploration, ever. At most `n − 3`, since the first three slots are safe; so for `n` below 6 and
/// high rates the long-run share is lower than the rate, and 0 for `n` ≤ 3.
#[must_use]
pub fn exploration_count(rate: f64, n: usize, seed: u64) -> usize {
    let expected = rate.max(0.0) * n as f64;
    let rounded = (expected + rng(seed, Stream::Count).uniform()).floor() as usize;
    rounded.min(n.saturating_sub(SAFE_SLOTS))
}

/// Which of `n` slots explore: `count` of them (at most `n − 3`), none of the first three, spread evenly by error
/// diffusion with a random phase. A fixed rule such as "from slot 3 on, every fourth" holds 7 slots of 30 and could
/// never serve a rate of 0.45.
#[must_use]
pub fn place(n: usize, count: usize, seed: u64) -> Vec<bool> {
    let open = n.saturating_sub(SAFE_SLOTS);
    let count = count.min(open);
    // In units of 1/(2³² · open) slots, so that exactly `count` are set whatever the phase.
    let one = (open as u128) << 32;
    let mut error = (u128::from(rng(seed, Stream::Phase).next_u64() >> 32)) * open as u128;
    let mut slots = vec![false; n];
    for slot in slots.iter_mut().skip(SAFE_SLOTS) {
        error += (count as u128) << 32;
        if error >= one {
            error -= one;
            *slot = true;
        }
    }
    slots
}

/// The order of a list that is not sequenced: `main` and `explored`, each in its own order, in the slots [`place`]
/// gave. When one of them ends early, the other fills the rest.
#[must_use]
pub fn fill_slots<T: Copy>(main: &[T], explored: &[T], slots: &[bool]) -> Vec<T> {
    let (mut main, mut explored) = (main.iter().copied(), explored.iter().copied());
    let mut list: Vec<T> = slots
        .iter()
        .map_while(|&slot| {
            if slot {
                explored.next().or_else(|| main.next())
            } else {
                main.next().or_else(|| explored.next())
            }
        })
        .collect();
    list.extend(main.chain(explored));
    list
}
