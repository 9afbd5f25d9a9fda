//! Recipes: the pipeline's parameters as a stored, versioned, validated document (PIPELINE.md §1).

use serde::{Deserialize, Serialize};

/// Where candidates come from (PIPELINE.md §3). The order is the tie-break order of the blend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// User vector against track vectors.
    Collaborative,
    /// Medoids of the listener's tracks, in the track space.
    Content,
    /// Audio centroids of the listener's favourites or the request's seeds.
    Audio,
    /// Popularity by region, and what is breaking.
    Trending,
}

impl Source {
    /// Every source, in tie-break order.
    pub const ALL: [Self; 4] = [Self::Collaborative, Self::Content, Self::Audio, Self::Trending];

    /// The name used in recipes and replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collaborative => "collaborative",
            Self::Content => "content",
            Self::Audio => "audio",
            Self::Trending => "trending",
        }
    }
}

/// How lists of different sources are brought to one scale (PIPELINE.md §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// To 0..=1 over the fetched list; all equal → 0.5.
    MinMax,
    /// Reciprocal rank, `1 / (10 + rank)`.
    Rrf,
    /// Standard score; offered, measured worse.
    ZScore,
}

/// A source's part in a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Which source.
    pub source: Source,
    /// How many candidates it fetches, 1 to 2,000.
    pub depth: u32,
    /// Blend weights for a new listener, one with 30 plays, and one with 500 or more; linear between. Each ≥ 0.
    pub weights: [f64; 3],
}

/// How long a heard track stays away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeardWindow {
    /// Heard tracks may come back at once.
    Allowed,
    /// Not within this many days of the last play.
    Days(u16),
    /// Never again.
    Ever,
}

/// One stage parameter set for one kind of list. Immutable once stored: a change is a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name; a surface without a name of its own uses `default`.
    pub name: String,
    /// 1, 2, …; given by the database when stored.
    pub version: u32,
    /// List length, 1 to 1,000.
    pub n: u32,
    /// The sources, at least one, none twice.
    pub sources: Vec<SourceSpec>,
    /// How their scores are normalised.
    pub normalization: Normalization,
    /// The window of heard tracks.
    pub heard: HeardWindow,
    /// The stricter window of the collaborative source, when it has one.
    pub heard_collaborative: Option<HeardWindow>,
    /// Tracks served in the listener's last so many weekly lists stay away; 0 = no window.
    pub served_weeks: u16,
    /// Weight γ of session, context and novelty against the base score, 0 to 1.
    pub personal_weight: f64,
    /// λ of maximal marginal relevance, 0 to 1; 1 = relevance order.
    pub mmr_lambda: f64,
    /// At most so many tracks of one primary artist; 0 = no cap.
    pub artist_cap: u32,
    /// At most so many tracks of one album; 0 = no cap.
    pub album_cap: u32,
    /// Share of exploration slots before the listener's factors, 0 to 0.5.
    pub exploration_rate: f64,
    /// Whether the chosen set is put in playing order (PIPELINE.md §9) or left in order of choice.
    pub sequence: bool,
    /// Whether the hard rules of the listener hold. Only evaluation may switch them off.
    pub rules: bool,
}

/// Fields of a recipe to override for one call; absent fields keep the recipe's value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecipePatch {
    /// See [`Recipe::n`].
    pub n: Option<u32>,
    /// See [`Recipe::sources`].
    pub sources: Option<Vec<SourceSpec>>,
    /// See [`Recipe::normalization`].
    pub normalization: Option<Normalization>,
    /// See [`Recipe::heard`].
    pub heard: Option<HeardWindow>,
    /// See [`Recipe::heard_collaborative`].
    pub heard_collaborative: Option<HeardWindow>,
    /// See [`Recipe::served_weeks`].
    pub served_weeks: Option<u16>,
    /// See [`Recipe::personal_weight`].
    pub personal_weight: Option<f64>,
    /// See [`Recipe::mmr_lambda`].
    pub mmr_lambda: Option<f64>,
    /// See [`Recipe::artist_cap`].
    pub artist_cap: Option<u32>,
    /// See [`Recipe::album_cap`].
    pub album_cap: Option<u32>,
    /// See [`Recipe::exploration_rate`].
    pub exploration_rate: Option<f64>,
    /// See [`Recipe::sequence`].
    pub sequence: Option<bool>,
}
