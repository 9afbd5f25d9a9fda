//! When a second holder of a shard is asked beside one that is slow, and how often that may happen: hedged requests (Dean and
//! Barroso, The Tail at Scale, 2013).
//!
//! A holder is given as long as 95 of its last 100 answers of this kind took. Whoever is slower is not waited for alone. The budget
//! keeps that from making a busy cluster busier: every request earns a tenth of a hedge, and a few may be saved up, so that
//! the requests under way are not all lost when a holder stops.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use segue_cluster::StoreId;

/// Answers that are remembered of each holder and kind.
const WINDOW: usize = 100;
/// So many of them must have come before they say anything.
const KNOWN: usize = 10;
/// The share of them, in percent, that were no slower than the delay.
const PERCENTILE: usize = 95;
/// A holder is always given so long: below it is the noise of threads that wake.
const DELAY_MIN: Duration = Duration::from_millis(5);
/// And never longer, however slow it was.
const DELAY_MAX: Duration = Duration::from_millis(500);
/// What a holder is given that nobody knows yet.
const DELAY_UNKNOWN: Duration = Duration::from_millis(150);
/// Hedges a request earns, in hundredths.
const EARNED: u32 = 10;
/// Hedges that are saved up at most, in hundredths.
const SAVED_MAX: u32 = 32 * HEDGE;
/// What one costs.
const HEDGE: u32 = 100;

/// What is asked; each takes a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A record, a number.
    Small,
    /// A page of many rows.
    Page,
    /// A look through the tracks of a shard.
    Search,
    /// A whole request about a listener.
    Request,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Page => "page",
            Self::Search => "search",
            Self::Request => "request",
        }
    }
}

/// How fast holders answer, and the budget.
#[derive(Debug, Default)]
pub(super) struct Pace {
    recent: Mutex<BTreeMap<(StoreId, Kind), Recent>>,
    saved: Mutex<Saved>,
}

/// The last answers of one holder, in microseconds, the oldest overwritten first.
#[derive(Debug, Default)]
struct Recent {
    micros: Vec<u32>,
    next: usize,
}

/// Hundredths of hedges that may be made.
#[derive(Debug)]
struct Saved(u32);

impl Default for Saved {
    fn default() -> Self {
        Self(SAVED_MAX)
    }
}

impl Recent {
    fn add(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.micros.len() < WINDOW {
            self.micros.push(micros);
        } else {
            self.micros[self.next] = micros;
        }
        self.next = (self.next + 1) % WINDOW;
    }

    fn delay(&self) -> Duration {
        if self.micros.len() < KNOWN {
            return DELAY_UNKNOWN;
        }
        let mut sorted = self.micros.clone();
        let at = (sorted.len() * PERCENTILE).div_ceil(100) - 1;
        let (_, micros, _) = sorted.select_nth_unstable(at);
        Duration::from_micros((*micros).into()).clamp(DELAY_MIN, DELAY_MAX)
    }
}

impl Pace {
    /// A request begins: what it earns.
    pub(super) fn began(&self, kind: Kind) {
        counter!("segue_far_reads_total", "kind" => kind.label()).increment(1);
        let mut saved = self.saved.lock();
        saved.0 = (saved.0 + EARNED).min(SAVED_MAX);
    }

    /// How long a holder is waited for alone.
    pub(super) fn delay(&self, holder: StoreId, kind: Kind) -> Duration {
        self.recent.lock().get(&(holder, kind)).map_or(DELAY_UNKNOWN, Recent::delay)
    }

    /// A holder answered, or was waited for so long in vain.
    pub(super) fn took(&self, holder: StoreId, kind: Kind, took: Duration) {
        self.recent.lock().entry((holder, kind)).or_default().add(took);
    }

    /// Whether one more holder may be asked beside a slow one; then it has been paid for.
    pub(super) fn may_hedge(&self, kind: Kind) -> bool {
        let mut saved = self.saved.lock();
        let may = saved.0 >= HEDGE;
        if may {
            saved.0 -= HEDGE;
        }
        let outcome = if may { "asked" } else { "refused" };
        counter!("segue_far_hedges_total", "kind" => kind.label(), "outcome" => outcome).increment(1);
        may
    }

    /// The second holder's answer came first.
    pub(super) fn won(&self, kind: Kind) {
        counter!("segue_far_hedges_total", "kind" => kind.label(), "outcome" => "won").increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: StoreId = StoreId(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_holder_is_given_as_long_as_most_of_its_answers_took() {
        let pace = Pace::default();
        assert_eq!(pace.delay(ONE, Kind::Small), DELAY_UNKNOWN);
        (0..9).for_each(|_| pace.took(ONE, Kind::Small, ms(20)));
        assert_eq!(pace.delay(ONE, Kind::Small), DELAY_UNKNOWN, "too few to say anything");
        pace.took(ONE, Kind::Small, ms(20));
        assert_eq!(pace.delay(ONE, Kind::Small), ms(20));
        assert_eq!(pace.delay(ONE, Kind::Request), DELAY_UNKNOWN, "another kind");
        assert_eq!(pace.delay(StoreId(2), Kind::Small), DELAY_UNKNOWN, "another holder");
        // The slowest five of a hundred do not count, the sixth does.
        (0..100).for_each(|_| pace.took(ONE, Kind::Small, ms(20)));
        (0..5).for_each(|_| pace.took(ONE, Kind::Small, ms(90)));
        assert_eq!(pace.delay(ONE, Kind::Small), ms(20));
        pace.took(ONE, Kind::Small, ms(90));
        assert_eq!(pace.delay(ONE, Kind::Small), ms(90));
        // What is long past is forgotten.
        (0..100).for_each(|_| pace.took(ONE, Kind::Small, ms(30)));
        assert_eq!(pace.delay(ONE, Kind::Small), ms(30));
    }

    #[test]
    fn the_delay_has_a_floor_and_a_ceiling() {
        let pace = Pace::default();
        (0..100).for_each(|_| pace.took(ONE, Kind::Small, Duration::from_micros(80)));
        assert_eq!(pace.delay(ONE, Kind::Small), DELAY_MIN);
        (0..100).for_each(|_| pace.took(ONE, Kind::Small, Duration::from_secs(9_000)));
        assert_eq!(pace.delay(ONE, Kind::Small), DELAY_MAX);
    }

    #[test]
    fn hedges_are_a_tenth_of_the_requests_and_what_was_saved_up() {
        let pace = Pace::default();
        let asked = |requests: usize| {
            let ask = |_: &usize| {
                pace.began(Kind::Request);
                pace.may_hedge(Kind::Request)
            };
            (0..requests).filter(ask).count()
        };
        // Every request would hedge: what was saved up goes first, then one in ten may.
        assert_eq!(asked(1_000), 32 + 100 - 1, "the first request finds everything saved and earns nothing");
        assert_eq!(asked(1_000), 100);
        // A quiet time saves up again, not without end.
        (0..100_000).for_each(|_| pace.began(Kind::Small));
        assert_eq!(asked(100), 32 + 10 - 1);
    }
}
