//! Candidate sources: each asks the shards in its own way and returns one list, best first (PIPELINE.md §3).
//!
//! A source gets its depth, the tracks it may show and the listener; filters act inside its search. A source that has
//! nothing to ask with returns nothing and takes no part in the blend. `adjacent_artists`, `genre_exploration` and
//! `context` ask what was learnt from all listeners ([`super::statistics`]).

mod adjacent;
mod audio;
mod collaborative;
mod content;
mod context;
mod genres;
mod learnt;
mod note;
mod points;
mod releases;
mod rules;
mod shelf;
mod shown;
mod social;
mod space;
mod taste;
pub mod trending;

pub use note::Note;
pub use points::TastePoints;
pub use releases::ReleaseCache;
pub use shelf::ShelfCache;

use super::blend::SourceList;
use super::listener::Listener;
use super::reader::Reader;
use super::recipe::{EditorialRule, Recipe, Source, SourceSpec};
use super::request::SearchReport;
use super::retrieve::AllowedTracks;
use super::session_rank::Moment;
use crate::error::Result;
use crate::telemetry::StageClock;
use crate::types::{Timestamp, TrackRef};
use points::{effort_of_share, join_points, share_of};
use shown::may_show;
pub(super) use space::{SpaceQueries, ask};

/// What the sources of one request work from.
pub struct SourceRequest<'a> {
    /// The listener.
    pub listener: &'a Listener,
    /// The vector the collaborative source asks with, if the listener has one.
    pub user_vector: Option<&'a [f32]>,
    /// Seeds of the request, instead of favourites.
    pub seeds: &'a [TrackRef],
    /// The time.
    pub as_of: Timestamp,
    /// Local hour and weekday, device, activity.
    pub moment: &'a Moment,
    /// The request's random seed.
    pub seed: u64,
    /// The recipe's rules.
    pub editorial: &'a [EditorialRule],
    /// Search exactly.
    pub exact: bool,
    /// What each shard may show, by source: index = place in [`Reader::tracks`].
    pub allowed: &'a (dyn Fn(Source) -> Vec<AllowedTracks> + Sync),
}

/// What the sources of one request returned.
#[derive(Debug, Default)]
pub struct Retrieved {
    /// One list a source, in the recipe's order; empty lists included.
    pub lists: Vec<SourceList>,
    /// How the vector sources searched.
    pub reports: Vec<SearchReport>,
    /// For tracks found from another track: which one; of several the first counts. Few are ever looked up, so they are only
    /// listed, as are the notes.
    because: Vec<(TrackRef, TrackRef)>,
    /// Why a source offered a track, for the sources that know; of several the last counts.
    notes: Vec<(Source, TrackRef, Note)>,
}

/// Asks every source of a recipe, several at a time where there are threads for it. The stage `sources` is the time all of
/// them took together; those of the single sources overlap.
///
/// # Errors
/// `Timeout`; damaged files.
pub fn retrieve(
    reader: &Reader<'_>,
    recipe: &Recipe,
    request: &SourceRequest<'_>,
    clock: &mut StageClock,
) -> Result<Retrieved> {
    let mut order: Vec<(usize, &SourceSpec)> = recipe.sources.iter().enumerate().collect();
    order.sort_by_key(|(_, spec)| !asks_many_points(spec.source));
    let answers = reader.searchers.each(order.len(), |at| ask_source(reader, request, order[at].1));
    let mut answers: Vec<(usize, Result<Retrieved>)> =
        order.iter().map(|(place, _)| *place).zip(answers).collect();
    answers.sort_by_key(|(place, _)| *place);
    let mut retrieved = Retrieved::default();
    for (_, answer) in answers {
        retrieved.join(answer?);
    }
    clock.end("sources");
    Ok(retrieved)
}

/// Whether a source searches for several points: it takes longest, and so begins first.
fn asks_many_points(source: Source) -> bool {
    matches!(source, Source::Audio | Source::Content)
}

/// Asks one source.
fn ask_source(reader: &Reader<'_>, request: &SourceRequest<'_>, spec: &SourceSpec) -> Result<Retrieved> {
    reader.deadline.check()?;
    let mut clock = StageClock::start();
    let mut retrieved = Retrieved::default();
    let allowed = (request.allowed)(spec.source);
    let hits = match spec.source {
        Source::Collaborative => {
            collaborative::collaborative(reader, request, spec, &allowed, &mut retrieved)?
        }
        Source::Content => content::content(reader, request, spec, &allowed, &mut retrieved)?,
        Source::Audio => audio::audio(reader, request, spec, &allowed, &mut retrieved)?,
        Source::Trending => trending::trending(reader, request, spec, &allowed, &mut retrieved)?,
        other => learnt::ask(reader, request, other, spec, &allowed, &mut retrieved)?,
    };
    // Beside the other sources: the blend asks for their keys.
    reader.expect(hits.iter().map(|(track, _)| *track))?;
    retrieved.lists.push(SourceList { source: spec.source, hits });
    clock.end(spec.source.as_str());
    Ok(retrieved)
}

impl Retrieved {
    /// The track that another was found from. Cost: a look at each such track.
    #[must_use]
    pub fn because(&self, track: TrackRef) -> Option<TrackRef> {
        self.because.iter().find(|(found, _)| *found == track).map(|(_, from)| *from)
    }

    /// Why a source offered a track, if it knows. Cost: a look at each note.
    #[must_use]
    pub fn note(&self, source: Source, track: TrackRef) -> Option<Note> {
        let of = |(by, of, _): &&(Source, TrackRef, Note)| *of == track && *by == source;
        self.notes.iter().rev().find(of).map(|(.., note)| *note)
    }

    /// The tracks that a source offered for this reason.
    pub fn noted(&self, source: Source, note: Note) -> impl Iterator<Item = TrackRef> + '_ {
        let noted = self.notes.iter().filter(move |(by, _, why)| *by == source && *why == note);
        noted.map(|(_, track, _)| *track)
    }

    /// Appends what the next source of the recipe returned. A track keeps the reason of the first source that had one.
    fn join(&mut self, next: Self) {
        self.lists.extend(next.lists);
        self.reports.extend(next.reports);
        self.because.extend(next.because);
        self.notes.extend(next.notes);
    }
}

/// Best first, ties by the keys of the tracks' ids.
///
/// # Errors
/// Those of the nodes that were asked.
pub(super) fn sort_hits(reader: &Reader<'_>, hits: &mut [(TrackRef, f64)]) -> Result<()> {
    reader.expect(hits.iter().map(|(track, _)| *track))?;
    let key = |track: TrackRef| (reader.key(track), track);
    hits.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| key(a.0).cmp(&key(b.0))));
    Ok(())
}

pub(super) fn depth(spec: &SourceSpec) -> usize {
    spec.depth as usize
}
