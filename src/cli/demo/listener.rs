//! Who is shown, and what they like as far as their plays tell.

use std::collections::{BTreeMap, HashMap};

use crate::Segue;
use crate::error::{Error, Result};
use crate::generate::Catalogue;
use crate::train::DISLIKE_BEFORE_MS;
use crate::types::{Play, PlayAction, Region, Timestamp, Track, TrackId, User};

/// How many listeners are shown.
const LISTENERS: usize = 3;
/// Plays of a listener who is easy to understand.
const PLAYS: std::ops::RangeInclusive<u64> = 120..=500;

/// Up to three listeners who differ: in their first genre and their region, the second hides explicit tracks. By place in the
/// order of ids. Where nobody fits, anybody who played something does.
pub fn choose(catalogue: &Catalogue) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut known: Vec<(String, Option<Region>)> = Vec::new();
    for (number, user) in (0..).zip(catalogue.users()) {
        if found.len() == LISTENERS {
            return found;
        }
        let Some(taste) = catalogue.tastes(number).into_iter().next() else { continue };
        let differs = known.iter().all(|(genre, region)| *genre != taste.genre && *region != user.region);
        let wanted =
            PLAYS.contains(&catalogue.play_count(number)) && user.filter_explicit == (found.len() == 1);
        if differs && wanted {
            found.push(number);
            known.push((taste.genre, user.region));
        }
    }
    let anybody = (0..catalogue.params().listeners).filter(|&number| catalogue.play_count(number) > 0);
    for number in anybody {
        if found.len() < LISTENERS && !found.contains(&number) {
            found.push(number);
        }
    }
    found
}

/// A listener, their plays, and what these say.
pub struct Listener {
    /// The record in the database.
    pub user: User,
    /// Their plays, oldest first.
    pub plays: Vec<Play>,
    /// Tracks played.
    pub tracks: usize,
    /// The track played most.
    pub favourite: Option<Track>,
    /// Genres with their shares of what was liked, largest first.
    pub genres: Vec<(String, f64)>,
    /// Names of artists, most played first.
    pub artists: Vec<String>,
    /// Tempo of the slowest and the fastest tenth, in beats a minute.
    pub tempo: Option<(f32, f32)>,
    /// Mean energy, 0 to 1.
    pub energy: Option<f32>,
}

impl Listener {
    /// Reads a listener and their tracks from the database.
    pub fn read(db: &Segue, user: User, plays: Vec<Play>) -> Result<Self> {
        let mut known: HashMap<&TrackId, (Track, u32)> = HashMap::new();
        for play in plays.iter().filter(|play| is_liked(play)) {
            match known.get_mut(&play.track_id) {
                Some((_, times)) => *times += 1,
                None => {
                    known.insert(&play.track_id, (db.track(&play.track_id)?, 1));
                }
            }
        }
        let mut played: Vec<(Track, u32)> = known.into_values().collect();
        played.sort_by(|(a, times), (b, more)| more.cmp(times).then_with(|| a.track_id.cmp(&b.track_id)));
        let mut tempos: Vec<f32> = played.iter().filter_map(|(track, _)| track.audio.tempo).collect();
        tempos.sort_by(f32::total_cmp);
        let tenth = tempos.len() / 10;
        let energies: Vec<f32> = played.iter().filter_map(|(track, _)| track.audio.energy).collect();
        Ok(Self {
            tracks: played.len(),
            favourite: played.first().map(|(track, _)| track.clone()),
            genres: genres(&played),
            artists: artists(&played),
            tempo: (!tempos.is_empty()).then(|| (tempos[tenth], tempos[tempos.len() - 1 - tenth])),
            energy: (!energies.is_empty()).then(|| energies.iter().sum::<f32>() / energies.len() as f32),
            user,
            plays,
        })
    }

    /// When they first played something.
    pub fn since(&self) -> Result<Timestamp> {
        self.plays
            .first()
            .map(|play| play.played_at)
            .ok_or_else(|| Error::not_found("play of", &self.user.user_id))
    }
}

fn is_liked(play: &Play) -> bool {
    play.action != PlayAction::Skip || play.listened_ms >= DISLIKE_BEFORE_MS
}

fn genres(played: &[(Track, u32)]) -> Vec<(String, f64)> {
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for (track, times) in played {
        for tag in &track.genres {
            *weights.entry(&tag.genre).or_default() += f64::from(*times) * f64::from(tag.confidence);
        }
    }
    let total: f64 = weights.values().sum();
    let mut shares: Vec<(String, f64)> =
        weights.into_iter().map(|(genre, weight)| (genre.to_owned(), weight / total)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    shares
}

fn artists(played: &[(Track, u32)]) -> Vec<String> {
    let mut times: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
    for (track, plays) in played {
        if let Some(artist) = track.artists.first() {
            times.entry(artist.id.as_str()).or_insert((0, &artist.name)).0 += plays;
        }
    }
    let mut most: Vec<(u32, &str)> = times.into_values().collect();
    // The sort is stable, so that ties stand in the order of ids.
    most.sort_by_key(|(plays, _)| std::cmp::Reverse(*plays));
    most.into_iter().map(|(_, name)| name.to_owned()).collect()
}
