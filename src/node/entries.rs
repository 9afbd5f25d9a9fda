//! Which log entries the other nodes know: an entry that a program of before does not know stops its replica, so that new
//! ones are written only once every node has said that it reads them.
//!
//! While nodes are upgraded one after another, and until each has been asked, events are recorded as earlier programs do.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use segue_cluster::{Call, StoreId};

use super::engine::Inner;
use crate::error::Result;
use crate::storage::codec;
use crate::storage::user_shard::UserCommand;

/// The call between nodes, and the version of what it carries.
pub(super) const ENTRIES: u32 = 10;
const VERSION: u16 = 1;
/// How long another node may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The other nodes that have said that they read what this one may write.
#[derive(Default)]
pub(super) struct EntryReaders(Mutex<BTreeSet<StoreId>>);

impl Inner {
    /// What this node reads: the version of entries of user shards.
    pub(super) fn answer_entries() -> Result<Bytes> {
        Ok(codec::encode(VERSION, &UserCommand::VERSION)?.into())
    }

    /// Whether every node reads what this one may write.
    pub(super) fn all_know_entries(&self) -> bool {
        let Some(peers) = &self.peers else { return true };
        let Ok(cluster) = peers.cluster() else { return false };
        let known = self.entry_readers.0.lock();
        cluster.others().iter().all(|store| known.contains(store))
    }

    /// Asks those nodes that have not said yet that they know them.
    pub(super) fn ask_for_entries(&self) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let cluster = peers.cluster()?;
        let others = cluster.others();
        self.entry_readers.0.lock().retain(|store| others.contains(store));
        for to in others {
            if self.entry_readers.0.lock().contains(&to) {
                continue;
            }
            let call = Call { to, topic: ENTRIES, request: Bytes::new(), timeout: TIMEOUT };
            // One that is down, or of before, is asked again.
            let Ok(answer) = cluster.call(call) else { continue };
            if codec::decode::<u16>(VERSION, &answer)? >= UserCommand::VERSION {
                self.entry_readers.0.lock().insert(to);
            }
        }
        Ok(())
    }
}
