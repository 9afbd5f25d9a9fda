//! User shards on other nodes: whoever holds one is asked, and this node answers for those it holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};
use segue_cluster::{Call, Cluster, GroupId, StoreId};

use super::engine::Inner;
use super::open::USERS;
use super::wire::WireError;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::codec;
use crate::storage::user_shard::{Elsewhere, Figures, UserAnswer, UserQuestion, UserShardError};

/// The call between nodes, and the version of what it carries.
pub(super) const ASK: u32 = 4;
const VERSION: u16 = 1;
/// How long one holder may take; then the next one is asked.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long holders are asked, one after another.
const ASK_TIMEOUT: Duration = Duration::from_secs(6);
/// Pause before all holders are asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// A question on its way.
#[derive(Debug, Archive, Serialize, Deserialize)]
struct Asked {
    shard: u16,
    /// The answer shall contain everything acknowledged before.
    is_fresh: bool,
    /// A [`UserQuestion`].
    question: Vec<u8>,
}

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

/// Where shards are asked that are not here, and what was heard of them last.
pub(super) struct Far {
    cluster: Arc<Cluster>,
    shards: Vec<FarShard>,
    /// What the first shard keeps for all, and which version of it.
    statistics: ArcSwapOption<(u64, Arc<[u8]>)>,
}

#[derive(Default)]
struct FarShard {
    /// The holder that answered last; 0 = nobody yet.
    holder: AtomicU64,
    figures: ArcSwapOption<Figures>,
}

impl Far {
    /// Asks through `cluster`; `count` = all user shards of the database.
    pub(super) fn new(cluster: Arc<Cluster>, count: usize) -> Self {
        let shards = (0..count).map(|_| FarShard::default()).collect();
        Self { cluster, shards, statistics: ArcSwapOption::empty() }
    }

    /// Has one of a shard's holders answer a call: each is asked in turn until one does, or time is up.
    ///
    /// # Errors
    /// What a holder said, unless another may know better; `Unavailable` when nobody answers.
    pub(super) fn call(
        &self,
        shard: usize,
        topic: u32,
        request: &Bytes,
        timeout: Duration,
    ) -> Result<Vec<u8>> {
        let start = Instant::now();
        let mut last = format!("no node holds it. group=`users-{shard}`");
        loop {
            for holder in self.holders(shard) {
                let left = timeout.saturating_sub(start.elapsed());
                if left.is_zero() {
                    break;
                }
                match self.call_one(holder, (topic, request.clone()), left.min(TRY_TIMEOUT.max(timeout / 3)))
                {
                    Ok(Said::Answer(answer)) => {
                        self.shards[shard].holder.store(holder.0, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Ok(Said::NotHere) => {}
                    Ok(Said::Failed(error)) => {
                        let error = Error::from(error);
                        if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Exhausted) {
                            return Err(error);
                        }
                        last = error.to_string();
                    }
                    Err(reason) => last = reason,
                }
            }
            if start.elapsed() + PAUSE >= timeout {
                return Err(Error::Unavailable(format!("a user shard on other nodes: {last}")));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn call_one(
        &self,
        to: StoreId,
        (topic, request): (u32, Bytes),
        timeout: Duration,
    ) -> std::result::Result<Said, String> {
        let reply = self.cluster.call(Call { to, topic, request, timeout })?;
        codec::decode(VERSION, &reply).map_err(|error| error.to_string())
    }

    /// Those who hold a shard, the one that answered last first.
    fn holders(&self, shard: usize) -> Vec<StoreId> {
        let mut holders = self.cluster.map().holders(GroupId(USERS + shard as u64));
        holders.retain(|store| *store != self.cluster.store());
        let last = self.shards[shard].holder.load(Ordering::Relaxed);
        holders.sort_by_key(|store| store.0 != last);
        holders
    }

    fn ask_as(&self, shard: usize, question: &UserQuestion, is_fresh: bool) -> Result<UserAnswer> {
        let asked = Asked { shard: shard as u16, is_fresh, question: question.encode() };
        let request = Bytes::from(codec::encode(VERSION, &asked)?);
        let timeout = if is_fresh { ASK_TIMEOUT } else { TRY_TIMEOUT };
        UserAnswer::decode(&self.call(shard, ASK, &request, timeout)?)
    }

    /// How much a shard holds, as of a moment ago.
    pub(super) fn last_figures(&self, shard: usize) -> Option<Arc<Figures>> {
        self.shards.get(shard)?.figures.load_full()
    }

    /// Takes note of what a shard holds that will be elsewhere in a moment, so that nothing is unknown of it meanwhile.
    pub(super) fn remember(&self, shard: usize, figures: Figures, statistics: Option<Arc<[u8]>>) {
        if shard == 0 {
            self.statistics.store(statistics.map(|bytes| Arc::new((figures.statistics, bytes))));
        }
        self.shards[shard].figures.store(Some(Arc::new(figures)));
    }

    /// Hears how much shards hold that are not here, and takes the first one's statistics over when they are others.
    pub(super) fn look_at(&self, shards: impl Iterator<Item = usize>) {
        let ask = |shard: usize| match self.ask_as(shard, &UserQuestion::Figures, false) {
            Ok(UserAnswer::Figures(figures)) => Some((shard, figures)),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, shard, "nothing was heard of a user shard on other nodes");
                None
            }
        };
        let heard: BTreeMap<usize, Figures> = shards.filter_map(ask).collect();
        let known = self.statistics.load().as_ref().map_or(0, |known| known.0);
        let version = heard.get(&0).map_or(known, |figures| figures.statistics);
        if version != known
            && let Ok(UserAnswer::Statistics(bytes)) = self.ask_as(0, &UserQuestion::Statistics, false)
        {
            self.statistics.store(bytes.map(|bytes| Arc::new((version, bytes.into()))));
        }
        for (shard, figures) in heard {
            self.shards[shard].figures.store(Some(Arc::new(figures)));
        }
    }
}

impl Elsewhere for Far {
    fn ask(&self, shard: usize, question: &UserQuestion) -> std::result::Result<UserAnswer, UserShardError> {
        self.ask_as(shard, question, true)
            .map_err(|error| UserShardError::Elsewhere { source: Box::new(error) })
    }

    fn figures(&self, shard: usize) -> Option<Arc<Figures>> {
        self.last_figures(shard)
    }

    fn statistics(&self) -> Option<Arc<[u8]>> {
        self.statistics.load().as_ref().map(|known| Arc::clone(&known.1))
    }
}

impl Inner {
    /// Answers another node's question to a user shard. Asks nobody but the shard's leader, so that nodes never wait for each
    /// other in a circle.
    pub(super) fn answer_question(&self, request: &[u8]) -> Result<Bytes> {
        let Asked { shard, is_fresh, question } = codec::decode(VERSION, request)?;
        Said::encode(self.answer_of_shard(shard.into(), is_fresh, &question))
    }

    fn answer_of_shard(&self, place: usize, is_fresh: bool, question: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(shard) = self.users.shards.at(place) else { return Ok(None) };
        if is_fresh && let Err(error) = self.catch_up_shard(place) {
            // It may just have been moved.
            return if self.users.shards.at(place).is_some() { Err(error) } else { Ok(None) };
        }
        let answer = shard.answer(&UserQuestion::decode(question)?).map_err(Error::from)?;
        Ok(Some(answer.encode()))
    }
}
