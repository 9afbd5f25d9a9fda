//! The document itself: plain data with ranges; what is checked stands in `check`.

use serde::{Deserialize, Serialize};

use super::editorial::EditorialRule;

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
    /// What fits the hour, the weekday, the device and the activity.
    Context,
    /// Artists near the listener's own, without their hits.
    AdjacentArtists,
    /// A sample of genres next to the listener's own.
    GenreExploration,
    /// Releases of the last 28 days by followed and liked artists, then by artists near them.
    NewReleases,
    /// The recipe's editorial rules.
    Rules,
    /// What friends play.
    Social,
}

impl Source {
    /// Every source, in tie-break order.
    pub const ALL: [Self; 10] = [
        Self::Collaborative,
        Self::Content,
        Self::Audio,
        Self::Trending,
        Self::Context,
        Self::AdjacentArtists,
        Self::GenreExploration,
        Self::NewReleases,
        Self::Rules,
        Self::Social,
    ];

    /// The name used in recipes and replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collaborative => "collaborative",
            Self::Content => "content",
            Self::Audio => "audio",
            Self::Trending => "trending",
            Self::Context => "context",
            Self::AdjacentArtists => "adjacent_artists",
            Self::GenreExploration => "genre_exploration",
            Self::NewReleases => "new_releases",
            Self::Rules => "rules",
            Self::Social => "social",
        }
    }

    /// The number used in impression tokens; never changes, whatever the order of the variants.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Collaborative => 0,
            Self::Content => 1,
            Self::Audio => 2,
            Self::Trending => 3,
            Self::Context => 4,
            Self::AdjacentArtists => 5,
            Self::GenreExploration => 6,
            Self::NewReleases => 7,
            Self::Rules => 8,
            Self::Social => 9,
        }
    }

    /// The source of a number from [`Source::code`].
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.code() == code)
    }
}

/// How lists of different sources are brought to one scale (PIPELINE.md §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// To 0..=1 over the fetched list; all equal → 0.5.
    MinMax,
    /// Reciprocal rank, `11 / (10 + rank)` with rank 1 the best, so that the best has 1.
    Rrf,
    /// Standard score, ±3 standard deviations mapped to 0..=1; offered, measured worse.
    ZScore,
}

/// How the set is kept from sounding alike (PIPELINE.md §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Diversity {
    /// Maximal marginal relevance: against the nearest of what is chosen.
    #[default]
    Mmr,
    /// A determinantal point process: against all that is chosen.
    Dpp,
    /// Against the mean of what is chosen, relevance by place, in the order of relevance (docs/adr/0025).
    Mean,
}

/// How explored tracks are drawn from their pool (PIPELINE.md §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExplorationPolicy {
    /// The more promising, the more often; learns nothing.
    #[default]
    Softmax,
    /// Source and genre cluster by Thompson sampling over what exploring them brought in, then by promise.
    LinTs,
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

/// The stages of a listener's maturity that the columns of [`SourceSpec::weights`] stand for, in plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maturity;

impl Maturity {
    /// Plays at each column; weights are linear between them and constant beyond the last.
    pub const PLAYS: [u32; 3] = [0, 30, 500];
}

/// The course of energy over a list: points `(position, level)`, both 0 to 1, linear between; positions rise from 0
/// to 1. Level 0 is the calmest track of the chosen set and 1 the most energetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnergyArc(pub Vec<(f64, f64)>);

impl Default for EnergyArc {
    /// Rises until 60 % of the list and falls to its end.
    fn default() -> Self {
        Self(vec![(0.0, 0.0), (0.6, 1.0), (1.0, 0.0)])
    }
}

