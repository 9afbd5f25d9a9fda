//! Spaces, generations and recipes: what the meta group decides.

use std::sync::Arc;

use super::engine::Inner;
use super::experiments::read;
use crate::error::{Error, Result};
use crate::pipeline::reader::MetaRead;
use crate::pipeline::recipe::{Recipe, RecipeBook};
use crate::storage::meta::{
    GenerationContents, GenerationInfo, GenerationState, GramData, MetaCommand, MetaReply, MetaState,
};
use crate::types::{GenerationId, SpaceName, SpaceSpec};

/// The name of the key that impression tokens are signed with.
const IMPRESSION_KEY: &str = "impression";

impl Inner {
    pub(super) fn propose_meta(&self, command: &MetaCommand) -> Result<MetaReply> {
        let applied = self.meta.group.propose(command.encode()?)?;
        MetaReply::decode(&applied.reply)?.into_result()
    }

    /// Makes sure of what every database has: the built-in spaces and a key for impression tokens.
    pub(super) fn define_built_in(&self) -> Result<()> {
        let state = self.meta.shard.state();
        for space in SpaceSpec::built_in() {
            if state.space(&space.name).is_none() {
                self.propose_meta(&MetaCommand::DefineSpace(space))?;
            }
        }
        if state.key(IMPRESSION_KEY).is_none() {
            let key = fresh_key()?;
            let name = IMPRESSION_KEY.to_owned();
            self.propose_meta(&MetaCommand::SetKey { name, key, replace: false })?;
        }
        Ok(())
    }

    pub(super) fn impression_key(&self) -> Result<[u8; 32]> {
        let state = self.meta.shard.state();
        let key = state.key(IMPRESSION_KEY).and_then(|key| <[u8; 32]>::try_from(key).ok());
        key.ok_or_else(|| Error::Internal("the key of impression tokens is missing".to_owned()))
    }

    pub(super) fn space(&self, name: &SpaceName) -> Result<SpaceSpec> {
        self.meta.shard.state().space(name).cloned().ok_or_else(|| Error::not_found("space", name))
    }

    /// The dimension of a generation that may still take vectors.
    pub(super) fn generation_dim(&self, id: GenerationId) -> Result<u32> {
        let state = self.meta.shard.state();
        let found = state.generation(id).ok_or_else(|| {
            if id == GenerationId::STATIC {
                Error::invalid("generation", "the space is trained in generations: create one and name it")
            } else {
                Error::not_found("generation", id)
            }
        })?;
        Ok(found.dim)
    }

    /// The generation a read of a space means: the given one, the active one, or none for spaces without.
    pub(super) fn generation_for(
        &self,
        space: &SpaceSpec,
        generation: Option<GenerationId>,
    ) -> Result<GenerationId> {
        if !space.generational {
            return Ok(GenerationId::STATIC);
        }
        let state = self.meta.shard.state();
        match generation {
            Some(id) => {
                state.generation(id).map(|found| found.id).ok_or_else(|| Error::not_found("generation", id))
            }
            None => state.active().map(|found| found.id).ok_or_else(|| {
                Error::Conflict("no generation is active: load one and activate it".to_owned())
            }),
        }
    }

    pub(super) fn create_generation(&self, dim: u32, gram: Option<GramData>) -> Result<GenerationInfo> {
        generation(self.propose_meta(&MetaCommand::CreateGeneration { dim, gram })?)
    }

    pub(super) fn activate_generation(&self, id: GenerationId) -> Result<GenerationInfo> {
        let contents = self.contents(id)?;
        self.with_new_generation(|| {
            generation(self.propose_meta(&MetaCommand::ActivateGeneration { id, contents })?)
        })
    }

    pub(super) fn rollback_generation(&self) -> Result<GenerationInfo> {
        self.with_new_generation(|| generation(self.propose_meta(&MetaCommand::RollbackGeneration)?))
    }

    /// All generations; those being built with what they hold by now.
    pub(super) fn generations(&self) -> Result<Vec<GenerationInfo>> {
        let state = self.meta.shard.state();
        let mut all: Vec<GenerationInfo> = state.generations().cloned().collect();
        for info in all.iter_mut().filter(|info| info.state == GenerationState::Building) {
            let contents = self.contents(info.id)?;
            (info.users, info.tracks) = (contents.users, contents.tracks);
        }
        Ok(all)
    }

