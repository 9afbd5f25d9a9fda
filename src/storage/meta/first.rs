//! The state as version 1 wrote it: before there could be more than one user shard.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::state::{Generation, MetaState};
use crate::types::{GenerationId, SpaceSpec};

/// What a file of version 1 holds.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StoredFirst {
    pub index: u64,
    pub term: u64,
    pub state: StateFirst,
}

/// As [`MetaState`], without what came later.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StateFirst {
    spaces: BTreeMap<String, SpaceSpec>,
    generations: BTreeMap<u32, Generation>,
    last_generation: u32,
    active: Option<GenerationId>,
    retired: Vec<GenerationId>,
    recipes: BTreeMap<(String, u32), String>,
    active_recipes: BTreeMap<String, u32>,
    keys: BTreeMap<String, Vec<u8>>,
}

impl From<StateFirst> for MetaState {
    fn from(first: StateFirst) -> Self {
        let StateFirst {
            spaces,
            generations,
            last_generation,
            active,
            retired,
            recipes,
            active_recipes,
            keys,
        } = first;
        Self {
            spaces,
            generations,
            last_generation,
            active,
            retired,
            recipes,
            active_recipes,
            keys,
            user_shards: None,
            track_shards: None,
            experiments: BTreeMap::new(),
            running: BTreeMap::new(),
            user_splits: None,
            track_splits: None,
        }
    }
}
