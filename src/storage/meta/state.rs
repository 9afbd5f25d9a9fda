//! The state and the one function that changes it.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::{
    command::{Field, MetaCommand, MetaReply, Named},
    generation::{DIM_MAX, GenerationContents, GenerationInfo, GenerationState, GramData},
    split::{ShardKind, ShardSplits},
};
use crate::types::{GenerationId, SpaceName, SpaceSpec, TRACK_SHARDS_MAX};

const NAME_BYTES_MAX: usize = 256;
const KEY_BYTES_MAX: usize = 1024;
const EXPERIMENT_BYTES_MAX: usize = 64 << 10;

/// Everything the meta group knows. Small; read as one immutable value.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct MetaState {
    /// By name.
    pub(super) spaces: BTreeMap<String, SpaceSpec>,
    /// By number.
    pub(super) generations: BTreeMap<u32, Generation>,
    /// The highest number ever given.
    pub(super) last_generation: u32,
    pub(super) active: Option<GenerationId>,
    /// Generations that were active before the active one and still exist, oldest first.
    pub(super) retired: Vec<GenerationId>,
    pub(super) recipes: BTreeMap<(String, u32), String>,
    pub(super) active_recipes: BTreeMap<String, u32>,
    pub(super) keys: BTreeMap<String, Vec<u8>>,
    /// `None`: not decided, or decided before this was kept; then there is one.
    pub(super) user_shards: Option<u16>,
    /// `None`: not decided, or one.
    pub(super) track_shards: Option<u16>,
    /// Documents by surface and version.
    pub(super) experiments: BTreeMap<(String, u32), String>,
    /// The version that runs, by surface.
    pub(super) running: BTreeMap<String, u32>,
    /// `None`: no user shard was ever split.
    pub(super) user_splits: Option<ShardSplits>,
    /// `None`: no track shard was ever split.
    pub(super) track_splits: Option<ShardSplits>,
}

/// A generation as it is kept.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct Generation {
    info: GenerationInfo,
    gram: Option<GramData>,
}

impl Default for MetaState {
    /// The state before any entry: the built-in spaces and nothing else.
    fn default() -> Self {
        let spaces = SpaceSpec::built_in().into_iter().map(|space| (space.name.to_string(), space)).collect();
        Self {
            spaces,
            generations: BTreeMap::new(),
            last_generation: 0,
            active: None,
            retired: Vec::new(),
            recipes: BTreeMap::new(),
            active_recipes: BTreeMap::new(),
            keys: BTreeMap::new(),
            user_shards: None,
            track_shards: None,
            experiments: BTreeMap::new(),
            running: BTreeMap::new(),
            user_splits: None,
            track_splits: None,
        }
    }
}

impl MetaState {
    /// All spaces, by name.
    pub fn spaces(&self) -> impl Iterator<Item = &SpaceSpec> {
        self.spaces.values()
    }

    /// A space.
    #[must_use]
    pub fn space(&self, name: &SpaceName) -> Option<&SpaceSpec> {
        self.spaces.get(name.as_str())
    }

    /// All generations, oldest first.
    pub fn generations(&self) -> impl Iterator<Item = &GenerationInfo> {
        self.generations.values().map(|generation| &generation.info)
    }

    /// A generation.
    #[must_use]
    pub fn generation(&self, id: GenerationId) -> Option<&GenerationInfo> {
        self.generations.get(&id.0).map(|generation| &generation.info)
    }

    /// What fold-in needs in a generation.
    #[must_use]
    pub fn gram(&self, id: GenerationId) -> Option<&GramData> {
        self.generations.get(&id.0)?.gram.as_ref()
    }

    /// The generation requests use.
    #[must_use]
    pub fn active(&self) -> Option<&GenerationInfo> {
        self.generation(self.active?)
    }

    /// The generation a rollback goes to.
    #[must_use]
    pub fn previous(&self) -> Option<&GenerationInfo> {
        self.generation(*self.retired.last()?)
    }

    /// Stored recipes by name and version: their documents. Built-in ones are code, not state.
    pub fn recipes(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.recipes.iter().map(|((name, version), document)| (name.as_str(), *version, document.as_str()))
    }

    /// The versions that were activated, by name; a name without one uses its first version.
    pub fn active_recipes(&self) -> impl Iterator<Item = (&str, u32)> {
        self.active_recipes.iter().map(|(name, version)| (name.as_str(), *version))
    }

