//! The Raft log of all groups of a node: one write and one fsync for all of them per turn.
//!
//! * [`store`]: what a log store does, in bytes of Raft ([`store::LogStore`]).
//! * [`engine_log`]: the store on `raft-engine`. [`engine_files`]: the files under it; remembers a
//!   failed fsync. [`scan`]: what is wrong with those files, before the engine sees them. [`header`]: what
//!   they begin with; what becomes of a file that was only begun.
//! * `memory_log`: the same store in memory, for simulation and as the model in tests.
//! * [`group_log`]: one group's view, `raft::Storage`. [`recover`]: the checks that make one.
//!
//! # Recovery: what is tolerated, and why
//!
//! `raft-engine` has three recovery modes. *Absolute consistency* refuses a log after every crash,
//! because a torn last record is the normal mark of one. *Tolerate any corruption* deletes from the
//! middle. *Tolerate tail corruption* cuts the newest file at its first bad record, which is right for
//! a torn write but also silently drops every intact, acknowledged record behind a flipped bit in that
//! file, and it checks the bytes of entries only in the last record.
//!
//! So [`scan`] reads the files first, checks every record whole, and tells the cases apart:
//!
//! | found | meaning | result |
//! |---|---|---|
//! | zeros to the end of the newest file | space allocated ahead | nothing to report |
//! | a newest file without its header | a creation cut short | it is removed, and the one before it is the newest ([`header`]) |
//! | a bad record in the newest file, none intact behind it | a write cut short, never acknowledged | dropped, reported in `OpenReport` |
//! | a bad record with an intact one behind it, or in an older file | damage | [`LogError::Damaged`](crate::LogError::Damaged) |
//! | files differ from the `closed` mark of an orderly shutdown | damage | [`LogError::ChangedSinceClose`](crate::LogError::ChangedSinceClose) |
//!
//! After that the engine runs with *tolerate tail corruption* and cuts exactly what was reported. This
//! is sound only because a record is fsynced before the next is written: the Raft thread alone writes
//! to the append queue and always synced, and [`engine_files`] syncs every write to the rewrite queue.
//!
//! One case cannot be seen: after a crash (no `closed` mark), damage inside the very last record looks
//! like a torn write, and a file cut exactly between two records looks like a shorter log.
//!
//! # Absent on purpose
//!
//! No cache shared between stores: the engine keeps a block cache per *thread*, keyed by file number and
//! offset only, so a thread must never read from two engines. All reads happen on threads that belong
//! to one node.

pub(crate) mod engine_files;
pub(crate) mod engine_log;
pub(crate) mod group_log;
pub(crate) mod header;
#[cfg(test)]
pub(crate) mod memory_log;
pub(crate) mod recover;
pub(crate) mod scan;
pub(crate) mod store;

#[cfg(test)]
mod tests;
