//! Calls to whoever holds a shard: the holder that answered last is asked first, the next one when it fails or beside it when
//! it is slow ([`Pace`]), until one answers or time is up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rkyv::{Archive, Deserialize, Serialize};
use segue_cluster::{Cluster, GroupId, StoreId};

use super::pace::{Kind, Pace};
use super::race::{Ended, Race};
use super::report::group_name;
use super::wire::WireError;
use crate::error::{Error, Result};
use crate::storage::codec;

/// Version of what a holder says.
const VERSION: u16 = 1;
/// How long one holder may take at least; then it counts as one that failed.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before all holders are asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a node says to a call about a shard.
#[derive(Debug, Archive, Serialize, Deserialize)]
pub(super) enum Said {
    /// The answer, opaque here.
    Answer(Vec<u8>),
    /// The shard does not serve there; nothing was done.
    NotHere,
    /// It was tried.
    Failed(WireError),
}

impl Said {
    /// Puts an outcome on the wire.
    pub(super) fn encode(outcome: Result<Option<Vec<u8>>>) -> Result<Bytes> {
        let said = match outcome {
            Ok(Some(answer)) => Self::Answer(answer),
            Ok(None) => Self::NotHere,
            Err(error) => Self::Failed(error.into()),
        };
        Ok(codec::encode(VERSION, &said)?.into())
    }
}

/// Reads what a node said.
///
/// # Errors
/// A sentence: it cannot be read.
pub(super) fn read_said(reply: &[u8]) -> std::result::Result<Said, String> {
    codec::decode(VERSION, reply).map_err(|error| error.to_string())
}

/// A call to whoever holds a shard.
pub(super) struct FarCall<'a> {
    /// The shard's group.
    pub group: GroupId,
    pub topic: u32,
    pub kind: Kind,
    /// The request for somebody who waits so long.
    pub request: &'a dyn Fn(Duration) -> Result<Bytes>,
    pub timeout: Duration,
}

/// The nodes that hold shards, how fast they are, and who answered last.
pub(super) struct Holders {
    pub(super) cluster: Arc<Cluster>,
    pace: Pace,
    last: Mutex<BTreeMap<GroupId, StoreId>>,
}

impl Holders {
    /// Asks through `cluster`.
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, pace: Pace::default(), last: Mutex::default() }
    }

    /// Has one of a shard's holders answer a call; the answer, and who gave it.
    ///
    /// # Errors
    /// What a holder said, unless another may know better; `Unavailable` when nobody answers.
    pub(super) fn call(&self, call: &FarCall<'_>) -> Result<(StoreId, Vec<u8>)> {
        let FarCall { group, topic, kind, request, timeout } = *call;
        let end = Instant::now() + timeout;
        let mut last = "no node holds it".to_owned();
        self.pace.began(kind);
        loop {
            let mut race = Race {
                pace: &self.pace,
                kind,
                holders: self.of(group).into(),
                end,
                try_timeout: TRY_TIMEOUT.max(timeout / 3),
                request,
                asked: Vec::new(),
                hedge_at: None,
                last: None,
            };
            let ended = self.cluster.race(topic, |event| race.step(event, Instant::now()));
            match ended.map_err(Error::Unavailable)? {
                Ended::Answer(holder, answer) => {
                    self.last.lock().insert(group, holder);
                    return Ok((holder, answer));
                }
                Ended::Refused(error) => return Err(error),
                Ended::Nobody(reason) => last = reason.unwrap_or(last),
            }
            if Instant::now() + PAUSE >= end {
                let group = group_name(group);
                return Err(Error::Unavailable(format!(
                    "a shard on other nodes does not answer. group=`{group}`: {last}"
                )));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Those who hold a shard, the one that answered last first.
    fn of(&self, group: GroupId) -> Vec<StoreId> {
        let mut holders = self.cluster.map().holders(group);
        holders.retain(|store| *store != self.cluster.store());
        let last = self.last.lock().get(&group).copied();
        holders.sort_by_key(|store| Some(*store) != last);
        holders
    }
}
