//! Identifiers given by the caller: validated strings, one type a noun.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// The longest identifier accepted, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// Why a string cannot be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The string has no characters.
    #[error("{field} must not be empty")]
    Empty {
        /// The kind of identifier.
        field: &'static str,
    },
    /// The string is longer than [`ID_BYTES_MAX`].
    #[error("{field} is too long. bytes=`{bytes}`, bytes_max=`{ID_BYTES_MAX}`")]
    TooLong {
        /// The kind of identifier.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The string holds a control character.
    #[error("{field} must not contain control characters")]
    Control {
        /// The kind of identifier.
        field: &'static str,
    },
}

impl InvalidId {
    /// The kind of identifier.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Empty { field } | Self::TooLong { field, .. } | Self::Control { field } => field,
        }
    }
}

fn check(field: &'static str, id: &str) -> Result<(), InvalidId> {
    if id.is_empty() {
        return Err(InvalidId::Empty { field });
    }
    if id.len() > ID_BYTES_MAX {
        return Err(InvalidId::TooLong { field, bytes: id.len() });
    }
    if id.chars().any(char::is_control) {
        return Err(InvalidId::Control { field });
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord,
            Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        #[rkyv(derive(Debug))]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps an identifier: 1 to 256 bytes without control characters.
            ///
            /// # Errors
            /// [`InvalidId`] names the field and what is wrong with it.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
                let id = id.into();
                check($field, &id)?;
                Ok(Self(id))
            }

            /// The identifier as the caller wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(id: String) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(id: &str) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// A track as the caller names it.
    TrackId, "track_id"
);
id!(
    /// A canonical recording: all versions (single, album, compilation) of one performance share it.
    RecordingId, "recording_id"
);
id!(
    /// An artist as the caller names it.
    ArtistId, "artist_id"
);
id!(
    /// An album as the caller names it.
    AlbumId, "album_id"
);
id!(
    /// A listener as the caller names them.
    UserId, "user_id"
);
id!(
    /// A feedback event's own identity, for idempotence.
    EventId, "event_id"
);
id!(
    /// The place a list is shown (`radio`, `discover_weekly`, …); any other name uses the default recipe.
    Surface, "surface"
);
id!(
    /// The name of a vector space (`user_cf`, `track_cf`, `audio`, …).
    SpaceName, "space"
);

/// One training run's number. 0 belongs to spaces that are not trained together (such as `audio`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct GenerationId(pub u32);

impl GenerationId {
    /// The generation of spaces that no training run owns.
    pub const STATIC: Self = Self(0);
}

impl std::fmt::Display for GenerationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&TrackId> for RecordingId {
    /// The recording of a track whose catalogue names none: the track itself.
    fn from(track: &TrackId) -> Self {
        Self(track.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_emptiness_length_and_control_characters() {
        assert_eq!(TrackId::new(""), Err(InvalidId::Empty { field: "track_id" }));
        assert_eq!(UserId::new("x".repeat(257)), Err(InvalidId::TooLong { field: "user_id", bytes: 257 }));
        assert_eq!(ArtistId::new("a\0b"), Err(InvalidId::Control { field: "artist_id" }));
        assert_eq!(TrackId::new("x".repeat(256)).map(|t| t.as_str().len()), Ok(256));
    }
}
