//! What makes a recipe acceptable: every problem at once, so that an author fixes a document in one go.

use std::collections::BTreeSet;

use super::document::{EnergyArc, HeardWindow, Maturity, Recipe, SourceSpec};
use super::editorial::{EditorialRule, RULES_MAX};
use crate::error::Error;

/// The longest recipe name, in bytes.
pub const RECIPE_NAME_BYTES_MAX: usize = 64;
/// The longest list of a recipe.
pub const LIST_MAX: u32 = 1_000;
/// The deepest source of a recipe.
pub const DEPTH_MAX: u32 = 2_000;
/// The field of [`Recipe::rules`].
pub(super) const RULES: &str = "rules";
const ARC_POINTS_MAX: usize = 64;

/// One thing wrong with a recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct RecipeProblem {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it: the range, then the value.
    pub reason: String,
}

/// A recipe that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid recipe: {}", sentences(problems))]
pub struct InvalidRecipe {
    /// At least one.
    pub problems: Vec<RecipeProblem>,
}

impl From<InvalidRecipe> for Error {
    /// Names the first field; the reason goes on with all other problems.
    fn from(InvalidRecipe { problems }: InvalidRecipe) -> Self {
        let Some((first, others)) = problems.split_first() else {
            return Self::invalid("recipe", "is invalid");
        };
        let reason = if others.is_empty() {
            first.reason.clone()
        } else {
            format!("{}; {}", first.reason, sentences(others))
        };
        Self::invalid(first.field, reason)
    }
}

fn sentences(problems: &[RecipeProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Collects problems.
#[derive(Default)]
struct Checker(Vec<RecipeProblem>);

impl Checker {
    fn check(&mut self, holds: bool, field: &'static str, reason: impl FnOnce() -> String) {
        if !holds {
            self.0.push(RecipeProblem { field, reason: reason() });
        }
    }
}

impl Recipe {
    /// Everything that is wrong with the recipe, in field order; empty when it may be used. The version is not
    /// judged: the database gives it.
    #[must_use]
    pub fn problems(&self) -> Vec<RecipeProblem> {
        let mut checker = Checker::default();
        checker.check(is_name(&self.name), "name", || {
            let start: String = self.name.chars().take(RECIPE_NAME_BYTES_MAX).collect();
            format!(
                "must be 1 to {RECIPE_NAME_BYTES_MAX} of a-z, 0-9, _ and -. name=`{}`",
                start.escape_debug()
            )
        });
        let n = self.n;
        checker.check((1..=LIST_MAX).contains(&n), "n", || format!("must be 1 to {LIST_MAX}. n=`{n}`"));
        check_sources(&mut checker, &self.sources);
        for (field, window) in
            [("heard", Some(self.heard)), ("heard_collaborative", self.heard_collaborative)]
        {
            checker.check(window != Some(HeardWindow::Days(0)), field, || {
                "days must be at least 1; use allowed instead of 0".to_owned()
            });
        }
        for (field, value, max) in [
            ("personal_weight", self.personal_weight, 1.0),
            ("mmr_lambda", self.mmr_lambda, 1.0),
            ("long_tail_share", self.long_tail_share, 0.5),
            ("exploration_rate", self.exploration_rate, 0.5),
        ] {
            checker.check((0.0..=max).contains(&value), field, || {
                format!("must be 0 to {max}. value=`{value}`")
            });
        }
        checker.check(is_arc(&self.energy_arc), "energy_arc", || {
            format!(
                "must be 2 to {ARC_POINTS_MAX} points of position and level in 0 to 1, positions rising from 0 to 1"
            )
        });
        let gap = self.artist_gap;
        checker
            .check((1..=10).contains(&gap), "artist_gap", || format!("must be 1 to 10. artist_gap=`{gap}`"));
        check_editorial(&mut checker, &self.editorial);
        checker.check(self.rules, RULES, || "only evaluation may switch them off".to_owned());
        checker.0
    }

    /// Refuses a recipe with problems.
    ///
    /// # Errors
    /// [`InvalidRecipe`] lists all of [`Recipe::problems`].
    pub fn check(&self) -> Result<(), InvalidRecipe> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(InvalidRecipe { problems }) }
    }

    /// [`Recipe::check`] as the library's error.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong and, in its reason, all others.
    pub fn validate(&self) -> Result<(), Error> {
        Ok(self.check()?)
    }
}