impl EnergyArc {
    /// The level at `position` in 0..=1; the ends' levels beyond the points.
    #[must_use]
    pub fn level(&self, position: f64) -> f64 {
        let points = &self.0;
        let after = points.partition_point(|&(at, _)| at < position);
        match (after.checked_sub(1).and_then(|i| points.get(i)), points.get(after)) {
            (None, None) => 0.5,
            (None, Some(&(_, level))) | (Some(&(_, level)), None) => level,
            (Some(&(from, low)), Some(&(to, high))) => {
                low + (high - low) * (position - from) / (to - from).max(f64::MIN_POSITIVE)
            }
        }
    }
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
    /// Share of the places, the last chosen, that go to the least popular of the best candidates, 0 to 0.5; 0 = none.
    #[serde(default)]
    pub long_tail_share: f64,
    /// At most so many tracks of one primary artist; 0 = no cap.
    pub artist_cap: u32,
    /// At most so many tracks of one album; 0 = no cap.
    pub album_cap: u32,
    /// Share of exploration slots before the listener's factors, 0 to 0.5.
    pub exploration_rate: f64,
    /// Whether the chosen set is put in playing order (PIPELINE.md §9) or left in order of choice.
    pub sequence: bool,
    /// The energy curve of the playing order.
    #[serde(default)]
    pub energy_arc: EnergyArc,
    /// Tracks of one primary artist are at least so many positions apart in playing order where the set allows it,
    /// 1 to 10; 1 = may touch.
    #[serde(default = "default_artist_gap")]
    pub artist_gap: u32,
    /// Only tracks released within this many days before the request; 0 = of any age. A list it leaves short stays short.
    #[serde(default)]
    pub released_within_days: u16,
    /// Whether the hard rules of the listener hold. Only evaluation may switch them off.
    pub rules: bool,
    /// How the set is kept from sounding alike.
    #[serde(default)]
    pub diversity: Diversity,
    /// How explored tracks are drawn.
    #[serde(default)]
    pub exploration_policy: ExplorationPolicy,
    /// Whether blend weights are those learnt from rewards, shrunk to everybody's, instead of the columns.
    #[serde(default)]
    pub learned_weights: bool,
    /// Editorial rules, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub editorial: Vec<EditorialRule>,
}

fn default_artist_gap() -> u32 {
    3
}

impl Recipe {
    /// `name@version`, as replies and requests write it.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Whether nothing but releases by a listener's artists and their neighbours is asked for: such a list stays as short
    /// as it is, unless there is no release at all.
    #[must_use]
    pub fn is_releases_only(&self) -> bool {
        self.sources.iter().all(|spec| spec.source == Source::NewReleases)
    }

    /// The source's part, if the recipe uses it.
    #[must_use]
    pub fn source(&self, source: Source) -> Option<&SourceSpec> {
        self.sources.iter().find(|spec| spec.source == source)
    }

    /// The window of heard tracks for candidates of one source.
    #[must_use]
    pub fn heard_for(&self, source: Source) -> HeardWindow {
        match (source, self.heard_collaborative) {
            (Source::Collaborative, Some(stricter)) => stricter,
            _ => self.heard,
        }
    }

    /// The same recipe with the listener's hard rules switched off; for evaluation only, never stored.
    #[must_use]
    pub fn without_rules(mut self) -> Self {
        self.rules = false;
        self
    }
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
    /// See [`Recipe::long_tail_share`].
    pub long_tail_share: Option<f64>,
    /// See [`Recipe::artist_cap`].
    pub artist_cap: Option<u32>,
    /// See [`Recipe::album_cap`].
    pub album_cap: Option<u32>,
    /// See [`Recipe::exploration_rate`].
    pub exploration_rate: Option<f64>,
    /// See [`Recipe::sequence`].
    pub sequence: Option<bool>,
    /// See [`Recipe::energy_arc`].
    pub energy_arc: Option<EnergyArc>,
    /// See [`Recipe::artist_gap`].
    pub artist_gap: Option<u32>,
    /// See [`Recipe::released_within_days`].
    pub released_within_days: Option<u16>,
    /// See [`Recipe::diversity`].
    pub diversity: Option<Diversity>,
    /// See [`Recipe::exploration_policy`].
    pub exploration_policy: Option<ExplorationPolicy>,
    /// See [`Recipe::learned_weights`].
    pub learned_weights: Option<bool>,
    /// See [`Recipe::editorial`]; replaces the whole list.
    pub editorial: Option<Vec<EditorialRule>>,
}
