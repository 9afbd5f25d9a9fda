//! The made-up world of the tests from outside.

pub(super) use crate::types::GenerationId;
use crate::types::{SpaceName, Timestamp};

#[path = "../../../tests/support/world.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "a failed test may panic; other tests use the rest")]
mod made;

pub(super) use made::{DIM, World};

/// The time of every request.
pub(super) const AS_OF: Timestamp = Timestamp(1_793_491_200_000);
/// The audio space's generation.
pub(super) const STATIC: GenerationId = GenerationId::STATIC;

/// A built-in space.
pub(super) fn space(name: &str) -> SpaceName {
    SpaceName::new(name).expect("a valid name")
}
