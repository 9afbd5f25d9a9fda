//! All versions of all recipes, and which one a request means.

use std::collections::BTreeMap;

use super::built_in::{DEFAULT, built_in};
use super::document::Recipe;
use crate::error::{Error, Result};
use crate::pipeline::experiment::{Assignment, Experiment};
use crate::types::{Surface, UserId};

/// Every version of every recipe and the active version of each name. A name has an active version from the start:
/// its first.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeBook {
    versions: BTreeMap<(String, u32), Recipe>,
    active: BTreeMap<String, u32>,
    /// What runs, by surface.
    running: BTreeMap<Surface, Experiment>,
}

impl RecipeBook {
    /// The built-in recipes only.
    #[must_use]
    pub fn built_in() -> Self {
        let mut book = Self { versions: BTreeMap::new(), active: BTreeMap::new(), running: BTreeMap::new() };
        for recipe in built_in() {
            book.insert(recipe);
        }
        book
    }

    /// Adds a stored version as it is (a stored one replaces nothing: versions are immutable and its number is new).
    /// The first version of a name becomes its active one.
    pub fn insert(&mut self, recipe: Recipe) {
        self.active.entry(recipe.name.clone()).or_insert(recipe.version);
        self.versions.entry((recipe.name.clone(), recipe.version)).or_insert(recipe);
    }

    /// The number the next stored version of `name` gets: one above the highest, 1 for a new name.
    #[must_use]
    pub fn next_version(&self, name: &str) -> u32 {
        self.newest(name).map_or(1, |recipe| recipe.version.saturating_add(1))
    }

    /// The version of `name` with the highest number.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&Recipe> {
        self.versions_of(name).next_back()
    }

    /// Makes a version the active one of its name.
    ///
    /// # Errors
    /// `NotFound` when there is no such version.
    pub fn activate(&mut self, name: &str, version: u32) -> Result<()> {
        self.version(name, version)?;
        self.active.insert(name.to_owned(), version);
        Ok(())
    }

    /// Begins an experiment on its surface, in place of the one that runs there.
    ///
    /// # Errors
    /// `NotFound` when one of its recipes does not exist; `InvalidField` when it is not valid.
    pub fn run(&mut self, experiment: Experiment) -> Result<()> {
        experiment
            .recipes()?
            .into_iter()
            .try_for_each(|(name, version)| self.version(name, version).map(drop))?;
        self.running.insert(experiment.surface.clone(), experiment);
        Ok(())
    }

    /// The experiment that runs on a surface.
    #[must_use]
    pub fn experiment(&self, surface: &Surface) -> Option<&Experiment> {
        self.running.get(surface)
    }

    /// The recipe of a listener's request, and the arm it is of: the one the request names, else that of the listener's
    /// arm where an experiment with arms runs, else as [`RecipeBook::resolve`].
    ///
    /// # Errors
    /// As [`RecipeBook::resolve`].
    pub fn assigned(
        &self,
        surface: &Surface,
        reference: Option<&str>,
        user: &UserId,
    ) -> Result<(&Recipe, Option<Assignment>)> {
        let experiment = self.experiment(surface).filter(|_| reference.is_none());
        let arm = experiment.and_then(|experiment| Some((experiment, experiment.arm_of(user)?)));
        let Some((experiment, arm)) = arm else { return Ok((self.resolve(surface, reference)?, None)) };
        let assignment = Assignment { experiment: experiment.reference(), arm: arm.name.clone() };
        Ok((self.resolve(surface, Some(&arm.recipe))?, Some(assignment)))
    }

    /// The recipe of a request: the one it names (`name` or `name@version`), else the active one of its surface,
    /// else the active default.
    ///
    /// # Errors
    /// `NotFound` for an unknown name or version, `InvalidField` for a version that is no number.
    pub fn resolve(&self, surface: &Surface, reference: Option<&str>) -> Result<&Recipe> {
        match reference.map(|reference| (reference, reference.split_once('@'))) {
            None => self.active(surface.as_str()).or_else(|_| self.active(DEFAULT)),
            Some((name, None)) => self.active(name),
            Some((_, Some((name, version)))) => {
                let version = version.parse().map_err(|_| {
                    Error::invalid("recipe", format!("version must be a number. version=`{version}`"))
                })?;
                self.version(name, version)
            }
        }
    }

    /// All versions by name and number, and whether each is active.
    pub fn iter(&self) -> impl Iterator<Item = (&Recipe, bool)> {
        self.versions.values().map(|recipe| (recipe, self.active.get(&recipe.name) == Some(&recipe.version)))
    }

    fn versions_of(&self, name: &str) -> impl DoubleEndedIterator<Item = &Recipe> {
        let range = (name.to_owned(), 0)..=(name.to_owned(), u32::MAX);
        self.versions.range(range).map(|(_, recipe)| recipe)
    }

    fn active(&self, name: &str) -> Result<&Recipe> {
        let version = self.active.get(name).ok_or_else(|| Error::not_found("recipe", name))?;
        self.version(name, *version)
    }

    fn version(&self, name: &str, version: u32) -> Result<&Recipe> {
        let key = (name.to_owned(), version);
        self.versions.get(&key).ok_or_else(|| Error::not_found("recipe", format!("{name}@{version}")))
    }
}

