//! What callers ask and what they get, in domain types: the API and the CLI convert to and from these.

use serde::{Deserialize, Serialize};

pub use crate::filter::TrackFilter;

use super::experiment::Assignment;
use super::funnel::Funnel;
use super::recipe::RecipePatch;
use crate::types::{Deadline, GenerationId, Metric, SpaceName, Surface, Timestamp, TrackId, UserId};

/// Proof of a write, to be handed to a later read that must see it: one `(group, index)` a group written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriteToken {
    /// Group name (`tracks-0`, `users-0`, `meta`) and the log index that was applied, by name.
    pub applied: Vec<(String, u64)>,
}

/// Asks for a finished list for one listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecommendRequest {
    /// For whom. An unknown user is an error; a user without plays is not.
    pub user_id: UserId,
    /// Where it will be shown; chooses the recipe.
    pub surface: Surface,
    /// List length; the recipe's when absent. 1 to `limits.k_max`.
    pub n: Option<u32>,
    /// The time of the request; the answer is a function of it. Filled in at the border when absent.
    pub as_of: Option<Timestamp>,
    /// A recipe by `name` or `name@version` instead of the surface's.
    pub recipe: Option<String>,
    /// Fields of the recipe to override for this call.
    pub overrides: RecipePatch,
    /// Decides every random choice together with the recipe; made up at the border when absent.
    pub request_id: Option<String>,
    /// Further conditions.
    pub filter: TrackFilter,
    /// Seeds for seeded surfaces (radio); empty otherwise. At most 50.
    pub seeds: Vec<TrackId>,
    /// What the listener is doing and where, for context.
    pub context: RequestContext,
    /// Whether each track carries its scores, and the list its funnel.
    pub explain: bool,
    /// Search exactly instead of through the graph.
    pub exact: bool,
    /// Whether the reply lists what each source offered.
    pub offers: bool,
    /// The generation to use; the active one when absent.
    pub generation: Option<GenerationId>,
    /// The state must be at least this new.
    pub min_token: Option<WriteToken>,
    /// Until when the caller waits.
    #[serde(skip)]
    pub deadline: Deadline,
    /// The listener will not be asked for again soon, as in a batch: nothing that is derived of them is kept in memory, where it
    /// would take the place of listeners who are active. The list is the same.
    #[serde(skip)]
    pub once: bool,
}

impl RecommendRequest {
    /// A request with every option at its default.
    #[must_use]
    pub fn new(user_id: UserId, surface: Surface) -> Self {
        Self {
            user_id,
            surface,
            n: None,
            as_of: None,
            recipe: None,
            overrides: RecipePatch::default(),
            request_id: None,
            filter: TrackFilter::default(),
            seeds: Vec::new(),
            context: RequestContext::default(),
            explain: false,
            exact: false,
            offers: false,
            generation: None,
            min_token: None,
            deadline: Deadline::NEVER,
            once: false,
        }
    }
}

/// The listener's situation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestContext {
    /// Minutes to add to UTC for the listener's local time, −840 to 840.
    pub utc_offset_min: i32,
    /// For example `phone`, `speaker`, `car`.
    pub device: Option<String>,
    /// For example `gym`, `focus`, `sleep`.
    pub activity: Option<String>,
}

/// Asks for tracks like some seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimilarRequest {
    /// 1 to 50 seeds with weights; a negative weight pushes away.
    pub seeds: Vec<(TrackId, f32)>,
    /// The space to compare in: `track_cf` (default), `audio`, or any other track space.
    pub space: Option<SpaceName>,
    /// How many, 1 to `limits.k_max`.
    pub k: u32,
    /// Conditions.
    pub filter: TrackFilter,
    /// Whose hard rules to obey, if anybody's.
    pub user_id: Option<UserId>,
    /// The time of the request.
    pub as_of: Option<Timestamp>,
    /// Search exactly instead of through the graph.
    pub exact: bool,
    /// The generation to use; the active one when absent.
    pub generation: Option<GenerationId>,
    /// The state must be at least this new.
    pub min_token: Option<WriteToken>,
    /// Until when the caller waits.
    #[serde(skip)]
    pub deadline: Deadline,
}

impl SimilarRequest {
    /// A request for ten tracks with every other option at its default.
    #[must_use]
    pub fn new(seeds: Vec<(TrackId, f32)>) -> Self {
        Self {
            seeds,
            space: None,
            k: 10,
            filter: TrackFilter::default(),
            user_id: None,
            as_of: None,
            exact: false,
            generation: None,
            min_token: None,
            deadline: Deadline::NEVER,
        }
    }
}

/// Asks for listeners like one listener.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarUsersRequest {
    /// The listener.
    pub user_id: UserId,
    /// How many.
    pub k: u32,
    /// The generation to use; the active one when absent.
    pub generation: Option<GenerationId>,
    /// Until when the caller waits.
    pub deadline: Deadline,
}

impl SimilarUsersRequest {
    /// A request with every other option at its default.
    #[must_use]
    pub fn new(user_id: UserId, k: u32) -> Self {
        Self { user_id, k, generation: None, deadline: Deadline::NEVER }
    }
}

/// A listener like another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimilarUser {
    /// Who.
    pub user_id: UserId,
    /// Cosine of the two user vectors.
    pub score: f32,
}

