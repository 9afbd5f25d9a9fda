//! The state as version 2 wrote it: before there were experiments.

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
        let StateSecond {
            spaces,
            generations,
            last_generation,
            active,
            retired,
            recipes,
            active_recipes,
            keys,
            user_shards,
        } = second;
        Self {
            spaces,
            generations,
            last_generation,
            active,
            retired,
            recipes,
            active_recipes,
            keys,
            user_shards,
            experiments: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }
}
