//! The steps of a split as the logs of both shards say them; what each does: [`super::parting`].

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::command::{UserCommand, UserOp};
use super::split::ImportPlace;
use crate::types::SpaceName;

/// A step of a split, in the log of one of the two shards.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum SplitOp {
    /// From here on the shard notes what changes in its slots from one on, which a new shard is to get.
    BeginSplit {
        /// The new shard.
        child: u16,
        /// Its first slot.
        at: u16,
    },
    /// From here on these slots take no writes.
    FreezeSplit {
        /// The new shard.
        child: u16,
    },
    /// The new shard has everything, and counts so much.
    HandOver {
        /// The new shard.
        child: u16,
        /// Listeners.
        users: u64,
        /// Vectors by space and generation.
        vectors: Vec<(SpaceName, u32, u64)>,
    },
    /// The new shard serves: rows of its slots mean nothing here any more.
    ReleaseSplit {
        /// The new shard.
        child: u16,
    },
    /// The shard is a new one, and gets its rows from another one.
    BeginImport {
        /// Which.
        parent: u16,
        /// One past the last slot of the new shard.
        end: u16,
    },
    /// Rows of the other shard, as they are stored.
    Import {
        /// The number of the batch: it is taken if it is the next one, else nothing is done.
        step: u64,
        /// Keys and values; `None`: there is no such row any more. Each key once.
        rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        /// What has been taken with it.
        place: ImportPlace,
    },
    /// All rows are here: the shard takes writes.
    EndImport {
        /// The number of the batch that would be next; otherwise nothing is done.
        step: u64,
        /// The newest day with a counted play of the other shard.
        newest_day: Option<i32>,
    },
}

impl From<SplitOp> for UserOp {
    fn from(step: SplitOp) -> Self {
        Self::Split(Box::new(step))
    }
}

impl From<SplitOp> for UserCommand {
    fn from(step: SplitOp) -> Self {
        UserOp::from(step).into()
    }
}