/// Asks for the tracks nearest to a vector, or, without one, the most popular tracks that pass the filter.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    /// The space of `vector`.
    pub space: SpaceName,
    /// The query; absent: order by popularity.
    pub vector: Option<Vec<f32>>,
    /// The metric; the space's first when absent.
    pub metric: Option<Metric>,
    /// Only titles and artist names that contain all these words (case-insensitive).
    pub text: Option<String>,
    /// How many.
    pub k: u32,
    /// Effort of the graph search: nodes it follows on average; chosen from `k` when absent.
    pub ef: Option<u32>,
    /// Conditions.
    pub filter: TrackFilter,
    /// Search exactly instead of through the graph.
    pub exact: bool,
    /// The generation to use; the active one when absent.
    pub generation: Option<GenerationId>,
    /// The state must be at least this new.
    pub min_token: Option<WriteToken>,
    /// Until when the caller waits.
    pub deadline: Deadline,
}

impl SearchRequest {
    /// A request for ten tracks of a space with every other option at its default.
    #[must_use]
    pub fn new(space: SpaceName) -> Self {
        Self {
            space,
            vector: None,
            metric: None,
            text: None,
            k: 10,
            ef: None,
            filter: TrackFilter::default(),
            exact: false,
            generation: None,
            min_token: None,
            deadline: Deadline::NEVER,
        }
    }
}

/// A finished list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// For whom; absent for *similar* and *search*.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<UserId>,
    /// `name@version` of the recipe; empty for *similar* and *search*.
    pub recipe: String,
    /// The experiment and the arm that chose the recipe, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub experiment: Option<Assignment>,
    /// The embedding generation that was compared in; absent when no generation is active.
    pub generation: Option<GenerationId>,
    /// The time the answer is for.
    pub as_of: Timestamp,
    /// The request's id: with it and the same state, the same answer.
    pub request_id: String,
    /// The random seed derived from it.
    pub seed: u64,
    /// Which step of the cold-start chain served: `user_vector`, `fold_in`, `onboarding`, `region_age_prior`, `popularity`.
    pub cold_start: String,
    /// Sources or shards that missed their deadline or had nothing to offer.
    pub degraded: Vec<String>,
    /// What had to be relaxed to fill the list, in words.
    pub relaxed: Vec<String>,
    /// Applied log index of each shard read.
    pub applied: Vec<(String, u64)>,
    /// How each vector source searched.
    pub searches: Vec<SearchReport>,
    /// Hand this to `Feedback(served)` when the list is shown.
    pub impression: String,
    /// The list, first to last.
    pub tracks: Vec<RecommendedTrack>,
    /// What each source offered, in the recipe's order, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub offers: Vec<SourceOffer>,
    /// How many tracks each stage let through, when explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub funnel: Option<Funnel>,
}

/// What one source offered before the lists were blended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceOffer {
    /// The source.
    pub source: String,
    /// Its tracks with the source's own scores, best first.
    pub tracks: Vec<(TrackId, f64)>,
}

/// How one vector search ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchReport {
    /// The source or `similar`, `search`.
    pub source: String,
    /// The space searched.
    pub space: SpaceName,
    /// `plain`, `filtered` or `exact`; several when segments differed, joined by `+`.
    pub path: String,
    /// The planner's estimate of the share of rows that pass, 0 to 1.
    pub selectivity: f32,
}

/// One track of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecommendedTrack {
    /// Which track.
    pub track_id: TrackId,
    /// Its title.
    pub title: String,
    /// Artist names, primary first.
    pub artists: Vec<String>,
    /// The final score the order of choice was made by.
    pub score: f64,
    /// Sources that offered it.
    pub sources: Vec<String>,
    /// Whether it is an exploration slot.
    pub explored: bool,
    /// Why, in words a listener understands.
    pub reason: String,
    /// Numbers behind it, when asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub explanation: Option<TrackExplanation>,
}

/// The numbers behind one track of a list.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrackExplanation {
    /// Each source's part.
    pub sources: Vec<SourceScore>,
    /// Weighted sum of the normalised scores.
    pub base: f64,
    /// Session part, 0 to 1.
    pub session: f64,
    /// Context part, 0 to 1.
    pub context: f64,
    /// Novelty part, 0 to 1.
    pub novelty: f64,
    /// What diversity took off, in units of the min-maxed score.
    pub mmr_penalty: f64,
    /// Exploration arm, when explored.
    pub arm: Option<String>,
    /// Probability with which the arm's policy chose it, when explored.
    pub propensity: Option<f64>,
}

/// One source's opinion of a track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceScore {
    /// The source.
    pub source: String,
    /// Its own score.
    pub raw: f64,
    /// Normalised to 0..=1 over its list.
    pub normalized: f64,
    /// The blend weight it had.
    pub weight: f64,
    /// 0-based rank in its list.
    pub rank: u32,
}

/// Asks why a track is, or is not, in a listener's list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The request to explain.
    pub request: RecommendRequest,
    /// The track in question.
    pub track_id: TrackId,
}

/// Why a track is, or is not, in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The track.
    pub track_id: TrackId,
    /// Its title.
    pub title: String,
    /// `name@version` of the recipe that the list was made by.
    #[serde(default)]
    pub recipe: String,
    /// The experiment and the arm that chose the recipe, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub experiment: Option<Assignment>,
    /// Whether the list has it.
    pub listed: bool,
    /// Its 0-based position if so.
    pub position: Option<u32>,
    /// `listed`, or the stage that dropped it: `filter`, `window`, `retrieval`, `blend`, `cap`, `diversity`.
    pub stage: String,
    /// The reason in words.
    pub reason: String,
    /// Numbers, where the track was scored at all.
    pub scores: Option<TrackExplanation>,
}
