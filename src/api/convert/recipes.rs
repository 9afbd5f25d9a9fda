//! Recipes.

use super::common::{narrow, required, unknown_value};
use super::editorial;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::recipe::{
    EnergyArc, HeardWindow, Normalization, Recipe, RecipePatch, Source, SourceSpec,
};

/// The gap of a recipe that does not say.
const ARTIST_GAP: u32 = 3;

/// The recipe of a Put request.
pub(crate) fn recipe(request: pb::PutRecipeRequest) -> Result<Recipe> {
    let recipe = Recipe::try_from(required("recipe", request.recipe)?)?;
    recipe.validate()?;
    Ok(recipe)
}

impl From<pb::EnergyArc> for EnergyArc {
    fn from(proto: pb::EnergyArc) -> Self {
        Self(proto.points.into_iter().map(|point| (point.position, point.level)).collect())
    }
}

impl From<EnergyArc> for pb::EnergyArc {
    fn from(EnergyArc(points): EnergyArc) -> Self {
        Self {
            points: points.into_iter().map(|(position, level)| pb::EnergyPoint { position, level }).collect(),
        }
    }
}

fn source(value: i32) -> Result<Source> {
    match pb::Source::try_from(value) {
        Ok(pb::Source::Collaborative) => Ok(Source::Collaborative),
        Ok(pb::Source::Content) => Ok(Source::Content),
        Ok(pb::Source::Audio) => Ok(Source::Audio),
        Ok(pb::Source::Trending) => Ok(Source::Trending),
        Ok(pb::Source::Context) => Ok(Source::Context),
        Ok(pb::Source::AdjacentArtists) => Ok(Source::AdjacentArtists),
        Ok(pb::Source::GenreExploration) => Ok(Source::GenreExploration),
        Ok(pb::Source::NewReleases) => Ok(Source::NewReleases),
        Ok(pb::Source::Rules) => Ok(Source::Rules),
        Ok(pb::Source::Social) => Ok(Source::Social),
        Ok(pb::Source::Unspecified) | Err(_) => Err(unknown_value("sources.source", value)),
    }
}

fn source_to_proto(source: Source) -> pb::Source {
    match source {
        Source::Collaborative => pb::Source::Collaborative,
        Source::Content => pb::Source::Content,
        Source::Audio => pb::Source::Audio,
        Source::Trending => pb::Source::Trending,
        Source::Context => pb::Source::Context,
        Source::AdjacentArtists => pb::Source::AdjacentArtists,
        Source::GenreExploration => pb::Source::GenreExploration,
        Source::NewReleases => pb::Source::NewReleases,
        Source::Rules => pb::Source::Rules,
        Source::Social => pb::Source::Social,
    }
}

impl TryFrom<pb::SourceSpec> for SourceSpec {
    type Error = Error;
    fn try_from(proto: pb::SourceSpec) -> Result<Self> {
        let weights = [proto.weight_new, proto.weight_30_plays, proto.weight_500_plays];
        Ok(Self { source: source(proto.source)?, depth: proto.depth, weights })
    }
}

impl From<SourceSpec> for pb::SourceSpec {
    fn from(spec: SourceSpec) -> Self {
        let [weight_new, weight_30_plays, weight_500_plays] = spec.weights;
        let source = source_to_proto(spec.source).into();
        Self { source, depth: spec.depth, weight_new, weight_30_plays, weight_500_plays }
    }
}

fn normalization(value: i32) -> Result<Option<Normalization>> {
    match pb::Normalization::try_from(value) {
        Ok(pb::Normalization::Unspecified) => Ok(None),
        Ok(pb::Normalization::MinMax) => Ok(Some(Normalization::MinMax)),
        Ok(pb::Normalization::Rrf) => Ok(Some(Normalization::Rrf)),
        Ok(pb::Normalization::ZScore) => Ok(Some(Normalization::ZScore)),
        Err(_) => Err(unknown_value("normalization", value)),
    }
}

fn normalization_to_proto(normalization: Option<Normalization>) -> pb::Normalization {
    match normalization {
        None => pb::Normalization::Unspecified,
        Some(Normalization::MinMax) => pb::Normalization::MinMax,
        Some(Normalization::Rrf) => pb::Normalization::Rrf,
        Some(Normalization::ZScore) => pb::Normalization::ZScore,
    }
}

fn window(field: &'static str, proto: pb::HeardWindow) -> Result<HeardWindow> {
    use pb::heard_window::Window;
    match required(field, proto.window)? {
        Window::Allowed(true) => Ok(HeardWindow::Allowed),
        Window::Ever(true) => Ok(HeardWindow::Ever),
        Window::Days(days) => Ok(HeardWindow::Days(narrow(field, days)?)),
        Window::Allowed(false) | Window::Ever(false) => Err(Error::invalid(field, "must be true when given")),
    }
}

impl From<HeardWindow> for pb::HeardWindow {
    fn from(heard: HeardWindow) -> Self {
        use pb::heard_window::Window;
        let window = match heard {
            HeardWindow::Allowed => Window::Allowed(true),
            HeardWindow::Days(days) => Window::Days(days.into()),
            HeardWindow::Ever => Window::Ever(true),
        };
        Self { window: Some(window) }
    }
}

