//! Requests about a listener whose shard is on other nodes: they are handed on, whole and once, to a node that holds it, and
//! the reply is passed on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use segue_cluster::GroupId;
use serde::{Deserialize, Serialize};

use super::engine::Inner;
use super::holders::{FarCall, Said};
use super::open::USERS;
use super::pace::Kind;
use crate::error::{Error, Result};
use crate::pipeline::logged::LoggedList;
use crate::pipeline::portrait::Portrait;
use crate::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, RequestContext, SimilarRequest,
};
use crate::types::{Deadline, Timestamp, UserId};

/// The call between nodes.
pub(super) const FORWARD: u32 = 5;
/// How long a request without a deadline may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Forwarded requests a node answers at a time; the rest of the threads for calls is left to calls that ask nobody.
const AT_ONCE: usize = 64;
/// Questions to track shards a node answers at a time.
const QUESTIONS_AT_ONCE: usize = 48;

/// A request on its way, complete: with its time and its id.
#[derive(Debug, Serialize, Deserialize)]
struct Forwarded<R> {
    /// What the caller still waits; absent: for ever.
    left_ms: Option<u64>,
    request: R,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Asked {
    Recommend(Box<RecommendRequest>),
    Similar(Box<SimilarRequest>),
    Explain(Box<ExplainRequest>),
    Portrait { user: UserId, as_of: Timestamp, context: RequestContext },
    LoggedLists { user: UserId, until: Timestamp, limit: usize },
}

/// The reply to a request of the same name; to *similar* and *recommend*, a list.
#[derive(Debug, Serialize, Deserialize)]
enum Replied {
    List(Box<Recommendation>),
    Explanation(Box<Explanation>),
    Portrait(Box<Portrait>),
    LoggedLists(Vec<LoggedList>),
}

/// How many calls of one kind are being answered, and how many may be at a time.
#[derive(Debug)]
pub(super) struct Guests {
    here: AtomicUsize,
    most: usize,
}

/// One that was let in.
pub(super) struct Guest<'a>(&'a Guests);

impl Guests {
    /// Of requests that were handed on whole.
    pub(super) fn requests() -> Self {
        Self { here: AtomicUsize::new(0), most: AT_ONCE }
    }

    /// Of questions to track shards. Apart from requests: these wait for answers to such questions.
    pub(super) fn track_questions() -> Self {
        Self { here: AtomicUsize::new(0), most: QUESTIONS_AT_ONCE }
    }

    /// Lets one in, until what is returned is dropped.
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn admit(&self) -> Result<Guest<'_>> {
        let guest = Guest(self);
        if self.here.fetch_add(1, Ordering::AcqRel) < self.most {
            return Ok(guest);
        }
        Err(Error::Exhausted("the node answers too many requests of other nodes".to_owned()))
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    /// Whether requests about a listener are answered by other nodes.
    pub(super) fn is_elsewhere(&self, user: &UserId) -> bool {
        self.far.is_some() && !self.users.shards.is_here(user)
    }

