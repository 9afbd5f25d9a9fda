//! A made-up catalogue with its listeners and plays: the same bytes for the same parameters and seed, on any machine of one
//! CPU family.
//!
//! What is planted, so that tests can look for it again: genres in families whose neighbours occur together; artists with a
//! primary genre; tracks that sound like their genre and artist; listeners with one to three tastes, which decide nine plays in
//! ten; Zipf popularity; recency, repeats, skips (more outside the tastes) and saves.
//!
//! Tracks, listeners, their plays and their vectors are computed from small tables when they are asked for, so a large
//! catalogue needs little memory. Absent on purpose: real names (all are put together from the tables here), and any clock.

mod artists;
mod audio;
mod catalogue;
mod draw;
mod embeddings;
mod files;
mod genres;
mod listeners;
mod names;
mod params;
mod plays;
mod shape;
mod tracks;

#[cfg(test)]
mod tests;

pub use catalogue::{Catalogue, Taste, generate};
pub use files::{GenerateProgress, GeneratedFile, WriteOptions};
pub use genres::GENRES_MAX;
pub use params::GenerateParams;