/// Whether a name is one of a recipe.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=RECIPE_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn is_arc(EnergyArc(points): &EnergyArc) -> bool {
    let unit = |value: f64| (0.0..=1.0).contains(&value);
    (2..=ARC_POINTS_MAX).contains(&points.len())
        && points.iter().all(|&(at, level)| unit(at) && unit(level))
        && points.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && points.first().is_some_and(|point| point.0 == 0.0)
        && points.last().is_some_and(|point| point.0 == 1.0)
}

fn check_editorial(checker: &mut Checker, rules: &[EditorialRule]) {
    checker.check(rules.len() <= RULES_MAX, "editorial", || {
        format!("must have at most {RULES_MAX} rules. rules=`{}`", rules.len())
    });
    let mut names = BTreeSet::new();
    for rule in rules {
        if let Some(problem) = rule.problem() {
            checker.check(false, "editorial", || problem);
        }
        checker.check(names.insert(&rule.name), "editorial", || {
            format!("must not have two rules of one name. rule=`{}`", rule.name.escape_debug())
        });
    }
}

fn check_sources(checker: &mut Checker, specs: &[SourceSpec]) {
    if specs.is_empty() {
        checker.check(false, "sources", || "must name at least one source".to_owned());
        return;
    }
    let mut seen = BTreeSet::new();
    for spec in specs {
        let source = spec.source.as_str();
        checker.check(seen.insert(spec.source), "sources", || {
            format!("must not name a source twice. source=`{source}`")
        });
        checker.check((1..=DEPTH_MAX).contains(&spec.depth), "sources", || {
            format!("depth must be 1 to {DEPTH_MAX}. source=`{source}`, depth=`{}`", spec.depth)
        });
        for weight in spec.weights {
            checker.check((0.0..=1e6).contains(&weight), "sources", || {
                format!("weights must be 0 to 1e6. source=`{source}`, weight=`{weight}`")
            });
        }
    }
    for (column, plays) in Maturity::PLAYS.into_iter().enumerate() {
        checker.check(specs.iter().any(|spec| spec.weights[column] > 0.0), "sources", || {
            format!("must have a weight above 0 for listeners with {plays} plays")
        });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::super::{Source, built_in};
    use super::*;

    #[test]
    fn all_problems_are_listed_with_field_and_range() {
        let mut recipe = built_in().swap_remove(0);
        recipe.name = "A@1".to_owned();
        recipe.n = 0;
        recipe.sources[0].depth = 2_001;
        recipe.sources[1] = recipe.sources[0].clone();
        recipe.sources[2].weights[1] = f64::NAN;
        recipe.heard = HeardWindow::Days(0);
        recipe.mmr_lambda = 1.5;
        recipe.exploration_rate = 0.51;
        recipe.energy_arc = EnergyArc(vec![(0.0, 0.0), (0.0, 1.0)]);
        recipe.artist_gap = 0;
        recipe.rules = false;
        let problems = recipe.problems();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field).collect();
        assert_eq!(
            fields.join(" "),
            "name n sources sources sources sources heard mmr_lambda exploration_rate energy_arc artist_gap rules"
        );
        assert!(problems[8].reason == "must be 0 to 0.5. value=`0.51`", "{}", problems[8]);
    }

    #[test]
    fn every_maturity_needs_a_weight() {
        let mut recipe = built_in().swap_remove(0);
        recipe.sources =
            vec![SourceSpec { source: Source::Collaborative, depth: 1, weights: [0.0, 0.3, 0.5] }];
        let one = |recipe: &Recipe| recipe.check().unwrap_err().to_string();
        assert_eq!(
            one(&recipe),
            "invalid recipe: sources: must have a weight above 0 for listeners with 0 plays"
        );
        recipe.sources.clear();
        assert_eq!(one(&recipe), "invalid recipe: sources: must name at least one source");
    }
}
