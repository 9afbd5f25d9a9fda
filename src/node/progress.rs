//! How far user shards have come that move, and how large each is: every node says it of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use segue_cluster::{Call, Cluster, ClusterStatus, GroupId, StoreId};

use super::engine::Inner;
use super::everyone::ask_each;
use super::open::USERS;
use super::tend::Place;
use crate::error::Result;
use crate::storage::codec;

/// The call between nodes, and the version of what it carries.
pub(super) const PLACES: u32 = 6;
const VERSION: u16 = 1;
/// How long another node may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for the thread that moves shards.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a node says of its replica of one user shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub is_coming: bool,
    pub is_leaving: bool,
    /// Of its files.
    pub bytes: u64,
    /// Of the snapshot it is fetching, and how many of them are here.
    pub copy_bytes: u64,
    pub copied_bytes: u64,
    /// Since it began to come.
    pub elapsed_ms: u64,
}

/// The same on the wire: shard, 0 serving, 1 coming or 2 leaving, and the numbers in their order.
type Words = Vec<(u16, u8, u64, u64, u64, u64)>;

/// What all nodes that answer say, by group and node.
pub(super) type AllProgress = BTreeMap<(GroupId, StoreId), Progress>;

impl Progress {
    /// Milliseconds until everything is here, if it goes on as it did; `None` while nobody can tell.
    pub(super) fn left_ms(&self) -> Option<u64> {
        let is_known = self.is_coming && self.copied_bytes > 0 && self.copy_bytes > 0;
        let left = self.copy_bytes.saturating_sub(self.copied_bytes);
        is_known.then(|| self.elapsed_ms.saturating_mul(left) / self.copied_bytes)
    }
}

impl Inner {
    fn own_progress(&self) -> Words {
        let Some(places) = self.places.try_lock_for(PATIENCE) else { return Words::new() };
        let mut words = Words::new();
        for (shard, place) in (0..).zip(places.iter()) {
            match place {
                Place::Absent => {}
                Place::Serving(_, users) => words.push((shard, 0, users.disk_bytes(), 0, 0, 0)),
                Place::Leaving(_, users) => words.push((shard, 2, users.disk_bytes(), 0, 0, 0)),
                Place::Coming { replica, shard: users, since, .. } => {
                    let total = replica.incoming_bytes().unwrap_or(0);
                    let folder = self.dir.join("snapshots").join(format!("users-{shard}")).join("incoming");
                    let elapsed = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    words.push((
                        shard,
                        1,
                        users.disk_bytes(),
                        total,
                        folder_bytes(&folder).min(total),
                        elapsed,
                    ));
                }
            }
        }
        words
    }

    /// Answers another node.
    pub(super) fn answer_progress(&self) -> Result<Bytes> {
        Ok(codec::encode(VERSION, &self.own_progress())?.into())
    }

    /// Asks all nodes that answered for the status.
    pub(super) fn all_progress(&self, cluster: &Cluster, status: &ClusterStatus) -> AllProgress {
        let answering: Vec<StoreId> =
            status.nodes.iter().filter(|node| node.groups.is_ok()).map(|node| node.store).collect();
        let ask = |to: StoreId| -> std::result::Result<Words, String> {
            if to == cluster.store() {
                return Ok(self.own_progress());
            }
            let call = Call { to, topic: PLACES, request: Bytes::new(), timeout: TIMEOUT };
            codec::decode(VERSION, &cluster.call(call)?).map_err(|error| error.to_string())
        };
        // Of a node that does not say it nothing is known, which the status shows.
        let said: Vec<Words> =
            ask_each(&answering, ask).into_iter().map(std::result::Result::unwrap_or_default).collect();
        let one =
            |(shard, state, bytes, copy_bytes, copied_bytes, elapsed_ms): (u16, u8, u64, u64, u64, u64)| {
                let (is_coming, is_leaving) = (state == 1, state == 2);
                let progress =
                    Progress { is_coming, is_leaving, bytes, copy_bytes, copied_bytes, elapsed_ms };
                (GroupId(USERS + u64::from(shard)), progress)
            };
        let of_node = |(store, words): (StoreId, Words)| {
            words.into_iter().map(one).map(move |(group, progress)| ((group, store), progress))
        };
        answering.into_iter().zip(said).flat_map(of_node).collect()
    }
}

/// Bytes of the files in a folder; 0 when there is none.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_rest_at_the_speed_so_far() {
        let coming = Progress {
            is_coming: true,
            copy_bytes: 400,
            copied_bytes: 100,
            elapsed_ms: 50,
            ..Progress::default()
        };
        assert_eq!(coming.left_ms(), Some(150));
        assert_eq!(Progress { copied_bytes: 0, ..coming }.left_ms(), None);
        assert_eq!(Progress { is_coming: false, ..coming }.left_ms(), None);
    }
}
