//! Overriding fields of a recipe for one call.

use super::check::{InvalidRecipe, RULES};
use super::document::{Recipe, RecipePatch};

impl Recipe {
    /// The recipe with the fields of `patch`, and list length `n` if given (which wins over the patch's). Name and
    /// version stay those of the recipe that was overridden.
    ///
    /// # Errors
    /// [`InvalidRecipe`] when the result has problems.
    pub fn patched(&self, patch: &RecipePatch, n: Option<u32>) -> Result<Self, InvalidRecipe> {
        let mut recipe = self.clone();
        macro_rules! apply {
            ($($field:ident),+) => {$(
                if let Some(value) = patch.$field.clone() {
                    recipe.$field = value.into();
                }
            )+};
        }
        apply!(
            n,
            sources,
            normalization,
            heard,
            heard_collaborative,
            served_weeks,
            personal_weight,
            mmr_lambda,
            long_tail_share
        );
        apply!(
            artist_cap,
            album_cap,
            exploration_rate,
            sequence,
            energy_arc,
            artist_gap,
            released_within_days,
            diversity,
            exploration_policy,
            learned_weights,
            editorial
        );
        if let Some(n) = n {
            recipe.n = n;
        }
        let mut problems = recipe.problems();
        // Evaluation runs a recipe without rules and may override its other fields.
        problems.retain(|problem| self.rules || problem.field != RULES);
        if problems.is_empty() { Ok(recipe) } else { Err(InvalidRecipe { problems }) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::super::{HeardWindow, built_in};
    use super::*;

    #[test]
    fn a_patch_changes_only_its_fields_and_the_result_is_checked() {
        let recipe = built_in().swap_remove(0);
        let patch = RecipePatch {
            n: Some(40),
            mmr_lambda: Some(1.0),
            heard_collaborative: Some(HeardWindow::Ever),
            ..RecipePatch::default()
        };
        let patched = recipe.patched(&patch, None).unwrap();
        let expected =
            Recipe { n: 40, mmr_lambda: 1.0, heard_collaborative: Some(HeardWindow::Ever), ..recipe.clone() };
        assert_eq!(patched, expected);
        assert_eq!(recipe.patched(&patch, Some(12)).unwrap().n, 12);

        let wrong = RecipePatch { personal_weight: Some(2.0), n: Some(0), ..RecipePatch::default() };
        let error = recipe.patched(&wrong, None).unwrap_err();
        assert_eq!(error.problems.len(), 2, "{error}");
        assert!(recipe.clone().without_rules().patched(&patch, None).is_ok());
    }
}
