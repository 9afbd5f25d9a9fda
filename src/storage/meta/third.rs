//! The state as version 3 wrote it, and as it is still written where no user shard was ever split: programs from before there
//! could be such read it.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::state::{Generation, MetaState};
use crate::types::{GenerationId, SpaceSpec};

/// What a file of version 3 holds.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StoredThird {
    pub index: u64,
    pub term: u64,
    pub state: StateThird,
}

/// As [`MetaState`], without what came later.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StateThird {
    spaces: BTreeMap<String, SpaceSpec>,
    generations: BTreeMap<u32, Generation>,
    last_generation: u32,
    active: Option<GenerationId>,
    retired: Vec<GenerationId>,
    recipes: BTreeMap<(String, u32), String>,
    active_recipes: BTreeMap<String, u32>,
    keys: BTreeMap<String, Vec<u8>>,
    user_shards: Option<u16>,
    track_shards: Option<u16>,
    experiments: BTreeMap<(String, u32), String>,
    running: BTreeMap<String, u32>,
}

impl From<StateThird> for MetaState {
    fn from(third: StateThird) -> Self {
        Self {
            spaces: third.spaces,
            generations: third.generations,
            last_generation: third.last_generation,
            active: third.active,
            retired: third.retired,
            recipes: third.recipes,
            active_recipes: third.active_recipes,
            keys: third.keys,
            user_shards: third.user_shards,
            track_shards: third.track_shards,
            experiments: third.experiments,
            running: third.running,
            user_splits: None,
            track_splits: None,
        }
    }
}

impl From<MetaState> for StateThird {
    /// Leaves out what came later: see [`MetaState::is_of_third_version`].
    fn from(state: MetaState) -> Self {
        Self {
            spaces: state.spaces,
            generations: state.generations,
            last_generation: state.last_generation,
            active: state.active,
            retired: state.retired,
            recipes: state.recipes,
            active_recipes: state.active_recipes,
            keys: state.keys,
            user_shards: state.user_shards,
            track_shards: state.track_shards,
            experiments: state.experiments,
            running: state.running,
        }
    }
}
