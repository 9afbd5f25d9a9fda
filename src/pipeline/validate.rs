//! What makes a request or a recipe acceptable, whoever brings it.
//!
//! Field names in errors are those of the request, nested by dots; ids were checked by their constructors.

use std::collections::HashSet;

use super::recipe::{DEPTH_MAX, HeardWindow, LIST_MAX, RecipePatch, SourceSpec};
use super::request::{
    ExplainRequest, RecommendRequest, RequestContext, SearchRequest, SimilarRequest, SimilarUsersRequest,
    TrackFilter,
};
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::types::{QUERY_BYTES_MAX, TEXT_BYTES_MAX, WORD_BYTES_MAX, length, text, word};

/// The most seeds of one request.
pub const SEEDS_MAX: usize = 50;
/// The largest dimension of a vector.
pub const DIM_MAX: usize = 4_096;
/// The broadest graph search a request may ask for.
pub const EF_MAX: u32 = 100_000;

impl RecommendRequest {
    /// Checks every field that does not need the database.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self, limits: &Limits) -> Result<()> {
        if let Some(n) = self.n {
            count("n", n, limits.k_max)?;
        }
        if let Some(at) = self.as_of {
            at.validate("as_of")?;
        }
        if let Some(recipe) = &self.recipe {
            word("recipe", recipe)?;
        }
        if let Some(id) = &self.request_id {
            word("request_id", id)?;
        }
        self.overrides.validate()?;
        self.filter.validate(limits)?;
        self.context.validate()?;
        length("seeds", self.seeds.len(), SEEDS_MAX)?;
        distinct("seeds", self.seeds.iter().map(AsRef::as_ref))
    }
}

impl RequestContext {
    /// Checks the offset and the words.
    ///
    /// # Errors
    /// `InvalidField`.
    pub fn validate(&self) -> Result<()> {
        ensure((-840..=840).contains(&self.utc_offset_min), "context.utc_offset_min", || {
            format!("must be -840 to 840 minutes. utc_offset_min=`{}`", self.utc_offset_min)
        })?;
        for (field, value) in [("context.device", &self.device), ("context.activity", &self.activity)] {
            value.as_deref().map_or(Ok(()), |value| word(field, value))?;
        }
        Ok(())
    }
}

impl ExplainRequest {
    /// Checks every field that does not need the database.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self, limits: &Limits) -> Result<()> {
        self.request.validate(limits)
    }
}

impl SimilarRequest {
    /// Checks every field that does not need the database.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self, limits: &Limits) -> Result<()> {
        count("k", self.k, limits.k_max)?;
        ensure(!self.seeds.is_empty(), "seeds", || "must name at least one track".to_owned())?;
        length("seeds", self.seeds.len(), SEEDS_MAX)?;
        distinct("seeds", self.seeds.iter().map(|(id, _)| id.as_str()))?;
        for (id, weight) in &self.seeds {
            ensure(weight.is_finite() && *weight != 0.0 && weight.abs() <= 1e6, "seeds.weight", || {
                format!(
                    "must be a number other than 0, at most 1000000 either way. track_id=`{id}`, weight=`{weight}`"
                )
            })?;
        }
        ensure(self.seeds.iter().any(|(_, weight)| *weight > 0.0), "seeds", || {
            "must hold a seed with a positive weight".to_owned()
        })?;
        if let Some(at) = self.as_of {
            at.validate("as_of")?;
        }
        self.filter.validate(limits)
    }
}

impl SimilarUsersRequest {
    /// Checks every field that does not need the database.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self, limits: &Limits) -> Result<()> {
        count("k", self.k, limits.k_max)
    }
}

impl SearchRequest {
    /// Checks every field that does not need the database.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self, limits: &Limits) -> Result<()> {
        count("k", self.k, limits.k_max)?;
        if let Some(ef) = self.ef {
            count("ef", ef, EF_MAX)?;
        }
        if let Some(vector) = &self.vector {
            validate_vector("vector", vector)?;
        }
        ensure(self.metric.is_none() || self.vector.is_some(), "metric", || "needs a vector".to_owned())?;
        text("text", self.text.as_deref().unwrap_or_default(), QUERY_BYTES_MAX)?;
        self.filter.validate(limits)
    }
}

/// Checks that a vector has a dimension in 1 to [`DIM_MAX`] and no component that is not a number.
///
/// # Errors
/// `InvalidField` naming `field` and the component.
pub fn validate_vector(field: &'static str, vector: &[f32]) -> Result<()> {
    ensure((1..=DIM_MAX).contains(&vector.len()), field, || {
        format!("must have 1 to {DIM_MAX} components. components=`{}`", vector.len())
    })?;
    match vector.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::invalid(
            field,
            format!("components must be finite numbers. component=`{at}`, value=`{}`", vector[at]),
        )),
    }
}

