//! Who is listening: the taste profile of the last 90 days and the session of the last minutes (PIPELINE.md §2).
//!
//! Both are functions of the history and `as_of` alone: events may come in any order, and later ones do not count.
//! Every part of a profile is optional; an empty history gives an empty profile. Absent on purpose: vectors (the
//! online user vector belongs to the training code) and the listener's rules.

mod session;
mod taste;

pub use session::{Mood, SESSION_PLAYS_MAX, SESSION_SILENCE_MIN, SESSION_SKIPS_MAX, Session};
pub use taste::{ProfileContext, TasteProfile, WINDOW_DAYS, WINDOW_EVENTS_MAX};
