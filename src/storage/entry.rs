//! A committed log entry as the state machines take it, and where a state stands in its log.

/// One committed entry.
#[derive(Debug, Clone, Copy)]
pub struct LogEntry<'a> {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// An encoded command.
    pub data: &'a [u8],
}

/// The newest entry in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppliedAt {
    /// Its index; 0 when there is none.
    pub index: u64,
    /// Its term.
    pub term: u64,
}
