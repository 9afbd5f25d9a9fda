//! Recipes: the pipeline's parameters as a stored, versioned, validated document (PIPELINE.md §1).
//!
//! A recipe is immutable once stored: a change is a new version of its name, and one version of each name is active.
//! The built-in recipes are version 1 of their names and need not be stored. A request may override fields for one
//! call ([`RecipePatch`]); the reply still names the recipe it started from.

mod book;
mod built_in;
mod check;
mod diff;
mod document;
mod editorial;
mod patch;

pub use book::{RecipeBook, request_seed};
pub use built_in::{COLLABORATIVE_ONLY, DEFAULT, built_in};
pub(crate) use check::is_name;
pub use check::{DEPTH_MAX, InvalidRecipe, LIST_MAX, RECIPE_NAME_BYTES_MAX, RecipeProblem};
pub use diff::{Change, diff};
pub use document::{
    Diversity, EnergyArc, ExplorationPolicy, HeardWindow, Maturity, Normalization, Recipe, RecipePatch,
    Source, SourceSpec,
};
pub use editorial::{EditorialRule, RULES_MAX, RuleCondition, RuleEffect, RuleTracks};
