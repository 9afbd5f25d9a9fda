//! The operations: each turns domain types into a message, sends it, and turns the reply back.

use tonic::transport::Channel;

use super::connection::{Again, Client};
use super::whole::in_part;
use crate::api::border::{stamp_events, stamp_recommend, stamp_similar};
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::node::VectorRow;
use crate::pipeline::logged::LoggedList;
use crate::pipeline::portrait::Portrait;
use crate::pipeline::recipe::Recipe;
use crate::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, RequestContext, SearchRequest,
    SimilarRequest, SimilarUser, SimilarUsersRequest, WriteToken,
};
use crate::storage::meta::{GenerationInfo, GramData};
use crate::types::{
    Deadline, FeedbackEvent, GenerationId, Part, SpaceName, Timestamp, Track, TrackId, User, UserId,
};

/// The largest reply accepted.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// A stub of one service.
macro_rules! service {
    ($name:ident, $module:ident, $client:ident) => {
        pub(super) fn $name(&self) -> pb::$module::$client<Channel> {
            pb::$module::$client::new(self.channel()).max_decoding_message_size(REPLY_BYTES_MAX)
        }
    };
}

/// One call of one method, with retries.
macro_rules! call {
    ($client:ident, $again:expr, $service:ident.$method:ident($message:expr)) => {
        call!($client, $again, Deadline::NEVER, $service.$method($message))
    };
    ($client:ident, $again:expr, $deadline:expr, $service:ident.$method:ident($message:expr)) => {
        $client.call($again, $deadline, $message, |message| {
            let mut service = $client.$service();
            async move { service.$method(message).await }
        })
    };
}
pub(super) use call;

/// The token of a reply to a write; a server always sends one.
fn token(token: Option<pb::WriteToken>) -> Result<WriteToken> {
    token.map_or(Ok(WriteToken::default()), TryInto::try_into)
}

impl Client {
    service!(recommender_stub, recommender_client, RecommenderClient);
    service!(feedback_stub, feedback_client, FeedbackClient);
    service!(catalog_stub, catalog_client, CatalogClient);
    service!(loads_stub, loads_client, LoadsClient);
    service!(recipes_stub, recipes_client, RecipesClient);
    service!(experiments_stub, experiments_client, ExperimentsClient);
    service!(generations_stub, generations_client, GenerationsClient);
    service!(cluster_stub, cluster_client, ClusterClient);

    /// See [`crate::Segue::recommend`].
    ///
    /// # Errors
    /// The server's, and `Unavailable` when it cannot be reached; the same holds for all operations.
    pub fn recommend(&self, request: RecommendRequest) -> Result<Recommendation> {
        let deadline = request.deadline;
        let message = pb::RecommendRequest::from(stamp_recommend(request));
        call!(self, Again::Yes, deadline, recommender_stub.recommend(message))?.try_into()
    }

    /// See [`crate::Segue::similar`].
    ///
    /// # Errors
    /// As above.
    pub fn similar(&self, request: SimilarRequest) -> Result<Recommendation> {
        let deadline = request.deadline;
        let message = pb::SimilarRequest::from(stamp_similar(request));
        call!(self, Again::Yes, deadline, recommender_stub.similar(message))?.try_into()
    }

    /// See [`crate::Segue::similar_users`].
    ///
    /// # Errors
    /// As above.
    pub fn similar_users(&self, request: SimilarUsersRequest) -> Result<Vec<SimilarUser>> {
        let deadline = request.deadline;
        let message = pb::SimilarUsersRequest::from(request);
        let reply = call!(self, Again::Yes, deadline, recommender_stub.similar_users(message))?;
        reply.users.into_iter().map(TryInto::try_into).collect()
    }

    /// See [`crate::Segue::search`].
    ///
    /// # Errors
    /// As above.
    pub fn search(&self, request: SearchRequest) -> Result<Recommendation> {
        let deadline = request.deadline;
        let message = pb::SearchRequest::from(request);
        call!(self, Again::Yes, deadline, recommender_stub.search(message))?.try_into()
    }

    /// See [`crate::Segue::explain`].
    ///
    /// # Errors
    /// As above.
    pub fn explain(&self, mut request: ExplainRequest) -> Result<Explanation> {
        request.request = stamp_recommend(request.request);
        let deadline = request.request.deadline;
        let message = pb::ExplainRequest::from(request);
        call!(self, Again::Yes, deadline, recommender_stub.explain(message))?.try_into()
    }

    /// See [`crate::Segue::portrait`].
    ///
    /// # Errors
    /// As above.
    pub fn portrait(&self, user: &UserId, as_of: Timestamp, context: &RequestContext) -> Result<Portrait> {
        let message = pb::PortraitRequest {
            user_id: user.to_string(),
            as_of_ms: Some(as_of.0),
            context: Some(context.clone().into()),
        };
        call!(self, Again::Yes, recommender_stub.portrait(message))?.try_into()
    }

