//! Which log entries the other nodes know: an entry that a program of before does not know stops its replica, so that new
//! ones are written only once every node has said that it reads them.
//!
//! While nodes are upgraded one after another, and until each has been asked, events are recorded as earlier programs do.

use std::collections::BTreeMap;
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

/// What the other nodes have said that they read: the version of entries of user shards.
#[derive(Default)]
pub(super) struct EntryReaders(Mutex<BTreeMap<StoreId, u16>>);

impl Inner {
    /// What this node reads.
    pub(super) fn answer_entries() -> Result<Bytes> {
        Ok(codec::encode(VERSION, &UserCommand::VERSION)?.into())
    }

    /// The newest version of entries that every node reads, as far as they have said.
    pub(super) fn known_entries(&self) -> u16 {
        let Some(peers) = &self.peers else { return UserCommand::VERSION };
        let Ok(cluster) = peers.cluster() else { return UserCommand::FIRST_VERSION };
        let known = self.entry_readers.0.lock();
        let others = cluster.others();
        let of = |store| known.get(store).copied().unwrap_or(UserCommand::FIRST_VERSION);
        others.iter().map(of).fold(UserCommand::VERSION, u16::min)
    }

    /// Asks those nodes that have not said yet that they know the newest.
    pub(super) fn ask_for_entries(&self) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let cluster = peers.cluster()?;
        let others = cluster.others();
        self.entry_readers.0.lock().retain(|store, _| others.contains(store));
        for to in others {
            let known = self.entry_readers.0.lock().get(&to).copied();
            if known.is_some_and(|version| version >= UserCommand::VERSION) {
                continue;
            }
            let call = Call { to, topic: ENTRIES, request: Bytes::new(), timeout: TIMEOUT };
            // One that is down, or of before, is asked again.
            let Ok(answer) = cluster.call(call) else { continue };
            self.entry_readers.0.lock().insert(to, codec::decode(VERSION, &answer)?);
        }
        Ok(())
    }
}
