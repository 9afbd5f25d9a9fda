//! How far shards have come that move, and how large each is: every node says it of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use segue_cluster::{Call, Cluster, ClusterStatus, GroupId, StoreId};

use super::engine::Inner;
use super::everyone::ask_each;
use super::open::{TRACKS, USERS};
use super::place::Place;
use crate::error::Result;
use crate::storage::codec;
use crate::storage::meta::ShardKind;

/// The calls between nodes about user and about track shards, and the version of what they carry.
pub(super) const PLACES: u32 = 6;
pub(super) const PLACES_OF_TRACKS: u32 = 13;
const VERSION: u16 = 1;
/// How long another node may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for the thread that moves shards.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a node says of its replica of one shard.
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
        self.words(ShardKind::Users, &places, |users| users.disk_bytes())
    }

    fn own_track_progress(&self) -> Words {
        let Some(places) = self.track_places.try_lock_for(PATIENCE) else { return Words::new() };
        self.words(ShardKind::Tracks, &places, |part| part.shard.view().file_bytes())
    }

    fn words<S>(&self, kind: ShardKind, places: &[Place<S>], bytes: impl Fn(&S) -> u64) -> Words {
        let mut words = Words::new();
        for (number, place) in (0..).zip(places) {
            match place {
                Place::Absent => {}
                Place::Serving(_, shard) => words.push((number, 0, bytes(shard), 0, 0, 0)),
                Place::Leaving(_, shard) => words.push((number, 2, bytes(shard), 0, 0, 0)),
                Place::Coming { replica, shard, since, .. } => {
                    let total = replica.incoming_bytes().unwrap_or(0);
                    let folder = self.dir.join("snapshots").join(kind.name(number)).join("incoming");
                    let elapsed = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let copied = folder_bytes(&folder).min(total);
                    words.push((number, 1, bytes(shard), total, copied, elapsed));
                }
            }
        }
        words
    }

    /// Answers another node.
    pub(super) fn answer_progress(&self) -> Result<Bytes> {
        Ok(codec::encode(VERSION, &self.own_progress())?.into())
    }

    /// The same about track shards.
    pub(super) fn answer_track_progress(&self) -> Result<Bytes> {
        Ok(codec::encode(VERSION, &self.own_track_progress())?.into())
    }

    /// Asks all nodes that answered for the status.
    pub(super) fn all_progress(&self, cluster: &Cluster, status: &ClusterStatus) -> AllProgress {
        let answering: Vec<StoreId> =
            status.nodes.iter().filter(|node| node.groups.is_ok()).map(|node| node.store).collect();
        let ask = |to: StoreId, topic: u32| -> std::result::Result<Words, String> {
            let call = Call { to, topic, request: Bytes::new(), timeout: TIMEOUT };
            codec::decode(VERSION, &cluster.call(call)?).map_err(|error| error.to_string())
        };
        // Of a node that does not say it nothing is known, which the status shows.
        let both = |to: StoreId| {
            Ok(if to == cluster.store() {
                [(USERS, self.own_progress()), (TRACKS, self.own_track_progress())]
            } else {
                [(USERS, PLACES), (TRACKS, PLACES_OF_TRACKS)]
                    .map(|(first, topic)| (first, ask(to, topic).unwrap_or_default()))
            })
        };
        let said = ask_each(&answering, both).into_iter().map(std::result::Result::unwrap_or_default);
        let of_node = |(store, said): (StoreId, [(u64, Words); 2])| {
            let words =
                said.into_iter().flat_map(|(first, words)| words.into_iter().map(move |it| (first, it)));
            words.map(move |(first, (shard, state, bytes, copy_bytes, copied_bytes, elapsed_ms))| {
                let (is_coming, is_leaving) = (state == 1, state == 2);
                let progress =
                    Progress { is_coming, is_leaving, bytes, copy_bytes, copied_bytes, elapsed_ms };
                ((GroupId(first + u64::from(shard)), store), progress)
            })
        };
        answering.iter().copied().zip(said).flat_map(of_node).collect()
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