impl TrackFilter {
    /// Checks the number of values and that every range can hold something.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self, limits: &Limits) -> Result<()> {
        let terms = self.artists.len()
            + self.exclude_artists.len()
            + self.genres.len()
            + self.exclude_genres.len()
            + self.albums.len()
            + self.exclude_tracks.len();
        length("filter", terms, limits.filter_terms_max as usize)?;
        for (field, words, bytes_max) in [
            ("filter.genres", &self.genres, WORD_BYTES_MAX),
            ("filter.exclude_genres", &self.exclude_genres, WORD_BYTES_MAX),
            ("filter.albums", &self.albums, TEXT_BYTES_MAX),
        ] {
            for value in words {
                ensure(!value.is_empty(), field, || "must not hold an empty text".to_owned())?;
                text(field, value, bytes_max)?;
            }
        }
        self.contradictions()?;
        range("filter.popularity", self.popularity, 0.0, 100.0)?;
        range("filter.tempo", self.tempo, f32::MIN_POSITIVE, 1_000.0)?;
        range("filter.energy", self.energy, 0.0, 1.0)?;
        if let Some((from, to)) = self.release_date {
            ensure(from <= to, "filter.release_date", || {
                format!("must not end before it starts. from=`{from}`, to=`{to}`")
            })?;
        }
        Ok(())
    }

    /// A value both wanted and excluded leaves nothing to find: almost surely a mistake of the caller.
    fn contradictions(&self) -> Result<()> {
        let artists: HashSet<_> = self.exclude_artists.iter().collect();
        let both = self.artists.iter().find(|artist| artists.contains(artist));
        ensure(both.is_none(), "filter.exclude_artists", || {
            format!(
                "names an artist that filter.artists wants. artist_id=`{}`",
                both.map_or("", AsRef::as_ref)
            )
        })?;
        let genres: HashSet<_> = self.exclude_genres.iter().collect();
        let both = self.genres.iter().find(|genre| genres.contains(genre));
        ensure(both.is_none(), "filter.exclude_genres", || {
            format!("names a genre that filter.genres wants. genre=`{}`", both.map_or("", String::as_str))
        })
    }
}

impl RecipePatch {
    /// Checks every field that is given against its range.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        if let Some(n) = self.n {
            count("overrides.n", n, LIST_MAX)?;
        }
        if let Some(specs) = &self.sources {
            sources("overrides.sources", specs)?;
        }
        for (field, heard) in
            [("overrides.heard", self.heard), ("overrides.heard_collaborative", self.heard_collaborative)]
        {
            heard.map_or(Ok(()), |heard| window(field, heard))?;
        }
        for (field, value, max) in [
            ("overrides.personal_weight", self.personal_weight, 1.0),
            ("overrides.mmr_lambda", self.mmr_lambda, 1.0),
            ("overrides.long_tail_share", self.long_tail_share, 0.5),
            ("overrides.exploration_rate", self.exploration_rate, 0.5),
        ] {
            value.map_or(Ok(()), |value| share(field, value, max))?;
        }
        Ok(())
    }
}

fn sources(field: &'static str, specs: &[SourceSpec]) -> Result<()> {
    ensure(!specs.is_empty(), field, || "must name at least one source".to_owned())?;
    distinct(field, specs.iter().map(|spec| spec.source.as_str()))?;
    for spec in specs {
        let name = spec.source.as_str();
        ensure((1..=DEPTH_MAX).contains(&spec.depth), field, || {
            format!("depth must be 1 to {DEPTH_MAX}. source=`{name}`, depth=`{}`", spec.depth)
        })?;
        for weight in spec.weights {
            ensure(weight.is_finite() && (0.0..=1e6).contains(&weight), field, || {
                format!("weights must be 0 or above. source=`{name}`, weight=`{weight}`")
            })?;
        }
    }
    for stage in 0..3 {
        ensure(specs.iter().any(|spec| spec.weights[stage] > 0.0), field, || {
            format!("must leave a positive weight at every stage of maturity. stage=`{stage}`")
        })?;
    }
    Ok(())
}

fn window(field: &'static str, heard: HeardWindow) -> Result<()> {
    ensure(heard != HeardWindow::Days(0), field, || {
        "days must be at least 1; use allowed instead of 0".to_owned()
    })
}

fn share(field: &'static str, value: f64, max: f64) -> Result<()> {
    ensure((0.0..=max).contains(&value), field, || format!("must be 0 to {max}. value=`{value}`"))
}

fn count(field: &'static str, value: u32, max: u32) -> Result<()> {
    ensure((1..=max).contains(&value), field, || format!("must be 1 to {max}. value=`{value}`"))
}

fn range(field: &'static str, bounds: Option<(f32, f32)>, min: f32, max: f32) -> Result<()> {
    let Some((low, high)) = bounds else { return Ok(()) };
    ensure(low.is_finite() && high.is_finite(), field, || {
        format!("bounds must be finite numbers. min=`{low}`, max=`{high}`")
    })?;
    ensure(low <= high, field, || format!("must not have min above max. min=`{low}`, max=`{high}`"))?;
    ensure(low >= min && high <= max, field, || {
        let from = if min == f32::MIN_POSITIVE { "above 0".to_owned() } else { format!("{min}") };
        format!("bounds must lie in {from} to {max}. min=`{low}`, max=`{high}`")
    })
}

fn distinct<'a>(field: &'static str, ids: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for id in ids {
        ensure(seen.insert(id), field, || format!("must not name the same twice. id=`{id}`"))?;
    }
    Ok(())
}

fn ensure(holds: bool, field: &'static str, reason: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(field, reason())) }
}

#[cfg(test)]
mod tests;