/// The random seed of a request: BLAKE3 over the lengths and bytes of its id and of `name@version`. The same request
/// on the same state draws the same numbers.
#[must_use]
pub fn request_seed(request_id: &str, recipe_reference: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in [request_id, recipe_reference] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn surface(name: &str) -> Surface {
        Surface::new(name).unwrap()
    }

    #[test]
    fn a_surface_without_a_recipe_gets_the_default() {
        let book = RecipeBook::built_in();
        assert_eq!(book.resolve(&surface("radio"), None).unwrap().reference(), "radio@1");
        assert_eq!(book.resolve(&surface("lobby"), None).unwrap().reference(), "default@1");
    }

    #[test]
    fn versions_live_side_by_side_and_one_is_active() {
        let mut book = RecipeBook::built_in();
        let mut second = book.resolve(&surface("radio"), None).unwrap().clone();
        assert_eq!((book.next_version("radio"), book.next_version("brand_new")), (2, 1));
        second.version = 2;
        second.n = 25;
        book.insert(second);
        assert_eq!(book.resolve(&surface("radio"), None).unwrap().n, 10, "stored is not yet active");
        assert_eq!(book.resolve(&surface("lobby"), Some("radio@2")).unwrap().n, 25);
        book.activate("radio", 2).unwrap();
        assert_eq!(book.resolve(&surface("radio"), None).unwrap().n, 25);
        assert_eq!(book.resolve(&surface("radio"), Some("radio@1")).unwrap().n, 10);
        assert_eq!(book.iter().filter(|(recipe, active)| recipe.name == "radio" && *active).count(), 1);
    }

    #[test]
    fn a_running_experiment_gives_each_listener_the_recipe_of_their_arm_unless_the_request_names_one() {
        let mut book = RecipeBook::built_in();
        let text = r#"{"surface": "radio", "name": "arc", "version": 4, "arms": [
            {"name": "now", "recipe": "radio@1"}, {"name": "new", "recipe": "daily_mix@1"}]}"#;
        let experiment: Experiment = serde_json::from_str(text).unwrap();
        let mut missing = experiment.clone();
        missing.arms[1].recipe = "daily_mix@7".to_owned();
        assert_eq!(book.run(missing).unwrap_err().to_string(), "recipe not found. id=`daily_mix@7`");
        book.run(experiment.clone()).unwrap();
        let mut arms = [0, 0];
        for number in 0..100 {
            let user = UserId::new(format!("u{number}")).unwrap();
            let (recipe, assignment) = book.assigned(&surface("radio"), None, &user).unwrap();
            let assignment = assignment.unwrap();
            assert_eq!(assignment.experiment, "arc@4");
            let place = usize::from(assignment.arm == "new");
            assert_eq!(recipe.reference(), experiment.arms[place].recipe);
            arms[place] += 1;
            let named = book.assigned(&surface("radio"), Some("default"), &user).unwrap();
            assert_eq!((named.0.reference(), named.1), ("default@1".to_owned(), None));
            let elsewhere = book.assigned(&surface("top_mixes"), None, &user).unwrap();
            assert_eq!((elsewhere.0.reference(), elsewhere.1), ("top_mixes@1".to_owned(), None));
        }
        assert!(arms[0] > 30 && arms[1] > 30, "{arms:?}");
    }

    #[test]
    fn unknown_recipes_are_named() {
        let mut book = RecipeBook::built_in();
        let not_found =
            |reference: &str| book.resolve(&surface("radio"), Some(reference)).unwrap_err().to_string();
        assert_eq!(not_found("nope"), "recipe not found. id=`nope`");
        assert_eq!(not_found("radio@9"), "recipe not found. id=`radio@9`");
        assert_eq!(not_found("radio@x"), "recipe: version must be a number. version=`x`");
        assert!(book.activate("radio", 9).is_err());
    }

    #[test]
    fn the_seed_depends_on_request_and_recipe_and_never_changes() {
        assert_ne!(request_seed("a", "bc@1"), request_seed("ab", "c@1"));
        assert_ne!(request_seed("a", "radio@1"), request_seed("a", "radio@2"));
        assert_eq!(request_seed("r1", "radio@1"), 789_916_778_047_046_725);
    }
}
