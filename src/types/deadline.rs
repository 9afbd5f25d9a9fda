//! Until when a caller waits. It never decides what an answer holds, only whether there is one.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Until when a caller waits; for ever by default.
///
/// A query looks at it between its stages and between segments. Once it has passed the query ends with
/// [`Error::Timeout`]: a caller gets the whole answer or none, never a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline {
    end: Option<Instant>,
    /// What the caller allowed, for the error.
    ms: u64,
}

impl Deadline {
    /// No limit.
    pub const NEVER: Self = Self { end: None, ms: 0 };

    /// So long from now; a time beyond the clock's range is no limit.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { end: Instant::now().checked_add(timeout), ms }
    }

    /// What is left; `None` = no limit.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// The error that says so.
    #[must_use]
    pub fn error(&self) -> Error {
        Error::Timeout { ms: self.ms }
    }

    /// Goes on while there is time. Cost: one look at the clock, none without a limit.
    ///
    /// # Errors
    /// `Timeout` once it has passed.
    pub fn check(&self) -> Result<()> {
        if self.passed() { Err(self.error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_and_none_never_does() {
        assert_eq!(Deadline::NEVER.left(), None);
        assert!(Deadline::NEVER.check().is_ok() && Deadline::default() == Deadline::NEVER);
        let passed = Deadline::after(Duration::ZERO);
        assert!(matches!(passed.check(), Err(Error::Timeout { ms: 0 })));
        let later = Deadline::after(Duration::from_secs(3_600));
        assert!(later.check().is_ok() && later.left() > Some(Duration::from_secs(3_500)));
        assert!(!Deadline::after(Duration::MAX).passed());
    }
}
