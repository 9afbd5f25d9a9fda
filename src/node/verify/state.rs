//! The meta state against what the shards hold.

use crate::error::Result;
use crate::node::meta::recipe_book;
use crate::storage::meta::{GenerationState, MetaState};
use crate::storage::track_shard::TrackView;
use crate::storage::user_shard::UserShard;
use crate::types::{Entity, GenerationId};

/// Recipes that can be read; spaces and generations against what the shards hold of them.
pub(super) fn meta_problems(
    state: &MetaState,
    tracks: &[&TrackView],
    users: &[&UserShard],
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    if let Err(error) = recipe_book(state) {
        problems.push(error.to_string());
    }
    let mut held: Vec<(Entity, String, GenerationId, u32, u64)> = Vec::new();
    for view in tracks {
        let sets = view.sets.values();
        held.extend(sets.map(|set| {
            let spec = &set.spec;
            (Entity::Track, spec.space.to_string(), spec.generation, spec.dim, set.live)
        }));
    }
    for users in users {
        let generations = users.generations()?;
        held.extend(
            generations
                .into_iter()
                .map(|(space, id, dim, rows)| (Entity::User, space.to_string(), id, dim, rows)),
        );
    }
    for (entity, space, id, dim, rows) in &held {
        let Some(known) = state.spaces().find(|known| known.name.as_str() == space) else {
            problems.push(format!("there are vectors of a space that is not defined. space=`{space}`"));
            continue;
        };
        let generation = state.generation(*id);
        let what = if known.entity != *entity {
            "vectors of a space belong to something else than it says"
        } else if known.generational == (*id == GenerationId::STATIC)
            || known.generational && generation.is_none()
        {
            "there are vectors of a generation that there is not"
        } else if *rows > 0 && generation.is_some_and(|info| info.dim != *dim) {
            "vectors have another dimension than their generation"
        } else {
            continue;
        };
        problems.push(format!("{what}. space=`{space}`, generation=`{id}`, dim=`{dim}`"));
    }
    for info in state.generations().filter(|info| info.state == GenerationState::Active) {
        for (entity, seen) in [(Entity::Track, !tracks.is_empty()), (Entity::User, !users.is_empty())] {
            if seen && !held.iter().any(|(of, _, id, ..)| *of == entity && *id == info.id) {
                problems.push(format!(
                    "the active generation has no vectors. generation=`{}`, of=`{entity:?}`",
                    info.id
                ));
            }
        }
    }
    Ok(problems)
}