    /// Key bytes by name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&[u8]> {
        self.keys.get(name).map(Vec::as_slice)
    }

    /// Whether a file of version 2 can hold all of it.
    pub(super) fn is_of_second_version(&self) -> bool {
        self.is_of_third_version()
            && self.track_shards.is_none()
            && self.experiments.is_empty()
            && self.running.is_empty()
    }

    /// Whether a file of version 3 can hold all of it.
    pub(super) fn is_of_third_version(&self) -> bool {
        self.user_splits.is_none() && self.is_of_fourth_version()
    }

    /// Whether a file of version 4 can hold all of it.
    pub(super) fn is_of_fourth_version(&self) -> bool {
        self.track_splits.is_none()
    }

    /// Stored experiments by surface and version: their documents, and whether each runs.
    pub fn experiments(&self) -> impl Iterator<Item = (&str, u32, &str, bool)> {
        self.experiments.iter().map(|((surface, version), document)| {
            let runs = self.running.get(surface) == Some(version);
            (surface.as_str(), *version, document.as_str(), runs)
        })
    }

    /// Applies a command: the state changes, or the reply says why not.
    pub fn apply(&mut self, command: MetaCommand) -> MetaReply {
        match command {
            MetaCommand::DefineSpace(space) => self.define_space(space),
            MetaCommand::CreateGeneration { dim, gram } => self.create_generation(dim, gram),
            MetaCommand::ActivateGeneration { id, contents } => self.activate_generation(id, contents),
            MetaCommand::RollbackGeneration => self.rollback_generation(),
            MetaCommand::DropGeneration { id } => self.drop_generation(id),
            MetaCommand::PutRecipe { name, document, built_in } => self.put_recipe(name, document, built_in),
            MetaCommand::ActivateRecipe { name, version, built_in } => {
                self.activate_recipe(name, version, built_in)
            }
            MetaCommand::SetKey { name, key, replace } => self.set_key(name, key, replace),
            MetaCommand::SetUserShards { count } => self.set_user_shards(count),
            MetaCommand::PutExperiment { surface, document, needs } => {
                self.put_experiment(surface, document, &needs)
            }
            MetaCommand::StopExperiment { surface } => self.stop_experiment(surface),
            MetaCommand::SetTrackShards { count } => self.set_track_shards(count),
            MetaCommand::BeginSplit { parent, at, founder, instead_of } => {
                self.begin_split(ShardKind::Users, (parent, at), founder, instead_of)
            }
            MetaCommand::AdvanceSplit { child, phase } => self.advance_split(ShardKind::Users, child, phase),
            MetaCommand::EndSplit { child } => self.end_split(ShardKind::Users, child),
            MetaCommand::BeginTrackSplit { parent, at, founder, instead_of } => {
                self.begin_split(ShardKind::Tracks, (parent, at), founder, instead_of)
            }
            MetaCommand::AdvanceTrackSplit { child, phase } => {
                self.advance_split(ShardKind::Tracks, child, phase)
            }
            MetaCommand::EndTrackSplit { child } => self.end_split(ShardKind::Tracks, child),
        }
    }

    fn set_track_shards(&mut self, count: u16) -> MetaReply {
        if !(2..=TRACK_SHARDS_MAX).contains(&count) {
            return invalid(
                Field::TrackShards,
                format!("must be 2 to {TRACK_SHARDS_MAX} to be kept. track_shards=`{count}`"),
            );
        }
        // Whoever decided about user shards has decided about track shards before.
        let known = self.track_shards.or(self.user_shards.map(|_| 1)).unwrap_or(count);
        if known != count {
            return MetaReply::Conflict(format!(
                "the number of track shards is decided already. track_shards=`{known}`, asked=`{count}`"
            ));
        }
        self.track_shards = Some(count);
        MetaReply::Done
    }

    fn define_space(&mut self, space: SpaceSpec) -> MetaReply {
        if space.metrics.is_empty() {
            return invalid(Field::Metrics, "a space needs at least one metric");
        }
        match self.spaces.get(space.name.as_str()) {
            Some(known) if *known != space => {
                MetaReply::Conflict(format!("space is defined otherwise already. space=`{}`", space.name))
            }
            _ => {
                self.spaces.insert(space.name.to_string(), space);
                MetaReply::Done
            }
        }
    }

    fn create_generation(&mut self, dim: u32, gram: Option<GramData>) -> MetaReply {
        if dim == 0 || dim > DIM_MAX {
            return invalid(Field::Dim, format!("dimension must be 1 to {DIM_MAX}. dim=`{dim}`"));
        }
        if let Some(problem) = gram.as_ref().and_then(|gram| gram.problem(dim)) {
            return invalid(Field::Gram, problem);
        }
        let Some(number) = self.last_generation.checked_add(1) else {
            return MetaReply::Conflict("generation numbers are used up".to_owned());
        };
        self.last_generation = number;
        let id = GenerationId(number);
        let fold_in = gram.is_some();
        let state = GenerationState::Building;
        let info = GenerationInfo { id, state, dim, users: 0, tracks: 0, fold_in };
        self.generations.insert(number, Generation { info: info.clone(), gram });
        MetaReply::Generation(info)
    }

    fn activate_generation(&mut self, id: GenerationId, contents: GenerationContents) -> MetaReply {
        let Some(generation) = self.generations.get_mut(&id.0) else { return no_generation(id) };
        if let Some(problem) = incomplete(&generation.info, contents) {
            return MetaReply::Conflict(problem);
        }
        generation.info.users = contents.users;
        generation.info.tracks = contents.tracks;
        self.switch_to(id, true)
    }

    fn rollback_generation(&mut self) -> MetaReply {
        match self.retired.last() {
            Some(&previous) => self.switch_to(previous, false),
            None => MetaReply::Conflict("no generation was active before".to_owned()),
        }
    }

    /// Makes `id` active; the generation that was active can be rolled back to if `keep` says so.
    fn switch_to(&mut self, id: GenerationId, keep: bool) -> MetaReply {
        self.retired.retain(|retired| *retired != id);
        if let Some(before) = self.active.filter(|before| *before != id) {
            if keep {
                self.retired.push(before);
            }
            if let Some(generation) = self.generations.get_mut(&before.0) {
                generation.info.state = GenerationState::Retired;
            }
        }
        self.active = Some(id);
        let Some(generation) = self.generations.get_mut(&id.0) else { return no_generation(id) };
        generation.info.state = GenerationState::Active;
        MetaReply::Generation(generation.info.clone())
    }

    fn drop_generation(&mut self, id: GenerationId) -> MetaReply {
        if self.active == Some(id) {
            return MetaReply::Conflict(format!("generation is active. generation=`{id}`"));
        }
        self.retired.retain(|retired| *retired != id);
        if self.generations.remove(&id.0).is_some() { MetaReply::Done } else { no_generation(id) }
    }

    fn put_recipe(&mut self, name: String, document: String, built_in: u32) -> MetaReply {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return invalid(Field::Name, format!("name must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        let range = (name.clone(), 0)..=(name.clone(), u32::MAX);
        let stored = self.recipes.range(range).next_back().map_or(0, |((_, version), _)| *version);
        let Some(version) = stored.max(built_in).checked_add(1) else {
            return MetaReply::Conflict(format!("versions are used up. recipe=`{name}`"));
        };
        self.recipes.insert((name.clone(), version), document);
        MetaReply::Recipe { name, version }
    }

    fn activate_recipe(&mut self, name: String, version: u32, built_in: u32) -> MetaReply {
        let is_built_in = (1..=built_in).contains(&version);
        if !is_built_in && !self.recipes.contains_key(&(name.clone(), version)) {
            return MetaReply::NotFound { what: Named::Recipe, id: format!("{name}@{version}") };
        }
        self.active_recipes.insert(name.clone(), version);
        MetaReply::Recipe { name, version }
    }

    fn put_experiment(&mut self, surface: String, document: String, needs: &[(String, u32)]) -> MetaReply {
        if surface.is_empty() || surface.len() > NAME_BYTES_MAX {
            return invalid(Field::Surface, format!("surface must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        if document.len() > EXPERIMENT_BYTES_MAX {
            let bytes = document.len();
            return invalid(
                Field::Experiment,
                format!("must have at most {EXPERIMENT_BYTES_MAX} bytes. bytes=`{bytes}`"),
            );
        }
        if let Some((name, version)) = needs.iter().find(|needed| !self.recipes.contains_key(*needed)) {
            return MetaReply::NotFound { what: Named::Recipe, id: format!("{name}@{version}") };
        }
        let version = match self.newest_experiment(&surface) {
            Some((newest, same)) if *same == document => newest,
            Some((u32::MAX, _)) => {
                return MetaReply::Conflict(format!("versions are used up. surface=`{surface}`"));
            }
            newest => newest.map_or(1, |(newest, _)| newest + 1),
        };
        self.experiments.insert((surface.clone(), version), document);
        self.running.insert(surface, version);
        MetaReply::Experiment { version }
    }

    fn stop_experiment(&mut self, surface: String) -> MetaReply {
        let Some((version, _)) = self.newest_experiment(&surface) else {
            return MetaReply::NotFound { what: Named::Experiment, id: surface };
        };
        self.running.remove(&surface);
        MetaReply::Experiment { version }
    }

    fn newest_experiment(&self, surface: &str) -> Option<(u32, &String)> {
        let range = (surface.to_owned(), 0)..=(surface.to_owned(), u32::MAX);
        self.experiments.range(range).next_back().map(|((_, version), document)| (*version, document))
    }

    fn set_key(&mut self, name: String, key: Vec<u8>, replace: bool) -> MetaReply {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return invalid(Field::Name, format!("name must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return invalid(Field::Key, format!("key must have 1 to {KEY_BYTES_MAX} bytes"));
        }
        let held = self.keys.entry(name).or_insert_with(|| key.clone());
        if replace {
            *held = key;
        }
        MetaReply::Key(held.clone())
    }
}

/// Why a generation cannot serve, given what the shards hold of it.
fn incomplete(info: &GenerationInfo, contents: GenerationContents) -> Option<String> {
    let (id, dim) = (info.id, info.dim);
    for (what, count, found) in
        [("user", contents.users, contents.user_dim), ("track", contents.tracks, contents.track_dim)]
    {
        if count == 0 {
            return Some(format!("generation has no {what} vectors: load them first. generation=`{id}`"));
        }
        if found != dim {
            return Some(format!(
                "generation has {what} vectors of another dimension. generation=`{id}`, expected=`{dim}`, found=`{found}`"
            ));
        }
    }
    None
}

pub(super) fn invalid(field: Field, reason: impl Into<String>) -> MetaReply {
    MetaReply::Invalid { field, reason: reason.into() }
}

fn no_generation(id: GenerationId) -> MetaReply {
    MetaReply::NotFound { what: Named::Generation, id: id.to_string() }
}
