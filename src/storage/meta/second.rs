//! The state as version 2 wrote it, and as it is still written where there is one track shard and no experiment: programs from
//! before there could be others read it.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::state::{Generation, MetaState};
use crate::types::{GenerationId, SpaceSpec};

/// What a file of version 2 holds.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StoredSecond {
    pub index: u64,
    pub term: u64,
    pub state: StateSecond,
}

/// As [`MetaState`], without what came later.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StateSecond {
    spaces: BTreeMap<String, SpaceSpec>,
    generations: BTreeMap<u32, Generation>,
    last_generation: u32,
    active: Option<GenerationId>,
    retired: Vec<GenerationId>,
    recipes: BTreeMap<(String, u32), String>,
    active_recipes: BTreeMap<String, u32>,
    keys: BTreeMap<String, Vec<u8>>,
    user_shards: Option<u16>,
}

impl From<StateSecond> for MetaState {
    fn from(second: StateSecond) -> Self {
        Self {
            spaces: second.spaces,
            generations: second.generations,
            last_generation: second.last_generation,
            active: second.active,
            retired: second.retired,
            recipes: second.recipes,
            active_recipes: second.active_recipes,
            keys: second.keys,
            user_shards: second.user_shards,
            track_shards: None,
            experiments: BTreeMap::new(),
            running: BTreeMap::new(),
            user_splits: None,
            track_splits: None,
        }
    }
}

impl From<MetaState> for StateSecond {
    /// Leaves out what came later: see [`MetaState::is_of_second_version`].
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
        }
    }
}
