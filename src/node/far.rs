//! User shards on other nodes: whoever holds one is asked, and this node answers for those it holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};
use segue_cluster::GroupId;

use super::engine::Inner;
use super::holders::{FarCall, Holders, Said, TRY_TIMEOUT};
use super::open::USERS;
use super::pace::Kind;
use crate::error::{Error, Result};
use crate::storage::codec;
use crate::storage::user_shard::{Elsewhere, Figures, UserAnswer, UserQuestion, UserShardError};

/// The call between nodes, and the version of what it carries.
pub(super) const ASK: u32 = 4;
const VERSION: u16 = 1;
/// How long a question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(6);

/// A question on its way.
#[derive(Debug, Archive, Serialize, Deserialize)]
struct Asked {
    shard: u16,
    /// The answer shall contain everything acknowledged before.
    is_fresh: bool,
    /// A [`UserQuestion`].
    question: Vec<u8>,
}

/// Where shards are asked that are not here, and what was heard of them last.
pub(super) struct Far {
    pub(super) holders: Arc<Holders>,
    shards: Vec<FarShard>,
    /// What the first shard keeps for all, and which version of it.
    statistics: ArcSwapOption<(u64, Arc<[u8]>)>,
}

#[derive(Default)]
struct FarShard {
    figures: ArcSwapOption<Figures>,
}

impl Far {
    /// Asks `holders`; `count` = all user shards of the database.
    pub(super) fn new(holders: Arc<Holders>, count: usize) -> Self {
        let shards = (0..count).map(|_| FarShard::default()).collect();
        Self { holders, shards, statistics: ArcSwapOption::empty() }
    }

    fn ask_as(&self, shard: usize, question: &UserQuestion, is_fresh: bool) -> Result<UserAnswer> {
        let asked = Asked { shard: shard as u16, is_fresh, question: question.encode() };
        let bytes = Bytes::from(codec::encode(VERSION, &asked)?);
        let timeout = if is_fresh { ASK_TIMEOUT } else { TRY_TIMEOUT };
        let kind = kind_of(question);
        let request = |_: Duration| -> Result<Bytes> { Ok(bytes.clone()) };
        let group = GroupId(USERS + shard as u64);
        let call = FarCall { group, topic: ASK, kind, request: &request, timeout };
        UserAnswer::decode(&self.holders.call(&call)?.1)
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

/// How long a question may take: whether its answer is a page of many rows, or takes a look at many.
fn kind_of(question: &UserQuestion) -> Kind {
    match question {
        UserQuestion::Views { .. }
        | UserQuestion::List { .. }
        | UserQuestion::ListFrom { .. }
        | UserQuestion::WaitedFor { .. }
        | UserQuestion::Statistics
        | UserQuestion::Sample { .. }
        | UserQuestion::Similar { .. }
        | UserQuestion::Trends { .. }
        | UserQuestion::PlaysUntil { .. } => Kind::Page,
        UserQuestion::Within { question, .. } => match UserQuestion::decode(question) {
            Ok(UserQuestion::Within { .. }) | Err(_) => Kind::Page,
            Ok(question) => kind_of(&question),
        },
        UserQuestion::User(_)
        | UserQuestion::Known(_)
        | UserQuestion::View(_)
        | UserQuestion::Vectors { .. }
        | UserQuestion::Waiting(_)
        | UserQuestion::Load(_)
        | UserQuestion::Figures
        | UserQuestion::Friends { .. } => Kind::Small,
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
