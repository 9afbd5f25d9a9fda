//! The recipes every database has: one a surface of PIPELINE.md §1, the default, and the one that evaluation uses.
//!
//! Sources without a column in the table of PIPELINE.md §5 (trends, adjacent artists and genres, friends) have weight 0
//! in most recipes: they offer what may be explored, and what fills a list that the others leave short.

use super::document::{
    Diversity, EnergyArc, ExplorationPolicy, HeardWindow, Normalization, Recipe, Source, SourceSpec,
};

/// The recipe of every surface without one of its own.
pub const DEFAULT: &str = "default";
/// The recipe of evaluation: the collaborative source in its own order and nothing else.
pub const COLLABORATIVE_ONLY: &str = "collaborative_only";

/// Blend weights of PIPELINE.md §5 for a new listener, one with 30 plays, one with 500 or more.
const COLLABORATIVE: [f64; 3] = [0.0, 0.3, 0.5];
const CONTENT: [f64; 3] = [0.1, 0.25, 0.2];
const AUDIO: [f64; 3] = [0.3, 0.25, 0.15];
const CONTEXT: [f64; 3] = [0.6, 0.2, 0.15];
const NONE: [f64; 3] = [0.0; 3];

/// Every built-in recipe, version 1 each, in the order operators see them.
#[must_use]
pub fn built_in() -> Vec<Recipe> {
    vec![
        default_recipe(),
        radio(),
        top_mixes(),
        daily_mix(),
        discover_weekly(),
        release_radar(),
        made_for_you(),
        collaborative_only(),
    ]
}

fn spec(source: Source, depth: u32, weights: [f64; 3]) -> SourceSpec {
    SourceSpec { source, depth, weights }
}

/// The sources of PIPELINE.md §3 at their default depths.
fn sources() -> Vec<SourceSpec> {
    vec![
        spec(Source::Collaborative, 100, COLLABORATIVE),
        spec(Source::Content, 100, CONTENT),
        spec(Source::Audio, 100, AUDIO),
        spec(Source::Context, 50, CONTEXT),
        spec(Source::Trending, 50, NONE),
        spec(Source::AdjacentArtists, 100, NONE),
        spec(Source::GenreExploration, 125, NONE),
        spec(Source::Social, 50, NONE),
    ]
}

fn default_recipe() -> Recipe {
    Recipe {
        name: DEFAULT.to_owned(),
        version: 1,
        n: 30,
        sources: sources(),
        normalization: Normalization::MinMax,
        heard: HeardWindow::Days(28),
        heard_collaborative: None,
        served_weeks: 0,
        personal_weight: 0.35,
        mmr_lambda: 0.6,
        long_tail_share: 0.0,
        artist_cap: 2,
        album_cap: 2,
        exploration_rate: 0.20,
        sequence: true,
        energy_arc: EnergyArc::default(),
        artist_gap: 3,
        released_within_days: 0,
        rules: true,
        diversity: Diversity::Mmr,
        exploration_policy: ExplorationPolicy::LinTs,
        learned_weights: false,
        editorial: Vec::new(),
    }
}

fn named(name: &str, n: u32, exploration_rate: f64, heard: HeardWindow) -> Recipe {
    Recipe { name: name.to_owned(), n, exploration_rate, heard, ..default_recipe() }
}

/// A stream that sounds like its seeds: how it sounds counts most at every stage.
fn radio() -> Recipe {
    Recipe {
        sources: vec![
            spec(Source::Collaborative, 100, [0.0, 0.15, 0.25]),
            spec(Source::Content, 100, [0.3, 0.3, 0.25]),
            spec(Source::Audio, 100, [0.6, 0.5, 0.45]),
            spec(Source::AdjacentArtists, 100, [0.2, 0.15, 0.15]),
            spec(Source::Context, 50, [0.1, 0.05, 0.05]),
            spec(Source::Trending, 50, NONE),
        ],
        ..named("radio", 10, 0.08, HeardWindow::Days(1))
    }
}

