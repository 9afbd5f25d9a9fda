//! The state as version 4 wrote it, and as it is still written where no track shard was ever split: programs from before there
//! could be such read it.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::split::ShardSplits;
use super::state::{Generation, MetaState};
use crate::types::{GenerationId, SpaceSpec};

/// What a file of version 4 holds.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StoredFourth {
    pub index: u64,
    pub term: u64,
    pub state: StateFourth,
}

/// As [`MetaState`], without what came later.
#[derive(Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct StateFourth {
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
    user_splits: Option<ShardSplits>,
}

impl From<StateFourth> for MetaState {
    fn from(fourth: StateFourth) -> Self {
        Self {
            spaces: fourth.spaces,
            generations: fourth.generations,
            last_generation: fourth.last_generation,
            active: fourth.active,
            retired: fourth.retired,
            recipes: fourth.recipes,
            active_recipes: fourth.active_recipes,
            keys: fourth.keys,
            user_shards: fourth.user_shards,
            track_shards: fourth.track_shards,
            experiments: fourth.experiments,
            running: fourth.running,
            user_splits: fourth.user_splits,
            track_splits: None,
        }
    }
}

impl From<MetaState> for StateFourth {
    /// Leaves out what came later: see [`MetaState::is_of_fourth_version`].
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
            user_splits: state.user_splits,
        }
    }
}
