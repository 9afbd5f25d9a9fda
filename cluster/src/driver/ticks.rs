//! Ticks that came late.

use std::time::Duration;

/// Ticks made up for after a pause; the rest is forgotten, or a pause of this thread would look to
/// Raft like the silence of a leader.
const CATCH_UP_TICKS: u32 = 2;

/// How many ticks are made up for at `now` when the next was due at `next`, and when the next one is.
pub(super) fn ticks_due(mut next: Duration, now: Duration, tick: Duration) -> (u32, Duration) {
    let mut ticks = 0;
    while next <= now && ticks < CATCH_UP_TICKS {
        next += tick;
        ticks += 1;
    }
    (ticks, if next <= now { now + tick } else { next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_made_up_for_by_two_ticks_however_long_it_was() {
        let ms = Duration::from_millis;
        let due = |next, now| ticks_due(ms(next), ms(now), ms(100));
        assert_eq!(due(1_000, 999), (0, ms(1_000)));
        assert_eq!(due(1_000, 1_000), (1, ms(1_100)));
        assert_eq!(due(1_000, 1_099), (1, ms(1_100)));
        assert_eq!(due(1_000, 1_150), (2, ms(1_200)));
        // What was slept through longer than that is forgotten: the silence was this thread's, not a leader's.
        assert_eq!(due(1_000, 1_200), (2, ms(1_300)));
        assert_eq!(due(1_000, 61_000), (2, ms(61_100)));
    }
}
