//! The first, the best and the new ones of many tracks: asked of each shard, and merged in the order each of them is in.

use std::collections::BTreeSet;

use super::picks::{in_memory, middle, most_popular_of, new_by_artist, new_by_primary_artist, posted};
use super::plain::{Brief, Posted};
use super::question::{Pick, TrackAnswer, TrackQuestion};
use super::shards::Shard;
use crate::error::{Error, Result};
use crate::pipeline::reader::Reader;
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{ArtistKey, TrackRef};

/// What a shard found, and what is kept in memory of the tracks in it, by ordinal.
type WithBriefs<T> = (T, Vec<(u32, Brief)>);

/// A track with a posting, in whichever shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picked {
    /// As [`Posted::popularity`].
    pub popularity: f32,
    /// Key of its id.
    pub key: u64,
    /// Which.
    pub track: TrackRef,
    /// What its recording is known by.
    pub recording: u64,
}

impl Reader<'_> {
    /// The first `most` tracks with a posting, by key.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn posted(&self, field: PostingField, key: u64, most: usize) -> Result<Vec<TrackRef>> {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let mut tracks = self.picked(field, key, &Pick::First(most))?;
        tracks.sort_unstable_by_key(|picked| (picked.key, picked.track));
        Ok(tracks.into_iter().take(most as usize).map(|picked| picked.track).collect())
    }

    /// What each shard picks of its tracks with a posting, shard by shard.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn picked(&self, field: PostingField, key: u64, pick: &Pick) -> Result<Vec<Picked>> {
        let picked = self.each_shard(
            |view| posted(view, field, key, pick),
            |_| Some(TrackQuestion::Posted { field, key, pick: pick.clone() }),
            read_posted,
        )?;
        Ok(self.named(picked, |posted, track| Picked {
            popularity: posted.popularity,
            key: posted.key,
            track,
            recording: posted.recording,
        }))
    }

    /// The tracks of popularity 20 to 80 with a posting, with it, by key; of more than `most`, an even sample.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn middle(&self, field: PostingField, key: u64, most: usize) -> Result<Vec<(TrackRef, f32)>> {
        // Of shards that are here the tracks themselves, of others their number.
        let counted = self.each_shard(
            |view| middle(view, field, key).map(|rows| (rows.len() as u64, rows)),
            |_| Some(TrackQuestion::Middle { field, key }),
            |answer| match answer {
                TrackAnswer::Count(count) => Some((count, Vec::new())),
                _ => None,
            },
        )?;
        let total = counted.iter().flatten().fold(0_u64, |sum, (count, _)| sum.saturating_add(*count));
        let stride = total.div_ceil(most as u64).max(1);
        let mut before = 0_u64;
        let mut skips = Vec::with_capacity(counted.len());
        for counted in &counted {
            skips.push((stride - before % stride) % stride);
            before = before.saturating_add(counted.as_ref().map_or(0, |(count, _)| *count));
        }
        let found = self.each_place(
            |place, _| {
                let rows = counted[place].iter().flat_map(|(_, rows)| rows);
                let (skip, stride) = (in_memory(skips[place]), in_memory(stride));
                Ok(rows.skip(skip).step_by(stride).map(|row| (row.2, row.0)).collect())
            },
            |place| {
                let pick = Pick::Middle { skip: skips[place], stride };
                counted[place].as_ref().map(|_| TrackQuestion::Posted { field, key, pick })
            },
            |answer| {
                let posted = read_posted(answer)?;
                Some(posted.into_iter().map(|posted| (posted.ordinal, posted.popularity)).collect())
            },
        )?;
        Ok(self.named(found, |(_, popularity), track| (track, popularity)))
    }

    /// New tracks on which artists play, in any place, with the artist's place in the question; each artist's shard by shard.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn new_by_artist(&self, artists: &[ArtistKey], today: i32) -> Result<Vec<(usize, TrackRef)>> {
        let found = self.each_shard(
            |view| new_by_artist(view, artists, today),
            |_| {
                let artists = Some(artists.iter().map(|artist| artist.0).collect());
                Some(TrackQuestion::New { artists, today })
            },
            read_new,
        )?;
        let mut tracks = Vec::new();
        for (place, found) in found.into_iter().enumerate() {
            let end = self.tracks.ordinals(place);
            let found = found.into_iter().flatten().filter(|(_, ordinal)| *ordinal < end);
            let of = |(artist, ordinal)| {
                (usize::try_from(artist).unwrap_or(usize::MAX), self.tracks.reference(place, ordinal))
            };
            tracks.extend(found.map(of).filter(|(artist, _)| *artist < artists.len()));
        }
        tracks.sort_by_key(|(artist, _)| *artist);
        Ok(tracks)
    }

    /// All new tracks with their primary artist, shard by shard. Cost: a pass over the facts of all tracks.
    ///
    /// # Errors
    /// Those of the nodes that were asked.
    pub fn new_by_primary_artist(&self, today: i32) -> Result<Vec<(ArtistKey, TrackRef)>> {
        let found = self.each_shard(
            |view| Ok(new_by_primary_artist(view, today)),
            |_| Some(TrackQuestion::New { artists: None, today }),
            read_new,
        )?;
        Ok(self.named(found, |(artist, _), track| (ArtistKey(artist), track)))
    }

    /// The `k` allowed tracks with the highest popularity of each shard, unknown as −1, shard by shard.
    ///
    /// # Errors
    /// Those of the nodes that were asked.
    pub fn most_popular(&self, k: usize, allowed: &[AllowedTracks]) -> Result<Vec<(TrackRef, f32)>> {
        let most = u32::try_from(k).unwrap_or(u32::MAX);
        let found = self.each_place(
            |place, view| Ok((most_popular_of(view, self.caches, &allowed[place], k), Vec::new())),
            |place| Some(TrackQuestion::Popular { allowed: allowed[place].question(), k: most }),
            |answer| match answer {
                TrackAnswer::Popular(found, briefs) => Some((found, briefs)),
                _ => None,
            },
        )?;
        let found = self.hear_beside(found);
        Ok(self.named(found, |(_, popularity), track| (track, popularity)))
    }

    /// Takes in what shards elsewhere said of the tracks that they found, and leaves what they found.
    pub(super) fn hear_beside<T>(&self, found: Vec<Option<WithBriefs<T>>>) -> Vec<Option<T>> {
        let hear = |(place, found): (usize, Option<WithBriefs<T>>)| {
            let (found, briefs) = found?;
            if let Some(far) = self.tracks.far(place) {
                far.hear_briefs(briefs);
            }
            Some(found)
        };
        found.into_iter().enumerate().map(hear).collect()
    }

    /// Rows of every shard, with the names of their tracks; but for tracks that are newer than the version the request began with:
    /// what it knows of blocked artists and the like is older than they are.
    fn named<R: OfTrack, T>(&self, found: Vec<Option<Vec<R>>>, name: impl Fn(R, TrackRef) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for (place, rows) in found.into_iter().enumerate() {
            let end = self.tracks.ordinals(place);
            for row in rows.into_iter().flatten().filter(|row| row.ordinal() < end) {
                let track = self.tracks.reference(place, row.ordinal());
                all.push(name(row, track));
            }
        }
        all
    }

    /// How many genres the catalogue names. Of one with a missing shard as many as are known.
    ///
    /// # Errors
    /// Damaged files; those of the nodes that were asked.
    pub fn count_genres(&self) -> Result<usize> {
        let found = self.each_shard(
            |view| {
                let mut genres = BTreeSet::new();
                view.genres(&mut genres)?;
                Ok(genres.into_iter().collect::<Vec<u64>>())
            },
            |_| Some(TrackQuestion::Genres),
            |answer| match answer {
                TrackAnswer::Keys(genres) => Some(genres),
                _ => None,
            },
        )?;
        let genres: BTreeSet<u64> = found.into_iter().flatten().flatten().collect();
        Ok(genres.len())
    }

    fn each_shard<T: Send>(
        &self,
        here: impl Fn(&TrackView) -> Result<T>,
        question: impl Fn(usize) -> Option<TrackQuestion>,
        read: impl Fn(TrackAnswer) -> Option<T> + Send + Sync,
    ) -> Result<Vec<Option<T>>> {
        self.each_place(|_, view| here(view), question, read)
    }

    /// Asks every shard, or reads it in place, at the same time; one answer each, `None` of a missing one and of one that is not
    /// asked.
    ///
    /// # Errors
    /// Those of reading; those of the nodes that were asked.
    pub(super) fn each_place<T: Send>(
        &self,
        here: impl Fn(usize, &TrackView) -> Result<T>,
        question: impl Fn(usize) -> Option<TrackQuestion>,
        read: impl Fn(TrackAnswer) -> Option<T> + Send + Sync,
    ) -> Result<Vec<Option<T>>> {
        let read_here = || -> Result<Vec<Option<T>>> {
            let one = |place: usize| match self.tracks.at(place) {
                Shard::Here(view) => here(place, view).map(Some),
                Shard::Elsewhere(_) => Ok(None),
            };
            (0..self.tracks.count()).map(one).collect()
        };
        let asked = self.tracks.elsewhere().filter_map(|(place, _)| Some((place, question(place)?)));
        let asked: Vec<(usize, TrackQuestion)> = asked.collect();
        if asked.is_empty() {
            return read_here();
        }
        let places: Vec<usize> = asked.iter().map(|(place, _)| *place).collect();
        let gone = |_| Err(Error::Internal("a thread that asked other nodes has panicked".to_owned()));
        let (answers, all) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.tracks.ask_each(asked, self.deadline, read));
            let all = read_here();
            (asking.join().unwrap_or_else(gone), all)
        });
        let mut all = all?;
        places.into_iter().zip(answers?).for_each(|(place, answer)| all[place] = answer);
        Ok(all)
    }
}

/// A row about a track of a shard.
trait OfTrack {
    fn ordinal(&self) -> u32;
}

impl OfTrack for Posted {
    fn ordinal(&self) -> u32 {
        self.ordinal
    }
}

/// With a popularity.
impl OfTrack for (u32, f32) {
    fn ordinal(&self) -> u32 {
        self.0
    }
}

/// With an artist.
impl OfTrack for (u64, u32) {
    fn ordinal(&self) -> u32 {
        self.1
    }
}

fn read_posted(answer: TrackAnswer) -> Option<Vec<Posted>> {
    match answer {
        TrackAnswer::Posted(posted) => Some(posted),
        _ => None,
    }
}

fn read_new(answer: TrackAnswer) -> Option<Vec<(u64, u32)>> {
    match answer {
        TrackAnswer::New(found) => Some(found),
        _ => None,
    }
}