    pub(super) fn recommend_elsewhere(&self, mut request: RecommendRequest) -> Result<Recommendation> {
        request.validate(&self.settings.limits)?;
        self.complete(&mut request);
        let (place, deadline) = (self.users.shards.place_of(&request.user_id), request.deadline);
        match self.hand_on(place, deadline, Asked::Recommend(Box::new(request)))? {
            Replied::List(list) => Ok(*list),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn similar_elsewhere(
        &self,
        user: &UserId,
        mut request: SimilarRequest,
    ) -> Result<Recommendation> {
        request.validate(&self.settings.limits)?;
        request.as_of.get_or_insert_with(Timestamp::now);
        let (place, deadline) = (self.users.shards.place_of(user), request.deadline);
        match self.hand_on(place, deadline, Asked::Similar(Box::new(request)))? {
            Replied::List(list) => Ok(*list),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn explain_elsewhere(&self, mut request: ExplainRequest) -> Result<Explanation> {
        request.request.validate(&self.settings.limits)?;
        self.complete(&mut request.request);
        let asked = &request.request;
        let (place, deadline) = (self.users.shards.place_of(&asked.user_id), asked.deadline);
        match self.hand_on(place, deadline, Asked::Explain(Box::new(request)))? {
            Replied::Explanation(explanation) => Ok(*explanation),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn portrait_elsewhere(
        &self,
        user: &UserId,
        as_of: Timestamp,
        context: &RequestContext,
    ) -> Result<Portrait> {
        let place = self.users.shards.place_of(user);
        let request = Asked::Portrait { user: user.clone(), as_of, context: context.clone() };
        match self.hand_on(place, Deadline::NEVER, request)? {
            Replied::Portrait(portrait) => Ok(*portrait),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn logged_lists_elsewhere(
        &self,
        user: &UserId,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoggedList>> {
        let place = self.users.shards.place_of(user);
        let request = Asked::LoggedLists { user: user.clone(), until, limit };
        match self.hand_on(place, Deadline::NEVER, request)? {
            Replied::LoggedLists(lists) => Ok(lists),
            other => Err(unexpected(&other)),
        }
    }

    fn hand_on(&self, place: usize, deadline: Deadline, request: Asked) -> Result<Replied> {
        deadline.check()?;
        let far = self.far.as_ref().ok_or_else(|| Error::Internal("no other node is known".to_owned()))?;
        // Whoever is asked later hears that less is left.
        let has_end = deadline.left().is_some();
        let request = |left: Duration| {
            let left_ms = has_end.then(|| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            serde_json::to_vec(&Forwarded { left_ms, request: &request })
                .map(Bytes::from)
                .map_err(|error| Error::Internal(format!("a request cannot be forwarded: {error}")))
        };
        let timeout = deadline.left().unwrap_or(TIMEOUT).min(TIMEOUT);
        let group = GroupId(USERS + place as u64);
        let call = FarCall { group, topic: FORWARD, kind: Kind::Request, request: &request, timeout };
        let reply = far.holders.call(&call);
        let (_, reply) = reply.map_err(|error| if deadline.passed() { deadline.error() } else { error })?;
        serde_json::from_slice(&reply)
            .map_err(|error| Error::Internal(format!("the reply of another node cannot be read: {error}")))
    }

    /// Answers a request another node has handed on; it is not handed on again.
    pub(super) fn answer_forwarded(&self, request: &[u8]) -> Result<Bytes> {
        Said::encode(self.reply_to_forwarded(request))
    }

    fn reply_to_forwarded(&self, request: &[u8]) -> Result<Option<Vec<u8>>> {
        let Forwarded::<Asked> { left_ms, request } = serde_json::from_slice(request)
            .map_err(|error| Error::Internal(format!("a forwarded request cannot be read: {error}")))?;
        let _guest = self.guests.admit()?;
        let deadline = left_ms.map_or(Deadline::NEVER, |ms| Deadline::after(Duration::from_millis(ms)));
        let user = match &request {
            Asked::Recommend(request) => Some(&request.user_id),
            Asked::Explain(request) => Some(&request.request.user_id),
            Asked::Similar(request) => request.user_id.as_ref(),
            Asked::Portrait { user, .. } | Asked::LoggedLists { user, .. } => Some(user),
        };
        if user.is_none_or(|user| !self.users.shards.is_here(user)) {
            return Ok(None);
        }
        if !matches!(request, Asked::Recommend(_)) {
            self.catch_up()?;
        }
        let reply = match request {
            Asked::Recommend(request) => {
                Replied::List(Box::new(self.recommend_current(RecommendRequest { deadline, ..*request })?))
            }
            Asked::Similar(request) => {
                Replied::List(Box::new(self.similar(SimilarRequest { deadline, ..*request })?))
            }
            Asked::Explain(mut request) => {
                request.request.deadline = deadline;
                Replied::Explanation(Box::new(self.explain(*request)?))
            }
            Asked::Portrait { user, as_of, context } => {
                Replied::Portrait(Box::new(self.portrait(&user, as_of, &context)?))
            }
            Asked::LoggedLists { user, until, limit } => {
                Replied::LoggedLists(self.logged_lists(&user, until, limit)?)
            }
        };
        self.sound()?;
        let reply = serde_json::to_vec(&reply)
            .map_err(|error| Error::Internal(format!("a reply cannot be forwarded: {error}")))?;
        Ok(Some(reply))
    }
}

fn unexpected(reply: &Replied) -> Error {
    let kind = match reply {
        Replied::List(_) => "list",
        Replied::Explanation(_) => "explanation",
        Replied::Portrait(_) => "portrait",
        Replied::LoggedLists(_) => "logged lists",
    };
    Error::Internal(format!("another node replied to another question. reply=`{kind}`"))
}
