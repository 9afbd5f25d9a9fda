//! Which query stands for a listener of whom little is known (PIPELINE.md §5): the chain and its centroids.

use super::vectors::unit_sum;

/// The step of the chain that served a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColdStart {
    /// The trained vector, which knows all of the listener's plays.
    UserVector,
    /// A vector solved from the listener's plays on read.
    FoldIn,
    /// The centroid of the artists and genres chosen when signing up.
    Onboarding,
    /// The mean of listeners of the same region and age band.
    RegionAgePrior,
    /// No vector: what is popular in the region.
    Popularity,
}

impl ColdStart {
    /// The name used in replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserVector => "user_vector",
            Self::FoldIn => "fold_in",
            Self::Onboarding => "onboarding",
            Self::RegionAgePrior => "region_age_prior",
            Self::Popularity => "popularity",
        }
    }

    /// Whether the list explores more for want of any vector.
    #[must_use]
    pub fn is_popularity(self) -> bool {
        self == Self::Popularity
    }
}

/// What there is to build a listener's vector from, in the generation the request uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColdStartEvidence {
    /// The generation has a trained vector of the listener.
    pub trained_vector: bool,
    /// The listener has plays that the generation was not trained on.
    pub untrained_plays: bool,
    /// Plays of tracks that have a vector in the generation.
    pub plays_with_vector: u32,
    /// The generation carries what the row solve needs.
    pub fold_in_possible: bool,
    /// Onboarding artists and genres that have a centroid.
    pub onboarding_centroids: u32,
    /// There is a prior for the listener's region and age band.
    pub prior: bool,
}

/// The first step of the chain that the evidence allows. A trained vector gives way to a fold-in when there are newer
/// plays, and is kept when folding in is impossible.
#[must_use]
pub fn cold_start(evidence: &ColdStartEvidence) -> ColdStart {
    let can_fold_in = evidence.fold_in_possible && evidence.plays_with_vector > 0;
    match evidence {
        _ if evidence.trained_vector && !(evidence.untrained_plays && can_fold_in) => ColdStart::UserVector,
        _ if can_fold_in => ColdStart::FoldIn,
        _ if evidence.onboarding_centroids > 0 => ColdStart::Onboarding,
        _ if evidence.prior => ColdStart::RegionAgePrior,
        _ => ColdStart::Popularity,
    }
}

/// The direction of a group of tracks (an artist's, a genre's, or what listeners of a region hear): the mean of their
/// vectors' directions, of unit length. `None` when no track has a vector or they cancel out.
#[must_use]
pub fn group_centroid<'a>(vectors: impl IntoIterator<Item = &'a [f32]>) -> Option<Vec<f32>> {
    unit_sum(vectors.into_iter().map(|vector| (vector, 1.0)))
}

/// The query of a listener who only signed up: chosen artists count twice as much as chosen genres, which say less.
#[must_use]
pub fn onboarding_query(artists: &[Vec<f32>], genres: &[Vec<f32>]) -> Option<Vec<f32>> {
    let artists = artists.iter().map(|centroid| (centroid.as_slice(), 2.0));
    let genres = genres.iter().map(|centroid| (centroid.as_slice(), 1.0));
    unit_sum(artists.chain(genres))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_goes_from_what_is_known_to_what_is_popular() {
        let everything = ColdStartEvidence {
            trained_vector: true,
            untrained_plays: false,
            plays_with_vector: 40,
            fold_in_possible: true,
            onboarding_centroids: 3,
            prior: true,
        };
        let step = |change: fn(&mut ColdStartEvidence)| {
            let mut evidence = everything;
            change(&mut evidence);
            cold_start(&evidence).as_str()
        };
        assert_eq!(step(|_| {}), "user_vector");
        assert_eq!(step(|e| e.untrained_plays = true), "fold_in");
        assert_eq!(step(|e| (e.untrained_plays, e.fold_in_possible) = (true, false)), "user_vector");
        assert_eq!(step(|e| (e.trained_vector, e.plays_with_vector) = (false, 1)), "fold_in");
        assert_eq!(step(|e| (e.trained_vector, e.plays_with_vector) = (false, 0)), "onboarding");
        let nothing =
            ColdStartEvidence { fold_in_possible: true, prior: true, ..ColdStartEvidence::default() };
        assert_eq!(cold_start(&nothing).as_str(), "region_age_prior");
        let last = cold_start(&ColdStartEvidence::default());
        assert_eq!((last.as_str(), last.is_popularity()), ("popularity", true));
    }

    #[test]
    fn chosen_artists_count_twice_as_much_as_genres() {
        let query = onboarding_query(&[vec![1.0, 0.0]], &[vec![0.0, 1.0]]).expect("a direction");
        assert!((query[0] / query[1] - 2.0).abs() < 1e-6);
        assert_eq!(onboarding_query(&[], &[]), None);
        assert_eq!(group_centroid([&[0.0, 3.0][..], &[0.0, 0.1]]), Some(vec![0.0, 1.0]));
    }
}
