//! Sends what `raft` logs through `slog` to `tracing`.
//!
//! Raft tells every step of an election at `info`; that is `debug` here, because a node's own state
//! changes are reported by the driver.

use slog::{Drain, KV, Key, Level, Logger, OwnedKVList, Record, Serializer};

use crate::ids::GroupId;

/// Returns a logger for one group.
pub(crate) fn logger(group: GroupId) -> Logger {
    Logger::root(ToTracing { group }, slog::o!())
}

struct ToTracing {
    group: GroupId,
}

impl Drain for ToTracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, context: &OwnedKVList) -> Result<(), slog::Never> {
        let group = self.group;
        match record.level() {
            Level::Critical | Level::Error => {
                tracing::error!(target: "raft", %group, values = values(record, context), "{}", record.msg());
            }
            Level::Warning => {
                tracing::warn!(target: "raft", %group, values = values(record, context), "{}", record.msg());
            }
            Level::Info | Level::Debug if tracing::enabled!(target: "raft", tracing::Level::DEBUG) => {
                tracing::debug!(target: "raft", %group, values = values(record, context), "{}", record.msg());
            }
            Level::Trace if tracing::enabled!(target: "raft", tracing::Level::TRACE) => {
                tracing::trace!(target: "raft", %group, values = values(record, context), "{}", record.msg());
            }
            Level::Info | Level::Debug | Level::Trace => {}
        }
        Ok(())
    }
}

/// Writes the values of a record as `key=value` words.
fn values(record: &Record<'_>, context: &OwnedKVList) -> String {
    let mut words = Words(String::new());
    let written =
        record.kv().serialize(record, &mut words).and_then(|()| context.serialize(record, &mut words));
    match written {
        Ok(()) => words.0,
        Err(error) => format!("{} (values cut off: {error})", words.0),
    }
}

struct Words(String);

impl Serializer for Words {
    fn emit_arguments(&mut self, key: Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        use std::fmt::Write as _;

        let gap = if self.0.is_empty() { "" } else { " " };
        write!(self.0, "{gap}{key}={value}")?;
        Ok(())
    }
}
