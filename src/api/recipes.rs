//! The `Recipes` service.

use tonic::{Request, Response, Status, async_trait};

use super::admission::Lane;
use super::convert;
use super::core::Core;
use super::proto as pb;
use crate::error::Error;
use crate::pipeline::recipe::Recipe;
use crate::types::word;

/// The service.
pub(super) struct RecipesService(pub(super) Core);

type Reply<T> = Result<Response<T>, Status>;

fn reply((recipe, active): (Recipe, bool)) -> pb::RecipeReply {
    pb::RecipeReply { recipe: Some(recipe.into()), active }
}

#[async_trait]
impl pb::recipes_server::Recipes for RecipesService {
    async fn put(&self, request: Request<pb::PutRecipeRequest>) -> Reply<pb::RecipeReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let recipe = convert::recipe(request.into_inner())?;
            Ok(reply((core.engine()?.put_recipe(recipe)?, false)))
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn list(&self, request: Request<pb::ListRecipesRequest>) -> Reply<pb::ListRecipesReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let recipes = core.engine()?.recipes()?.into_iter().map(reply).collect();
            Ok(pb::ListRecipesReply { recipes })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn show(&self, request: Request<pb::ShowRecipeRequest>) -> Reply<pb::RecipeReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::ShowRecipeRequest { name, version } = request.into_inner();
            word("name", &name)?;
            let wanted = |recipe: &Recipe, active: bool| {
                recipe.name == name && version.map_or(active, |version| recipe.version == version)
            };
            let mut recipes = core.engine()?.recipes()?.into_iter();
            recipes.find(|(recipe, active)| wanted(recipe, *active)).map(reply).ok_or_else(|| {
                Error::not_found(
                    "recipe",
                    version.map_or_else(|| name.clone(), |version| format!("{name}@{version}")),
                )
            })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn activate(&self, request: Request<pb::ActivateRecipeRequest>) -> Reply<pb::RecipeReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::ActivateRecipeRequest { name, version } = request.into_inner();
            word("name", &name)?;
            Ok(reply((core.engine()?.activate_recipe(&name, version)?, true)))
        };
        self.0.answer(Lane::Write, deadline, work).await
    }
}
