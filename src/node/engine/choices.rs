//! What lists are made by: generations, recipes, experiments.

use super::Segue;
use crate::error::Result;
use crate::pipeline::experiment::{Experiment, ExperimentReport};
use crate::pipeline::recipe::Recipe;
use crate::storage::meta::{GenerationInfo, GramData};
use crate::types::{GenerationId, Surface};

impl Segue {
    /// Opens a new generation, with what fold-in needs when the trainer gave it.
    ///
    /// # Errors
    /// `InvalidField`.
    pub fn create_generation(&self, dim: u32, gram: Option<GramData>) -> Result<GenerationInfo> {
        self.answer_current(|inner| inner.create_generation(dim, gram))
    }

    /// Makes a complete generation the one requests use.
    ///
    /// # Errors
    /// `Conflict` when it is not complete.
    pub fn activate_generation(&self, id: GenerationId) -> Result<GenerationInfo> {
        self.answer_current(|inner| inner.activate_generation(id))
    }

    /// Back to the generation that was active before.
    ///
    /// # Errors
    /// `Conflict` when there is none.
    pub fn rollback_generation(&self) -> Result<GenerationInfo> {
        self.answer_current(|inner| inner.rollback_generation())
    }

    /// All generations, oldest first.
    ///
    /// # Errors
    /// Damaged files.
    pub fn generations(&self) -> Result<Vec<GenerationInfo>> {
        self.answer_current(|inner| inner.generations())
    }

    /// Validates and stores a recipe as the next version of its name; not yet active. One that says what the newest version
    /// says already is that version: a command sent twice stores one.
    ///
    /// # Errors
    /// `InvalidField`.
    pub fn put_recipe(&self, recipe: Recipe) -> Result<Recipe> {
        self.answer_current(|inner| inner.put_recipe(recipe))
    }

    /// All stored versions and whether each is active, built-in ones included.
    ///
    /// # Errors
    /// `Corrupt` when a stored recipe cannot be read.
    pub fn recipes(&self) -> Result<Vec<(Recipe, bool)>> {
        self.answer_current(|inner| inner.recipes())
    }

    /// Makes a version of a recipe the active one.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn activate_recipe(&self, name: &str, version: u32) -> Result<Recipe> {
        self.answer_current(|inner| inner.activate_recipe(name, version))
    }

    /// Stores an experiment as the next version of its surface's, and begins it in place of the one that runs there. The
    /// newest version once more is begun and stays that version, so the call may be made again.
    ///
    /// # Errors
    /// `InvalidField`; `NotFound` for a recipe.
    pub fn put_experiment(&self, experiment: Experiment) -> Result<Experiment> {
        self.answer_current(|inner| inner.put_experiment(experiment))
    }

    /// All stored versions of all surfaces' experiments, and whether each runs.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read.
    pub fn experiments(&self) -> Result<Vec<(Experiment, bool)>> {
        self.answer_current(|inner| inner.experiments())
    }

    /// The experiment of a surface with what all nodes have counted of it since each began to serve it.
    ///
    /// # Errors
    /// `NotFound` when the surface never had one.
    pub fn experiment_report(&self, surface: &Surface) -> Result<ExperimentReport> {
        self.answer_current(|inner| inner.experiment_report(surface))
    }

    /// Ends the experiment of a surface: requests get the surface's recipe again. Fine when none runs.
    ///
    /// # Errors
    /// `NotFound` when the surface never had one.
    pub fn stop_experiment(&self, surface: &Surface) -> Result<Experiment> {
        self.answer_current(|inner| inner.stop_experiment(surface))
    }
}
