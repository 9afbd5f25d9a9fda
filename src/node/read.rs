//! Requests: one version of everything is taken, and the pipeline answers from it.

use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use super::catalog::user_error;
use super::engine::Inner;
use super::track_owners::{Owner, TrackOwners};
use super::tracks::{PAUSE, patience, unowned};
use crate::error::{Error, Result};
use crate::pipeline::logged::{LoggedList, logged_lists};
use crate::pipeline::portrait::{Portrait, portrait};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::RecipeBook;
use crate::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, RequestContext, SearchRequest,
    SimilarRequest, SimilarUser, SimilarUsersRequest, WriteToken,
};
use crate::pipeline::tracks::{ShardVersion, TrackShards};
use crate::pipeline::{explain_request, recommend, search, similar_request, spaces};
use crate::storage::meta::ShardKind;
use crate::storage::track_shard::TrackView;
use crate::storage::user_shard::Missing;
use crate::types::{Deadline, GenerationId, Timestamp, UserId};

impl Inner {
    /// One version of everything. What was acknowledged before is in it: a write is acknowledged only once it is applied
    /// here, so a node that holds all groups needs no read barrier.
    pub(super) fn reader(&self, generation: Option<GenerationId>) -> Result<Reader<'_>> {
        self.reader_until(generation, Deadline::NEVER)
    }

    /// The same for somebody who waits so long: track shards elsewhere are asked what they are now.
    fn reader_until(&self, generation: Option<GenerationId>, deadline: Deadline) -> Result<Reader<'_>> {
        let (owners, tracks) = self.whole_catalogue(deadline)?;
        let meta = self.meta.shard.state();
        let generation = match generation {
            Some(id) => Some(meta.generation(id).ok_or_else(|| Error::not_found("generation", id))?.id),
            None => meta.active().map(|info| info.id),
        };
        let read = self.meta_read(&meta)?;
        let mut applied = vec![(self.meta.group.name.clone(), self.meta.shard.applied().index)];
        let versions = tracks.versions();
        applied.extend(owners.names().cloned().zip(versions.into_iter().map(|(_, index)| index)));
        applied.extend(self.users.applied());
        let learnt = self.caches.statistics.get(self.users.shards.statistics());
        Ok(Reader {
            tracks,
            users: &self.users.shards,
            missing: Missing::default(),
            recipes: Arc::clone(&read.recipes),
            generation,
            statistics: learnt.statistics,
            statistics_unreadable: learnt.unreadable.is_some(),
            gram: generation.and_then(|id| read.grams.get(&id).cloned()),
            impression_key: self.impression_key()?,
            rules: true,
            deadline,
            caches: &self.caches,
            searchers: &self.searchers,
            applied,
        })
    }

    /// A version of each track shard, which together have every track once. A shard elsewhere may turn out to have given slots away
    /// since one heard of it; then there is another to be asked.
    fn whole_catalogue(&self, deadline: Deadline) -> Result<(TrackOwners, TrackShards)> {
        let end = patience();
        loop {
            let owners = self.tracks.owners()?;
            let tracks = self.track_versions(&owners, deadline)?;
            if tracks.are_whole() {
                return Ok((owners, tracks));
            }
            deadline.check()?;
            if Instant::now() >= end {
                return Err(unowned());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A version of each track shard; those elsewhere are asked for theirs at the same time.
    fn track_versions(&self, owners: &TrackOwners, deadline: Deadline) -> Result<TrackShards> {
        if let Some(views) = owners.all_here() {
            return Ok(TrackShards::here(views.to_vec()));
        }
        let far = self.tracks.far().ok_or_else(|| Error::Internal("no other node is known".to_owned()))?;
        let gone = |_| Err(Error::Internal("a thread that asked another node has panicked".to_owned()));
        let none = || Error::Internal("a track shard here has no version".to_owned());
        let versions: Vec<ShardVersion> = std::thread::scope(|scope| {
            let begin = |(place, owner): (usize, &Owner)| match owner {
                Owner::Here(_) => Begun::Here(owners.view_here(place).cloned()),
                Owner::Elsewhere(shard) => {
                    let shard = Arc::clone(shard);
                    Begun::Asked(scope.spawn(move || far.version(&shard, deadline)))
                }
            };
            let begun: Vec<Begun<'_>> = owners.iter().map(begin).collect();
            let end = |begun: Begun<'_>| match begun {
                Begun::Here(view) => Ok(ShardVersion::Here(view.ok_or_else(none)?)),
                Begun::Asked(thread) => thread.join().unwrap_or_else(gone),
            };
            begun.into_iter().map(end).collect::<Result<_>>()
        })?;
        TrackShards::new(versions)
    }

    /// The same for one request: at least as new as its token, and watched by its deadline.
    fn reader_for(
        &self,
        generation: Option<GenerationId>,
        min_token: Option<&WriteToken>,
        deadline: Deadline,
    ) -> Result<Reader<'_>> {
        deadline.check()?;
        let reader = self.reader_until(generation, deadline)?;
        self.check_token(&reader, min_token)?;
        Ok(reader)
    }

    /// Where every group stands now.
    pub(super) fn token_now(&self) -> WriteToken {
        WriteToken { applied: self.tracks.applied().into_iter().chain(self.users.applied()).collect() }
    }

    fn check_token(&self, reader: &Reader<'_>, token: Option<&WriteToken>) -> Result<()> {
        for (group, index) in token.into_iter().flat_map(|token| &token.applied) {
            match reader.applied.iter().find(|(name, _)| name == group) {
                Some((_, applied)) if applied >= index => {}
                Some((_, applied)) => return Err(too_old(group, *applied, *index)),
                // A shard elsewhere is asked for what is newest when it is asked.
                None if self.is_user_shard(group) => {}
                // A new track shard that owns nothing in what was read.
                None if self.is_track_shard(group) => return Err(too_old(group, 0, *index)),
                None => {
                    return Err(Error::invalid(
                        "min_token",
                        format!("names no group of this database. group=`{group}`"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn is_track_shard(&self, group: &str) -> bool {
        let numbers = self.meta.shard.state().track_shard_numbers();
        numbers.into_iter().any(|number| ShardKind::Tracks.name(number) == *group)
    }

    fn is_user_shard(&self, group: &str) -> bool {
        let numbers = self.meta.shard.state().user_shard_numbers();
        numbers.into_iter().any(|number| self.users.groups[usize::from(number)].name == *group)
    }

    pub(super) fn recommend(&self, mut request: RecommendRequest) -> Result<Recommendation> {
        request.validate(&self.settings.limits)?;
        self.complete(&mut request);
        let (list, recipes) = self.make_list(&request)?;
        self.note_served(&recipes, &request, &list);
        Ok(list)
    }

    /// The list of a checked and complete request, of which nobody has taken note yet, and the recipes it was made by.
    pub(super) fn make_list(&self, request: &RecommendRequest) -> Result<(Recommendation, Arc<RecipeBook>)> {
        let reader = || self.reader_for(request.generation, request.min_token.as_ref(), request.deadline);
        let mut read = reader()?;
        let mut list = recommend::recommend(&read, request);
        // Tracks on other nodes may change, and nodes be lost, while a list is made.
        if matches!(list, Err(Error::Unavailable(_))) && read.tracks.all_here().is_none() {
            read = reader()?;
            list = recommend::recommend(&read, request);
        }
        Ok((list?, read.recipes))
    }

    pub(super) fn portrait(
        &self,
        user: &UserId,
        as_of: Timestamp,
        context: &RequestContext,
    ) -> Result<Portrait> {
        portrait(&self.reader(None)?, user, as_of, context)
    }

    pub(super) fn logged_lists(
        &self,
        user: &UserId,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoggedList>> {
        let stored = self.users.shards.served_lists(user, until, limit).map_err(user_error)?;
        logged_lists(&self.reader(None)?, stored.ok_or_else(|| Error::not_found("user", user))?)
    }

    /// Fills in what the caller left to the border: the time and the request's id.
    pub(super) fn complete(&self, request: &mut RecommendRequest) {
        request.as_of.get_or_insert_with(Timestamp::now);
        if request.request_id.is_none() {
            request.request_id = Some(self.fresh_request_id());
        }
    }

    /// An id no other request of this process has, different from start to start.
    fn fresh_request_id(&self) -> String {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let digest = blake3::hash(format!("{nanos}/{}/{number}", std::process::id()).as_bytes());
        digest.to_hex()[..32].to_owned()
    }

    pub(super) fn similar(&self, mut request: SimilarRequest) -> Result<Recommendation> {
        request.validate(&self.settings.limits)?;
        request.as_of.get_or_insert_with(Timestamp::now);
        let space = self.space(request.space.as_ref().unwrap_or(&spaces::track_cf()))?;
        let generation = self.generation_for(&space, request.generation)?;
        let reader = self.reader_for(request.generation, request.min_token.as_ref(), request.deadline)?;
        similar_request::similar(&reader, &space, generation, &request)
    }

    pub(super) fn similar_users(&self, request: SimilarUsersRequest) -> Result<Vec<SimilarUser>> {
        request.validate(&self.settings.limits)?;
        request.deadline.check()?;
        let space = self.space(&spaces::user_cf())?;
        let generation = self.generation_for(&space, request.generation)?;
        self.user(&request.user_id)?;
        let shards = &self.users.shards;
        let own = shards.vector(&space.name, generation, &request.user_id).map_err(Error::from)?;
        let own = own.ok_or_else(|| Error::not_found("vector", &request.user_id))?;
        let (k, except) = (request.k as usize, Some(&request.user_id));
        let found = shards.similar_users(&space.name, generation, &own, k, except, request.deadline);
        let found = found.map_err(Error::from)?;
        Ok(found.into_iter().map(|(user_id, score)| SimilarUser { user_id, score }).collect())
    }

    pub(super) fn search(&self, request: SearchRequest) -> Result<Recommendation> {
        request.validate(&self.settings.limits)?;
        let space = self.space(&request.space)?;
        let generation = if request.vector.is_some() {
            self.generation_for(&space, request.generation)?
        } else {
            GenerationId::STATIC
        };
        let reader = self.reader_for(request.generation, request.min_token.as_ref(), request.deadline)?;
        search::search(&reader, &space, generation, &request, Timestamp::now())
    }

    pub(super) fn explain(&self, mut request: ExplainRequest) -> Result<Explanation> {
        request.request.validate(&self.settings.limits)?;
        self.complete(&mut request.request);
        let asked = &request.request;
        let reader = self.reader_for(asked.generation, asked.min_token.as_ref(), asked.deadline)?;
        explain_request::explain(&reader, &request)
    }
}

/// A version of a track shard that is here, or that is being asked for.
enum Begun<'scope> {
    Here(Option<Arc<TrackView>>),
    Asked(ScopedJoinHandle<'scope, Result<ShardVersion>>),
}

fn too_old(group: &str, applied: u64, wanted: u64) -> Error {
    Error::Unavailable(format!(
        "not as new as the token asks. group=`{group}`, applied=`{applied}`, wanted=`{wanted}`"
    ))
}