    /// See [`crate::Segue::logged_lists`].
    ///
    /// # Errors
    /// As above.
    pub fn logged_lists(&self, user: &UserId, until: Timestamp, limit: usize) -> Result<Vec<LoggedList>> {
        let message = pb::LoggedListsRequest {
            user_id: user.to_string(),
            until_ms: Some(until.0),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let reply = call!(self, Again::Yes, recommender_stub.logged_lists(message))?;
        reply.lists.into_iter().map(TryInto::try_into).collect()
    }

    /// See [`crate::Segue::feedback`]. Events without a time get one here, so that a retry does not count twice.
    ///
    /// # Errors
    /// As above.
    pub fn feedback(&self, events: Vec<FeedbackEvent>) -> Result<(Vec<bool>, WriteToken)> {
        let events = stamp_events(events).into_iter().map(Into::into).collect();
        let reply = call!(self, Again::Yes, feedback_stub.record(pb::RecordRequest { events }))?;
        Ok((reply.accepted, token(reply.token)?))
    }

    /// See [`crate::Segue::upsert_tracks`].
    ///
    /// # Errors
    /// As above.
    pub fn upsert_tracks(&self, tracks: Vec<Track>) -> Result<WriteToken> {
        let tracks = tracks.into_iter().map(Into::into).collect();
        token(call!(self, Again::Yes, catalog_stub.upsert_tracks(pb::UpsertTracksRequest { tracks }))?.token)
    }

    /// See [`crate::Segue::delete_tracks`].
    ///
    /// # Errors
    /// As above.
    pub fn delete_tracks(&self, ids: &[TrackId]) -> Result<(u64, WriteToken)> {
        let message = pb::DeleteTracksRequest { track_ids: ids.iter().map(ToString::to_string).collect() };
        let reply = call!(self, Again::Yes, catalog_stub.delete_tracks(message))?;
        Ok((reply.rows, token(reply.token)?))
    }

    /// See [`crate::Segue::track`].
    ///
    /// # Errors
    /// As above.
    pub fn track(&self, id: &TrackId) -> Result<Track> {
        let message = pb::GetTrackRequest { track_id: id.to_string() };
        call!(self, Again::Yes, catalog_stub.get_track(message))?.try_into()
    }

    /// See [`crate::Segue::upsert_users`].
    ///
    /// # Errors
    /// As above.
    pub fn upsert_users(&self, users: Vec<User>) -> Result<WriteToken> {
        let users = users.into_iter().map(Into::into).collect();
        token(call!(self, Again::Yes, catalog_stub.upsert_users(pb::UpsertUsersRequest { users }))?.token)
    }

    /// See [`crate::Segue::delete_users`].
    ///
    /// # Errors
    /// As above.
    pub fn delete_users(&self, ids: &[UserId]) -> Result<(u64, WriteToken)> {
        let message = pb::DeleteUsersRequest { user_ids: ids.iter().map(ToString::to_string).collect() };
        let reply = call!(self, Again::Yes, catalog_stub.delete_users(message))?;
        Ok((reply.rows, token(reply.token)?))
    }

    /// See [`crate::Segue::user`].
    ///
    /// # Errors
    /// As above.
    pub fn user(&self, id: &UserId) -> Result<User> {
        let message = pb::GetUserRequest { user_id: id.to_string() };
        call!(self, Again::Yes, catalog_stub.get_user(message))?.try_into()
    }

    /// See [`crate::Segue::list_users`].
    ///
    /// # Errors
    /// As above.
    pub fn list_users(&self, cursor: Option<UserId>, limit: u32) -> Result<(Vec<User>, Option<UserId>)> {
        self.list_users_in(Part::WHOLE, cursor, limit)
    }

    /// See [`crate::Segue::list_users_in`].
    ///
    /// # Errors
    /// As above.
    pub fn list_users_in(
        &self,
        part: Part,
        cursor: Option<UserId>,
        limit: u32,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        let page = cursor.map(String::from).unwrap_or_default();
        let (asked, part, parts) = (part, part.number().into(), part.of().into());
        let message = pb::ListUsersRequest { page, limit, part, parts };
        let reply = call!(self, Again::Yes, catalog_stub.list_users(message))?;
        let users: Vec<User> = reply.users.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
        in_part(asked, users.iter().map(|user| &user.user_id))?;
        let next = if reply.next_page.is_empty() { None } else { Some(UserId::new(reply.next_page)?) };
        Ok((users, next))
    }

    /// See [`crate::Segue::upsert_vectors`].
    ///
    /// # Errors
    /// As above.
    pub fn upsert_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<WriteToken> {
        let rows = rows.into_iter().map(Into::into).collect();
        let message = pb::UpsertVectorsRequest { space: space.to_string(), generation: generation.0, rows };
        token(call!(self, Again::Yes, catalog_stub.upsert_vectors(message))?.token)
    }

    /// See [`crate::Segue::vector`].
    ///
    /// # Errors
    /// As above.
    pub fn vector(&self, space: &SpaceName, generation: Option<GenerationId>, id: &str) -> Result<Vec<f32>> {
        let generation = generation.map(|id| id.0);
        let message = pb::GetVectorRequest { space: space.to_string(), generation, id: id.to_owned() };
        Ok(call!(self, Again::Yes, catalog_stub.get_vector(message))?.vector)
    }

    /// See [`crate::Segue::list_tracks`].
    ///
    /// # Errors
    /// As above.
    pub fn list_tracks(&self, cursor: Option<u64>, limit: u32) -> Result<(Vec<Track>, Option<u64>)> {
        let page = cursor.map(|cursor| cursor.to_string()).unwrap_or_default();
        let reply = call!(self, Again::Yes, catalog_stub.list_tracks(pb::ListTracksRequest { page, limit }))?;
        let tracks = reply.tracks.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
        let next = crate::api::convert::page_of_tracks(&reply.next_page)?;
        Ok((tracks, next))
    }

    /// See [`crate::Segue::list_vectors`].
    ///
    /// # Errors
    /// As above.
    pub fn list_vectors(
        &self,
        space: &SpaceName,
        generation: Option<GenerationId>,
        page: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<VectorRow>, Option<String>)> {
        let message = pb::ListVectorsRequest {
            space: space.to_string(),
            generation: generation.map(|id| id.0),
            page: page.unwrap_or_default().to_owned(),
            limit,
        };
        let reply = call!(self, Again::Yes, catalog_stub.list_vectors(message))?;
        let rows = reply.rows.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
        Ok((rows, Some(reply.next_page).filter(|page| !page.is_empty())))
    }

    /// See [`crate::Segue::create_generation`]. Tried once: a second try would create a second generation.
    ///
    /// # Errors
    /// As above.
    pub fn create_generation(&self, dim: u32, gram: Option<GramData>) -> Result<GenerationInfo> {
        let message = pb::CreateGenerationRequest { dim, gram: gram.map(Into::into) };
        call!(self, Again::No, generations_stub.create(message))?.try_into()
    }

    /// See [`crate::Segue::activate_generation`].
    ///
    /// # Errors
    /// As above.
    pub fn activate_generation(&self, id: GenerationId) -> Result<GenerationInfo> {
        call!(self, Again::Yes, generations_stub.activate(pb::ActivateGenerationRequest { id: id.0 }))?
            .try_into()
    }

    /// See [`crate::Segue::rollback_generation`]. Tried once: a second try would go back twice.
    ///
    /// # Errors
    /// As above.
    pub fn rollback_generation(&self) -> Result<GenerationInfo> {
        call!(self, Again::No, generations_stub.rollback(pb::RollbackGenerationRequest {}))?.try_into()
    }

    /// See [`crate::Segue::generations`].
    ///
    /// # Errors
    /// As above.
    pub fn generations(&self) -> Result<Vec<GenerationInfo>> {
        let reply = call!(self, Again::Yes, generations_stub.list(pb::ListGenerationsRequest {}))?;
        reply.generations.into_iter().map(TryInto::try_into).collect()
    }

    /// See [`crate::Segue::put_recipe`].
    ///
    /// # Errors
    /// As above.
    pub fn put_recipe(&self, recipe: Recipe) -> Result<Recipe> {
        let message = pb::PutRecipeRequest { recipe: Some(recipe.into()) };
        Ok(recipe_of(call!(self, Again::Yes, recipes_stub.put(message))?)?.0)
    }

    /// See [`crate::Segue::recipes`].
    ///
    /// # Errors
    /// As above.
    pub fn recipes(&self) -> Result<Vec<(Recipe, bool)>> {
        let reply = call!(self, Again::Yes, recipes_stub.list(pb::ListRecipesRequest {}))?;
        reply.recipes.into_iter().map(recipe_of).collect()
    }

    /// See [`crate::Segue::activate_recipe`].
    ///
    /// # Errors
    /// As above.
    pub fn activate_recipe(&self, name: &str, version: u32) -> Result<Recipe> {
        let message = pb::ActivateRecipeRequest { name: name.to_owned(), version };
        Ok(recipe_of(call!(self, Again::Yes, recipes_stub.activate(message))?)?.0)
    }
}

fn recipe_of(reply: pb::RecipeReply) -> Result<(Recipe, bool)> {
    let recipe = reply.recipe.ok_or_else(|| Error::Internal("the server sent no recipe".to_owned()))?;
    Ok((recipe.try_into()?, reply.active))
}
