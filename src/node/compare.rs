//! Whether the replicas of every group hold the same: each node reads its own, and one node compares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use segue_cluster::{Call, ClusterStatus, GroupId, MAP_GROUP, StoreId};
use serde::{Deserialize, Serialize};

use super::engine::Inner;
use super::everyone::ask_each;
use super::open::META;
use super::report::group_name;
use crate::error::{Error, Result};
use crate::storage::codec;
use crate::storage::digest::Digest;
use crate::storage::user_shard::UserShard;
use crate::types::Slot;

/// The call between nodes, and the version of what it carries.
pub(super) const DIGEST: u32 = 3;
const VERSION: u16 = 1;
/// How long a node may take to read all of one group.
const TIMEOUT: Duration = Duration::from_secs(300);
/// How long a replica may take to come to the entry that is asked for.
const WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
/// Times a group is read again because its replicas moved on meanwhile.
const TRIES: usize = 8;

/// A digest on its way: the entry; kind, range, records and their sum.
type Words = (u64, Vec<(String, u16, u64, u128)>);

/// What a comparison of all replicas found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Every group.
    pub groups: Vec<GroupCheck>,
    /// Where replicas differ from what most replicas of their group hold; empty when all are equal.
    pub differences: Vec<Difference>,
    /// What could not be compared, one sentence each.
    pub problems: Vec<String>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCheck {
    /// Its name.
    pub group: String,
    /// The entry at which all replicas were read.
    pub index: u64,
    /// How many replicas were read at it.
    pub replicas: u32,
    /// Records of each.
    pub records: u64,
    /// The hash of what most of them hold, 32 hexadecimal digits.
    pub hash: String,
}

/// A replica that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its group.
    pub group: String,
    /// Its node.
    pub node: String,
    /// The kind of records.
    pub kind: String,
    /// The first and last slot of the range they lie in.
    pub slots: (u16, u16),
    /// Records there.
    pub records: u64,
    /// Records most replicas have there.
    pub expected_records: u64,
}

impl Inner {
    /// Compares the replicas of every group on all nodes. While writes go on, a group is read again until all its replicas
    /// were read at one entry, or says that it could not be.
    ///
    /// # Errors
    /// `Conflict` on a database that is alone; `Unavailable` while this node compares for somebody else.
    pub(super) fn compare_replicas(&self) -> Result<CheckReport> {
        let peers = self.peers.as_deref();
        let alone = || Error::Conflict("this database is alone: there are no replicas".to_owned());
        let peers = peers.ok_or_else(alone)?;
        let cluster = peers.cluster()?;
        let Some(_only_one) = peers.comparing.try_lock() else {
            return Err(Error::Unavailable(
                "this node compares all replicas already: wait until that has ended".to_owned(),
            ));
        };
        let mut report = CheckReport::default();
        let status = cluster.status();
        for node in &status.nodes {
            if let Err(reason) = &node.groups {
                report.problems.push(format!("node {} does not answer: {reason}", node.store));
            }
        }
        let groups = status.nodes.iter().flat_map(|node| node.record.replicas.keys().copied());
        let groups: std::collections::BTreeSet<GroupId> = groups.collect();
        for group in groups {
            self.compare_group(group, &status, &mut report)?;
        }
        Ok(report)
    }

    fn compare_group(&self, group: GroupId, status: &ClusterStatus, report: &mut CheckReport) -> Result<()> {
        let cluster =
            self.peers.as_deref().ok_or_else(|| Error::Internal("no peers".to_owned()))?.cluster()?;
        let name = group_name(group);
        let answering = status.nodes.iter().filter(|node| node.groups.is_ok());
        let mut stores: Vec<StoreId> = answering
            .filter(|node| node.record.replicas.contains_key(&group))
            .map(|node| node.store)
            .collect();
        let (mut from, mut standing) = (0, String::new());
        for _ in 0..TRIES {
            let request = Bytes::from(codec::encode(VERSION, &(group.0, from))?);
            let ask = |to: StoreId| -> std::result::Result<Digest, String> {
                if to == cluster.store() {
                    return self.digest(group, from).map_err(|error| error.to_string());
                }
                let call = Call { to, topic: DIGEST, request: request.clone(), timeout: TIMEOUT };
                let reply = cluster.call(call)?;
                let (index, parts): Words =
                    codec::decode(VERSION, &reply).map_err(|error| error.to_string())?;
                let part = |(kind, range, records, sum)| ((kind, range), (records, sum));
                Ok(Digest { index, parts: parts.into_iter().map(part).collect() })
            };
            let asked = ask_each(&stores, ask);
            let mut digests = BTreeMap::new();
            for (store, outcome) in stores.iter().zip(asked) {
                match outcome {
                    Ok(digest) => drop(digests.insert(*store, digest)),
                    Err(reason) => {
                        report.problems.push(format!("{name} on node {store} cannot be read: {reason}"));
                    }
                }
            }
            // The others are compared without those that cannot be read.
            stores.retain(|store| digests.contains_key(store));
            let newest = digests.values().map(|digest| digest.index).max().unwrap_or(0);
            if digests.values().all(|digest| digest.index == newest) {
                compare(&name, &digests, report);
                return Ok(());
            }
            from = newest;
            let at = |(store, digest): (&StoreId, &Digest)| format!("{store} at {}", digest.index);
            standing = digests.iter().map(at).collect::<Vec<_>>().join(", ");
        }
        report.problems.push(format!(
            "{name}: replicas could not be read at one entry ({standing}): one has failed or lags (see `status`), or writes \
             do not pause: try again, or pause the writers"
        ));
        Ok(())
    }

