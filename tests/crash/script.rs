//! What the writers write: every operation is a function of the seed, its lane and its number, so the parent knows
//! from the number alone what must be in the database.

use segue::node::VectorRow;
use segue::types::{Action, FeedbackEvent, SplitMix64, Timestamp, Track, TrackId, User, UserId};

use crate::support::{AS_OF, DIM, audio_vector, id, track};

/// A writer; each has its own numbers and waits for one acknowledgement before it writes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Tracks and their audio vectors, replacements, deletions.
    Catalog,
    /// Listeners and what they do.
    Listeners,
    /// A bulk load of vectors of a generation.
    Load,
}

impl Lane {
    pub const ALL: [Self; 3] = [Self::Catalog, Self::Listeners, Self::Load];

    /// The letter an acknowledgement begins with.
    pub fn letter(self) -> char {
        match self {
            Self::Catalog => 'C',
            Self::Listeners => 'L',
            Self::Load => 'B',
        }
    }

    /// The lane of a letter.
    pub fn from_letter(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| letter == lane.letter().to_string())
    }
}

/// Tracks one operation writes.
pub const BATCH: u64 = 50;
/// Tracks there are in all; later operations replace earlier ones.
pub const TRACKS: u64 = 3_000;
/// Listeners there are in all.
pub const USERS: u64 = 120;
/// Rows of one piece of the bulk load.
pub const LOAD_ROWS: u64 = 100;
/// Pieces of one bulk load; the next load starts after it.
pub const LOAD_PIECES: u64 = 8;

/// One operation on the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogOp {
    /// Tracks `first..first + BATCH`, at this version.
    Tracks { first: u64, version: u64 },
    /// The audio vectors of tracks `first..first + BATCH`, at this version.
    Vectors { first: u64, version: u64 },
    /// One track goes.
    Delete { number: u64 },
}

/// The catalogue's operation of a number: tracks, their vectors, and now and then a deletion of one of them.
pub fn catalog_op(seed: u64, number: u64) -> CatalogOp {
    let (group, step) = (number / 3, number % 3);
    let first = (group * BATCH) % TRACKS;
    let version = group * BATCH / TRACKS + 1;
    match step {
        0 => CatalogOp::Tracks { first, version },
        1 => CatalogOp::Vectors { first, version },
        _ => CatalogOp::Delete { number: first + SplitMix64::new(seed ^ number).below(BATCH) },
    }
}

/// The tracks of a batch.
pub fn tracks(first: u64, version: u64) -> Vec<Track> {
    (first..first + BATCH).map(|number| track(number, version)).collect()
}

/// The vectors of a batch.
pub fn vectors(first: u64, version: u64) -> Vec<VectorRow> {
    let row = |number| VectorRow { id: track_id(number).to_string(), vector: audio_vector(number, version) };
    (first..first + BATCH).map(row).collect()
}

/// A track's id.
pub fn track_id(number: u64) -> TrackId {
    id(format!("t{number}"))
}

/// A listener's id.
pub fn user_id(number: u64) -> UserId {
    id(format!("u{number}"))
}

/// One operation on listeners.
#[derive(Debug, Clone, PartialEq)]
pub enum ListenerOp {
    /// A record, at the version of this operation.
    Upsert(User),
    /// Events of one listener.
    Events(Vec<FeedbackEvent>),
}

/// The listeners' operation of a number: first every record, then mostly events.
pub fn listener_op(seed: u64, number: u64) -> ListenerOp {
    let mut rng = SplitMix64::new(seed ^ number.wrapping_mul(0x5851_F42D));
    if number < USERS {
        return ListenerOp::Upsert(user(number, number));
    }
    if number.is_multiple_of(5) {
        return ListenerOp::Upsert(user(rng.below(USERS), number));
    }
    let who = user_id(rng.below(USERS));
    let event = |at: u64, action: Action, track: Option<u64>| FeedbackEvent {
        user_id: who.clone(),
        action,
        track_id: track.map(track_id),
        artist_id: None,
        at: Some(Timestamp(AS_OF.0 - 1_000_000_000 + number as i64 * 1_000 + at as i64)),
        listened_ms: Some(60_000),
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    };
    let actions = [Action::Play, Action::Save, Action::Skip, Action::Play];
    let events = (0..4).map(|at| event(at, actions[at as usize], Some(rng.below(TRACKS))));
    ListenerOp::Events(events.collect())
}

/// A record that carries the operation that wrote it.
pub fn user(number: u64, written_by: u64) -> User {
    let mut user = User::unknown(user_id(number));
    user.age_band = Some(format!("written by {written_by}"));
    user.filter_explicit = written_by % 2 == 1;
    user.blocked_artists = (0..written_by % 7).map(|artist| id(format!("blocked{artist}"))).collect();
    user
}

/// Name of the bulk load that a piece belongs to, and the piece's first row in it.
pub fn load_piece(number: u64) -> (String, u64) {
    (format!("load-{}", number / LOAD_PIECES), number % LOAD_PIECES * LOAD_ROWS)
}

/// The rows of a piece: user vectors, since listeners need no catalogue.
pub fn load_rows(number: u64) -> Vec<VectorRow> {
    let (_, first) = load_piece(number);
    let row = |at: u64| VectorRow {
        id: format!("loaded{}-{at}", number / LOAD_PIECES),
        vector: audio_vector(at, number / LOAD_PIECES)[..DIM].to_vec(),
    };
    (first..first + LOAD_ROWS).map(row).collect()
}