    /// What the shards hold of a generation: vectors of its user and its track space.
    fn contents(&self, id: GenerationId) -> Result<GenerationContents> {
        let users = self.users.shards.generations().map_err(Error::from)?;
        let user_cf = crate::pipeline::spaces::user_cf();
        let (user_dim, users) = users
            .into_iter()
            .find(|(space, generation, _, _)| *space == user_cf && *generation == id)
            .map_or((0, 0), |(_, _, dim, rows)| (dim, rows));
        let track_cf = crate::pipeline::spaces::track_cf();
        let reader = self.reader(None)?;
        let tracks = reader.count_vectors(&track_cf, id)?;
        let track_dim = reader.tracks.dim(&track_cf, id).unwrap_or(0);
        Ok(GenerationContents { users, user_dim, tracks, track_dim })
    }

    /// What requests need of the meta group's state; made anew when that has changed.
    pub(super) fn meta_read(&self, state: &Arc<MetaState>) -> Result<Arc<MetaRead>> {
        self.caches.meta.read(state, |state| {
            let ids = state.generations().map(|info| info.id);
            let grams = ids.filter_map(|id| Some((id, Arc::new(state.gram(id)?.clone())))).collect();
            Ok(MetaRead { recipes: Arc::new(recipe_book(state)?), grams })
        })
    }

    fn recipe_book(&self) -> Result<Arc<RecipeBook>> {
        Ok(Arc::clone(&self.meta_read(&self.meta.shard.state())?.recipes))
    }

    pub(super) fn put_recipe(&self, recipe: Recipe) -> Result<Recipe> {
        recipe.validate()?;
        let book = self.recipe_book()?;
        let newest = book.newest(&recipe.name);
        if let Some(same) =
            newest.filter(|newest| **newest == Recipe { version: newest.version, ..recipe.clone() })
        {
            return Ok(same.clone());
        }
        let document = serde_json::to_string(&recipe).map_err(|error| Error::Internal(error.to_string()))?;
        let name = recipe.name.clone();
        let built_in = built_in_version(&name);
        match self.propose_meta(&MetaCommand::PutRecipe { name, document, built_in })? {
            MetaReply::Recipe { version, .. } => Ok(Recipe { version, ..recipe }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn recipes(&self) -> Result<Vec<(Recipe, bool)>> {
        Ok(self.recipe_book()?.iter().map(|(recipe, active)| (recipe.clone(), active)).collect())
    }

    pub(super) fn activate_recipe(&self, name: &str, version: u32) -> Result<Recipe> {
        let built_in = built_in_version(name);
        self.propose_meta(&MetaCommand::ActivateRecipe { name: name.to_owned(), version, built_in })?;
        let book = self.recipe_book()?;
        let found = book.iter().find(|(recipe, _)| recipe.name == name && recipe.version == version);
        found
            .map(|(recipe, _)| recipe.clone())
            .ok_or_else(|| Error::not_found("recipe", format!("{name}@{version}")))
    }
}

/// Built-in recipes, those a state stores, and the experiments that run on them.
///
/// # Errors
/// `Corrupt` when one cannot be read; when one that is active or in an experiment does not exist.
pub(super) fn recipe_book(state: &MetaState) -> Result<RecipeBook> {
    let mut book = RecipeBook::built_in();
    for (name, version, document) in state.recipes() {
        let recipe: Recipe = serde_json::from_str(document).map_err(|error| {
            Error::Corrupt(format!("a stored recipe cannot be read. recipe=`{name}@{version}`: {error}"))
        })?;
        book.insert(Recipe { version, ..recipe });
    }
    for (name, version) in state.active_recipes() {
        book.activate(name, version)?;
    }
    for (surface, version, document, _) in state.experiments().filter(|(.., runs)| *runs) {
        book.run(read(surface, version, document)?)?;
    }
    Ok(book)
}

/// The highest built-in version of a recipe name; 0 if none.
pub(super) fn built_in_version(name: &str) -> u32 {
    let book = RecipeBook::built_in();
    book.iter().filter(|(recipe, _)| recipe.name == name).map(|(recipe, _)| recipe.version).max().unwrap_or(0)
}

fn generation(reply: MetaReply) -> Result<GenerationInfo> {
    match reply {
        MetaReply::Generation(info) => Ok(info),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn unexpected(reply: &MetaReply) -> Error {
    Error::Internal(format!("unexpected reply of the meta group: {reply:?}"))
}

/// 32 bytes from the system's generator.
fn fresh_key() -> Result<Vec<u8>> {
    let mut key = vec![0; 32];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut key));
    read.map_err(|source| Error::Io {
        action: "reading random bytes".into(),
        path: "/dev/urandom".into(),
        source,
    })?;
    Ok(key)
}