impl TryFrom<pb::Recipe> for Recipe {
    type Error = Error;
    fn try_from(proto: pb::Recipe) -> Result<Self> {
        Ok(Self {
            name: proto.name,
            version: proto.version,
            n: proto.n,
            sources: proto.sources.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            normalization: required("normalization", normalization(proto.normalization)?)?,
            heard: window("heard", required("heard", proto.heard)?)?,
            heard_collaborative: proto
                .heard_collaborative
                .map(|heard| window("heard_collaborative", heard))
                .transpose()?,
            served_weeks: narrow("served_weeks", proto.served_weeks)?,
            personal_weight: proto.personal_weight,
            mmr_lambda: proto.mmr_lambda,
            long_tail_share: proto.long_tail_share,
            artist_cap: proto.artist_cap,
            album_cap: proto.album_cap,
            exploration_rate: proto.exploration_rate,
            sequence: proto.sequence,
            energy_arc: proto.energy_arc.map(Into::into).unwrap_or_default(),
            artist_gap: proto.artist_gap.unwrap_or(ARTIST_GAP),
            released_within_days: narrow("released_within_days", proto.released_within_days)?,
            rules: proto.rules,
            diversity: editorial::diversity(proto.diversity)?.unwrap_or_default(),
            exploration_policy: editorial::policy(proto.exploration_policy)?.unwrap_or_default(),
            learned_weights: proto.learned_weights,
            editorial: editorial::rules(proto.editorial)?,
        })
    }
}

impl From<Recipe> for pb::Recipe {
    fn from(recipe: Recipe) -> Self {
        Self {
            name: recipe.name,
            version: recipe.version,
            n: recipe.n,
            sources: recipe.sources.into_iter().map(Into::into).collect(),
            normalization: normalization_to_proto(Some(recipe.normalization)).into(),
            heard: Some(recipe.heard.into()),
            heard_collaborative: recipe.heard_collaborative.map(Into::into),
            served_weeks: recipe.served_weeks.into(),
            personal_weight: recipe.personal_weight,
            mmr_lambda: recipe.mmr_lambda,
            long_tail_share: recipe.long_tail_share,
            artist_cap: recipe.artist_cap,
            album_cap: recipe.album_cap,
            exploration_rate: recipe.exploration_rate,
            sequence: recipe.sequence,
            energy_arc: Some(recipe.energy_arc.into()),
            artist_gap: Some(recipe.artist_gap),
            released_within_days: recipe.released_within_days.into(),
            rules: recipe.rules,
            diversity: editorial::diversity_to_proto(Some(recipe.diversity)),
            exploration_policy: editorial::policy_to_proto(Some(recipe.exploration_policy)),
            learned_weights: recipe.learned_weights,
            editorial: recipe.editorial.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::RecipePatch> for RecipePatch {
    type Error = Error;
    fn try_from(proto: pb::RecipePatch) -> Result<Self> {
        let sources =
            |list: pb::SourceList| list.sources.into_iter().map(TryInto::try_into).collect::<Result<_>>();
        let heard =
            |field, proto: Option<pb::HeardWindow>| proto.map(|heard| window(field, heard)).transpose();
        Ok(Self {
            n: proto.n,
            sources: proto.sources.map(sources).transpose()?,
            normalization: normalization(proto.normalization)?,
            heard: heard("overrides.heard", proto.heard)?,
            heard_collaborative: heard("overrides.heard_collaborative", proto.heard_collaborative)?,
            served_weeks: proto
                .served_weeks
                .map(|weeks| narrow("overrides.served_weeks", weeks))
                .transpose()?,
            personal_weight: proto.personal_weight,
            mmr_lambda: proto.mmr_lambda,
            long_tail_share: proto.long_tail_share,
            artist_cap: proto.artist_cap,
            album_cap: proto.album_cap,
            exploration_rate: proto.exploration_rate,
            sequence: proto.sequence,
            energy_arc: proto.energy_arc.map(Into::into),
            artist_gap: proto.artist_gap,
            released_within_days: proto
                .released_within_days
                .map(|days| narrow("overrides.released_within_days", days))
                .transpose()?,
            diversity: editorial::diversity(proto.diversity)?,
            exploration_policy: editorial::policy(proto.exploration_policy)?,
            learned_weights: proto.learned_weights,
            editorial: proto.editorial.map(|list| editorial::rules(list.rules)).transpose()?,
        })
    }
}

impl From<RecipePatch> for pb::RecipePatch {
    fn from(patch: RecipePatch) -> Self {
        let list =
            |specs: Vec<SourceSpec>| pb::SourceList { sources: specs.into_iter().map(Into::into).collect() };
        Self {
            n: patch.n,
            sources: patch.sources.map(list),
            normalization: normalization_to_proto(patch.normalization).into(),
            heard: patch.heard.map(Into::into),
            heard_collaborative: patch.heard_collaborative.map(Into::into),
            served_weeks: patch.served_weeks.map(u32::from),
            personal_weight: patch.personal_weight,
            mmr_lambda: patch.mmr_lambda,
            long_tail_share: patch.long_tail_share,
            artist_cap: patch.artist_cap,
            album_cap: patch.album_cap,
            exploration_rate: patch.exploration_rate,
            sequence: patch.sequence,
            energy_arc: patch.energy_arc.map(Into::into),
            artist_gap: patch.artist_gap,
            released_within_days: patch.released_within_days.map(u32::from),
            diversity: editorial::diversity_to_proto(patch.diversity),
            exploration_policy: editorial::policy_to_proto(patch.exploration_policy),
            learned_weights: patch.learned_weights,
            editorial: patch
                .editorial
                .map(|rules| pb::EditorialRuleList { rules: rules.into_iter().map(Into::into).collect() }),
        }
    }
}