    /// Answers another node.
    pub(super) fn answer_digest(&self, request: &[u8]) -> Result<Bytes> {
        let (group, from): (u64, u64) = codec::decode(VERSION, request)?;
        let Digest { index, parts } = self.digest(GroupId(group), from)?;
        self.sound()?;
        let part = |((kind, range), (records, sum))| (kind, range, records, sum);
        let words: Words = (index, parts.into_iter().map(part).collect());
        Ok(codec::encode(VERSION, &words)?.into())
    }

    /// This node's replica of a group in short, once it has applied entry `from`.
    fn digest(&self, group: GroupId, from: u64) -> Result<Digest> {
        let start = Instant::now();
        let mut digest = self.digest_now(group)?;
        while digest.index < from && start.elapsed() < WAIT {
            thread::sleep(PAUSE);
            if self.state_index(group)? >= from {
                digest = self.digest_now(group)?;
            }
        }
        Ok(digest)
    }

    fn state_index(&self, group: GroupId) -> Result<u64> {
        Ok(match group.0 {
            META => self.meta.shard.applied().index,
            _ => match (self.tracks.of_group(group), self.user_shard(group)) {
                (Some(part), _) => part.shard.view().applied_index,
                (None, Some(shard)) => shard.applied().index,
                (None, None) => self.map_digest(group)?.index,
            },
        })
    }

    fn digest_now(&self, group: GroupId) -> Result<Digest> {
        match group.0 {
            META => {
                let (at, bytes) = self.meta.shard.snapshot()?;
                let mut digest = Digest::at(at.index);
                digest.add("meta", Slot(0), &[&bytes]);
                Ok(digest)
            }
            _ => match (self.tracks.of_group(group), self.user_shard(group)) {
                (Some(part), _) => part.shard.view().digest(),
                (None, Some(shard)) => shard.digest().map_err(Error::from),
                (None, None) => self.map_digest(group),
            },
        }
    }

    fn user_shard(&self, group: GroupId) -> Option<Arc<UserShard>> {
        let place = self.users.groups.iter().position(|known| known.id() == group)?;
        self.users.shards.any_at(place)
    }

    /// The map counts its own changes.
    fn map_digest(&self, group: GroupId) -> Result<Digest> {
        let peers = self.peers.as_deref().filter(|_| group == MAP_GROUP);
        let peers = peers.ok_or_else(|| Error::not_found("group", group_name(group)))?;
        let map = peers.cluster()?.map();
        let mut digest = Digest::at(map.epoch);
        digest.add("nodes", Slot(0), &[format!("{map:?}").as_bytes()]);
        Ok(digest)
    }
}

/// Compares replicas that were read at one entry with what most of them hold.
fn compare(group: &str, digests: &BTreeMap<StoreId, Digest>, report: &mut CheckReport) {
    let alike = |digest: &&Digest| digests.values().filter(|other| other.parts == digest.parts).count();
    let Some(most) = digests.values().max_by_key(alike) else { return };
    report.groups.push(GroupCheck {
        group: group.to_owned(),
        index: most.index,
        replicas: u32::try_from(digests.len()).unwrap_or(u32::MAX),
        records: most.records(),
        hash: format!("{:032x}", most.hash()),
    });
    for (store, digest) in digests {
        let keys: std::collections::BTreeSet<_> = most.parts.keys().chain(digest.parts.keys()).collect();
        for key in keys.into_iter().filter(|key| most.parts.get(key) != digest.parts.get(key)) {
            let records = |digest: &Digest| digest.parts.get(key).map_or(0, |(records, _)| *records);
            report.differences.push(Difference {
                group: group.to_owned(),
                node: store.to_string(),
                kind: key.0.clone(),
                slots: Digest::slots(key.1),
                records: records(digest),
                expected_records: records(most),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replica_that_differs_is_named_with_the_range() {
        let digest = |rows: &[(u16, &[u8])]| {
            let mut digest = Digest::at(9);
            rows.iter().for_each(|(slot, row)| digest.add("rows", Slot(*slot), &[row]));
            digest
        };
        let whole = digest(&[(0, b"a"), (256, b"b")]);
        let mut digests = BTreeMap::from([(StoreId(1), whole.clone()), (StoreId(3), whole.clone())]);
        digests.insert(StoreId(2), whole);
        let mut report = CheckReport::default();
        compare("users-0", &digests, &mut report);
        assert_eq!((report.groups[0].replicas, report.groups[0].records), (3, 2));
        assert!(report.differences.is_empty());

        digests.insert(StoreId(1), digest(&[(0, b"a"), (257, b"B"), (258, b"c")]));
        let mut report = CheckReport::default();
        compare("users-0", &digests, &mut report);
        let difference = Difference {
            group: "users-0".to_owned(),
            node: StoreId(1).to_string(),
            kind: "rows".to_owned(),
            slots: (256, 511),
            records: 2,
            expected_records: 1,
        };
        assert_eq!(report.differences, vec![difference]);
    }
}
