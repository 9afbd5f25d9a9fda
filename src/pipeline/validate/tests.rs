use super::*;
use crate::pipeline::recipe::{Diversity, EnergyArc, ExplorationPolicy, Normalization, Recipe, Source};
use crate::types::{ArtistId, Date, Surface, TrackId, UserId};

fn recommend() -> RecommendRequest {
    let user = UserId::new("u").expect("valid");
    RecommendRequest::new(user, Surface::new("radio").expect("valid"))
}

fn field(result: Result<()>) -> String {
    match result {
        Err(Error::InvalidField { field, .. }) => field.into_owned(),
        other => format!("{other:?}"),
    }
}

fn recommend_with(change: impl FnOnce(&mut RecommendRequest)) -> String {
    let mut request = recommend();
    change(&mut request);
    field(request.validate(&Limits::default()))
}

fn track(id: &str) -> TrackId {
    TrackId::new(id).expect("valid")
}

fn similar_with(seeds: &[(&str, f32)], k: u32) -> String {
    let seeds = seeds.iter().map(|(id, weight)| (track(id), *weight)).collect();
    let request = SimilarRequest { k, ..SimilarRequest::new(seeds) };
    field(request.validate(&Limits::default()))
}

#[test]
fn a_recommend_request_names_its_wrong_field() {
    assert_eq!(recommend_with(|_| {}), "Ok(())");
    assert_eq!(recommend_with(|r| r.n = Some(0)), "n");
    assert_eq!(recommend_with(|r| r.n = Some(1_001)), "n");
    assert_eq!(recommend_with(|r| r.seeds = vec![track("a"), track("a")]), "seeds");
    assert_eq!(recommend_with(|r| r.seeds = (0..51).map(|i| track(&i.to_string())).collect()), "seeds");
    assert_eq!(recommend_with(|r| r.context.utc_offset_min = 900), "context.utc_offset_min");
    assert_eq!(recommend_with(|r| r.overrides.mmr_lambda = Some(f64::NAN)), "overrides.mmr_lambda");
    assert_eq!(recommend_with(|r| r.overrides.heard = Some(HeardWindow::Days(0))), "overrides.heard");
    assert_eq!(recommend_with(|r| r.request_id = Some(String::new())), "request_id");
}

#[test]
fn contradictory_filters_are_refused() {
    let filter = |change: fn(&mut TrackFilter)| recommend_with(|r| change(&mut r.filter));
    assert_eq!(filter(|f| f.tempo = Some((120.0, 100.0))), "filter.tempo");
    assert_eq!(filter(|f| f.tempo = Some((0.0, 100.0))), "filter.tempo");
    assert_eq!(filter(|f| f.energy = Some((f32::NAN, 1.0))), "filter.energy");
    assert_eq!(filter(|f| f.popularity = Some((0.0, f32::INFINITY))), "filter.popularity");
    assert_eq!(filter(|f| f.release_date = Some((Date(2), Date(1)))), "filter.release_date");
    assert_eq!(filter(|f| f.genres = vec![String::new()]), "filter.genres");
    assert_eq!(filter(|f| f.genres = vec!["x".to_owned(); 10_001]), "filter");
    assert_eq!(
        filter(|f| {
            f.artists = vec![ArtistId::new("a").expect("valid")];
            f.exclude_artists = f.artists.clone();
        }),
        "filter.exclude_artists"
    );
    assert_eq!(filter(|f| f.tempo = Some((100.0, 100.0))), "Ok(())");
}

#[test]
fn similar_needs_distinct_seeds_with_some_positive_weight() {
    assert_eq!(similar_with(&[("a", 1.0), ("b", -0.5)], 10), "Ok(())");
    assert_eq!(similar_with(&[], 10), "seeds");
    assert_eq!(similar_with(&[("a", 1.0), ("a", 1.0)], 10), "seeds");
    assert_eq!(similar_with(&[("a", -1.0)], 10), "seeds");
    assert_eq!(similar_with(&[("a", f32::NAN)], 10), "seeds.weight");
    assert_eq!(similar_with(&[("a", 0.0)], 10), "seeds.weight");
    assert_eq!(similar_with(&[("a", 1.0)], 0), "k");
}

#[test]
fn vectors_have_finite_components() {
    assert_eq!(field(validate_vector("vector", &[])), "vector");
    assert_eq!(field(validate_vector("vector", &[0.0, f32::NEG_INFINITY])), "vector");
    assert_eq!(field(validate_vector("vector", &vec![0.0; DIM_MAX + 1])), "vector");
    assert_eq!(field(validate_vector("vector", &[0.5; 3])), "Ok(())");
}

#[test]
fn a_recipe_names_its_wrong_field() {
    let good = Recipe {
        name: "mine".to_owned(),
        version: 1,
        n: 30,
        sources: vec![SourceSpec { source: Source::Trending, depth: 50, weights: [1.0; 3] }],
        normalization: Normalization::MinMax,
        heard: HeardWindow::Ever,
        heard_collaborative: None,
        served_weeks: 0,
        personal_weight: 0.35,
        mmr_lambda: 0.6,
        long_tail_share: 0.0,
        artist_cap: 2,
        album_cap: 2,
        exploration_rate: 0.1,
        sequence: true,
        energy_arc: EnergyArc::default(),
        artist_gap: 3,
        released_within_days: 0,
        rules: true,
        diversity: Diversity::Mmr,
        exploration_policy: ExplorationPolicy::Softmax,
        learned_weights: false,
        editorial: Vec::new(),
    };
    let wrong = |change: fn(&mut Recipe)| {
        let mut recipe = good.clone();
        change(&mut recipe);
        field(recipe.validate())
    };
    assert_eq!(wrong(|_| {}), "Ok(())");
    assert_eq!(wrong(|r| r.name = "a@b".to_owned()), "name");
    assert_eq!(wrong(|r| r.n = 0), "n");
    assert_eq!(wrong(|r| r.sources.clear()), "sources");
    assert_eq!(wrong(|r| r.sources.push(r.sources[0].clone())), "sources");
    assert_eq!(wrong(|r| r.sources[0].depth = 2_001), "sources");
    assert_eq!(wrong(|r| r.sources[0].weights[0] = f64::NAN), "sources");
    assert_eq!(wrong(|r| r.sources[0].weights = [0.0, 1.0, 1.0]), "sources");
    assert_eq!(wrong(|r| r.exploration_rate = 0.51), "exploration_rate");
}