fn top_mixes() -> Recipe {
    named("top_mixes", 30, 0.125, HeardWindow::Allowed)
}

fn daily_mix() -> Recipe {
    named("daily_mix", 30, 0.25, HeardWindow::Days(1))
}

/// Five hundred candidates (PIPELINE.md §11): a third each from taste and from sound, a quarter from genres next to the
/// listener's, the rest from artists near theirs; and fifty each of the moment and of trends, for who has little history.
fn discover_weekly() -> Recipe {
    Recipe {
        sources: vec![
            spec(Source::Collaborative, 167, [0.0, 0.35, 0.5]),
            spec(Source::Audio, 167, [0.3, 0.25, 0.15]),
            spec(Source::AdjacentArtists, 41, [0.2, 0.2, 0.2]),
            spec(Source::GenreExploration, 125, [0.1, 0.1, 0.1]),
            spec(Source::Context, 50, [0.4, 0.1, 0.05]),
            spec(Source::Trending, 50, NONE),
            spec(Source::Social, 50, NONE),
        ],
        heard_collaborative: Some(HeardWindow::Ever),
        served_weeks: 12,
        ..named("discover_weekly", 30, 0.45, HeardWindow::Days(28))
    }
}

/// Releases of the last four weeks by the listener's artists, then by artists near theirs; nothing else, however short.
fn release_radar() -> Recipe {
    Recipe {
        sources: vec![spec(Source::NewReleases, 200, [1.0; 3])],
        released_within_days: 28,
        ..named("release_radar", 30, 0.10, HeardWindow::Ever)
    }
}

fn made_for_you() -> Recipe {
    named("made_for_you", 20, 0.25, HeardWindow::Days(7))
}

/// One source, its own order: no blending effect, no session, no diversity, no exploration, no playing order. Heard
/// tracks never come back, which is the mask of evaluation.
fn collaborative_only() -> Recipe {
    Recipe {
        sources: vec![spec(Source::Collaborative, 100, [1.0; 3])],
        personal_weight: 0.0,
        mmr_lambda: 1.0,
        long_tail_share: 0.0,
        artist_cap: 0,
        album_cap: 0,
        sequence: false,
        exploration_policy: ExplorationPolicy::Softmax,
        ..named(COLLABORATIVE_ONLY, 10, 0.0, HeardWindow::Ever)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_surface_has_its_table_row() {
        let rows: Vec<(String, u32, f64, HeardWindow)> = built_in()
            .into_iter()
            .map(|recipe| (recipe.name, recipe.n, recipe.exploration_rate, recipe.heard))
            .collect();
        let expected = [
            ("default", 30, 0.20, HeardWindow::Days(28)),
            ("radio", 10, 0.08, HeardWindow::Days(1)),
            ("top_mixes", 30, 0.125, HeardWindow::Allowed),
            ("daily_mix", 30, 0.25, HeardWindow::Days(1)),
            ("discover_weekly", 30, 0.45, HeardWindow::Days(28)),
            ("release_radar", 30, 0.10, HeardWindow::Ever),
            ("made_for_you", 20, 0.25, HeardWindow::Days(7)),
            ("collaborative_only", 10, 0.0, HeardWindow::Ever),
        ];
        assert_eq!(rows, expected.map(|(name, n, rate, heard)| (name.to_owned(), n, rate, heard)));
    }

    #[test]
    fn discovery_is_stricter_where_the_table_says_so() {
        let recipes = built_in();
        let weekly = &recipes[4];
        assert_eq!(weekly.heard_for(Source::Collaborative), HeardWindow::Ever);
        assert_eq!(weekly.heard_for(Source::Audio), HeardWindow::Days(28));
        assert_eq!(weekly.served_weeks, 12);
        let five_hundred = weekly.sources[..4].iter().map(|spec| spec.depth).sum::<u32>();
        assert_eq!(five_hundred, 500);
        assert_eq!(recipes[5].released_within_days, 28);
        assert!(recipes.iter().all(|recipe| recipe.problems().is_empty()));
    }
}
