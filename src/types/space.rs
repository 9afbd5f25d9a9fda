//! Vector spaces.

use super::{Metric, SpaceName};
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// What a space's vectors describe.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    /// Vectors of tracks, kept and indexed in track shards.
    Track,
    /// Vectors of users, kept in user shards.
    User,
}

/// A named set of vectors of tracks or of users.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize)]
pub struct SpaceSpec {
    /// Its name.
    pub name: SpaceName,
    /// What its vectors describe.
    pub entity: Entity,
    /// Whether each training run brings a new generation of it (`user_cf`, `track_cf`) or not (`audio`).
    pub generational: bool,
    /// The metrics it is searched by; each is an index of its own.
    pub metrics: Vec<Metric>,
}

impl SpaceSpec {
    /// The spaces every database has: `user_cf` and `track_cf` (inner product; tracks also by cosine, for
    /// *similar*), and `audio` (cosine).
    #[must_use]
    pub fn built_in() -> [Self; 3] {
        let space = |name: &str, entity, generational, metrics: &[Metric]| Self {
            name: SpaceName::new(name).expect("a built-in name is valid"),
            entity,
            generational,
            metrics: metrics.to_vec(),
        };
        [
            space("user_cf", Entity::User, true, &[Metric::Ip]),
            space("track_cf", Entity::Track, true, &[Metric::Ip, Metric::Cosine]),
            space("audio", Entity::Track, false, &[Metric::Cosine]),
        ]
    }
}

/// One vector to store: the id of its track or user, and its components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorRow {
    /// Track id or user id, by the space's entity.
    pub id: String,
    /// Components; the dimension of the space in its generation.
    pub vector: Vec<f32>,
}
