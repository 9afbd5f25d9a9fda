//! The built-in spaces the stages ask by name.

use crate::types::SpaceName;

fn built_in(name: &str) -> SpaceName {
    SpaceName::new(name).expect("a built-in name is valid")
}

/// Users, trained with the tracks of [`track_cf`].
#[must_use]
pub fn user_cf() -> SpaceName {
    built_in("user_cf")
}

/// Tracks, trained with the users of [`user_cf`].
#[must_use]
pub fn track_cf() -> SpaceName {
    built_in("track_cf")
}

/// How tracks sound.
#[must_use]
pub fn audio() -> SpaceName {
    built_in("audio")
}
