//! What a source knows of why it offered a track, for the sentence a listener reads.

use crate::types::{ArtistKey, GenreKey};

/// Why a source offered a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// New by an artist the listener follows.
    Followed(ArtistKey),
    /// New by an artist the listener plays.
    Liked(ArtistKey),
    /// By an artist near this one, whom the listener plays or follows; `new` when it is a release.
    Near {
        /// Near whom.
        of: ArtistKey,
        /// Whether it is a new release.
        new: bool,
    },
    /// Of a genre next to this one, which the listener plays.
    NextTo {
        /// Its genre.
        genre: GenreKey,
        /// The listener's.
        of: GenreKey,
    },
    /// Of a genre the listener (or everybody) hears at this time of day.
    Hour(GenreKey),
    /// Popular; nothing better is known.
    Popular,
    /// Played far more in the last week than in the four before, and not widely known.
    Breaking,
    /// Fits what the listener is doing.
    Activity,
    /// So many friends heard it to the end or saved it.
    Friends(u32),
    /// An editorial rule, by its place in the recipe.
    Rule(u32),
}
