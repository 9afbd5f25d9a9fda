//! Segue: a vector database for music recommendation.
//!
//! [`Segue`] is the whole database in one process: open a directory, write, ask. `segue serve` offers the same over gRPC.
//! Calls block; an asynchronous program makes them on a blocking thread.
//!
//! ```
//! use segue::Segue;
//! use segue::config::Settings;
//! use segue::pipeline::request::{RecommendRequest, SimilarRequest};
//! use segue::types::{Action, Artist, ArtistId, FeedbackEvent, GenerationId, SpaceName};
//! use segue::types::{Surface, Track, TrackId, User, UserId, VectorRow};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let (db, report) = Segue::open(folder.path(), Settings::default())?;
//! assert!(report.repairs.is_empty());
//!
//! // A catalogue: four tracks of two artists, and how each sounds.
//! let track = |id: &str, artist: &str| -> Result<Track, Box<dyn std::error::Error>> {
//!     let artist = Artist { id: ArtistId::new(artist)?, name: artist.to_owned() };
//!     Ok(Track { popularity: Some(50.0), ..Track::new(TrackId::new(id)?, id, vec![artist]) })
//! };
//! db.upsert_tracks(vec![track("dawn", "ana")?, track("dusk", "ana")?, track("noise", "bo")?, track("hum", "bo")?])?;
//! let row = |id: &str, vector: [f32; 2]| VectorRow { id: id.to_owned(), vector: vector.to_vec() };
//! let sound = vec![row("dawn", [1.0, 0.1]), row("dusk", [1.0, 0.0]), row("hum", [0.9, 0.4]), row("noise", [0.0, 1.0])];
//! db.upsert_vectors(&SpaceName::new("audio")?, GenerationId::STATIC, sound)?;
//!
//! // What sounds like one of them, nearest first.
//! let mut like_dusk = SimilarRequest::new(vec![(TrackId::new("dusk")?, 1.0)]);
//! like_dusk.space = Some(SpaceName::new("audio")?);
//! let similar = db.similar(like_dusk)?;
//! let titles: Vec<&str> = similar.tracks.iter().map(|track| track.title.as_str()).collect();
//! assert_eq!(titles, ["dawn", "hum", "noise"]);
//!
//! // A listener blocks an artist; the very next list obeys.
//! let listener = UserId::new("lea")?;
//! db.upsert_users(vec![User::unknown(listener.clone())])?;
//! let block = FeedbackEvent { artist_id: Some(ArtistId::new("bo")?), ..FeedbackEvent::new(listener.clone(), Action::BlockArtist) };
//! db.feedback(vec![block])?;
//! let list = db.recommend(RecommendRequest::new(listener, Surface::new("discover_weekly")?))?;
//! assert_eq!(list.tracks.len(), 2);
//! assert!(list.tracks.iter().all(|track| track.artists == ["ana"]));
//!
//! db.shutdown()?;
//! # Ok(())
//! # }
//! ```

// Unit tests share the made-up world of the tests from outside, which names this crate.
#[cfg(test)]
extern crate self as segue;

pub mod api;
pub mod cli;
pub mod config;
pub mod error;
pub mod eval;
pub mod filter;
pub mod generate;
pub mod ingest;
pub mod maintenance;
pub mod node;
pub mod pipeline;
pub mod storage;
pub mod telemetry;
pub mod train;
pub mod types;

pub use error::{Error, ErrorKind, Result};
pub use node::Segue;
