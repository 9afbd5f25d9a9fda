//! One pass over all listeners.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use super::colisten::CoListening;
use super::document::{ArtistStatistics, GenreStatistics, Statistics, TIME_TO_LIVE_DAYS, end_of_day};
use super::near;
use super::outcomes::OutcomeSums;
use crate::error::{Error, Result};
use crate::pipeline::reader::Reader;
use crate::pipeline::signals::{HALF_LIFE_DAYS, Signal, signal};
use crate::storage::track_shard::columns::{Artists, Genres};
use crate::storage::track_shard::row::TrackHot;
use crate::storage::user_shard::{PlayRecord, UserView};
use crate::types::{ArtistKey, GenreKey, Timestamp, TrackRef};

/// Listeners looked at: of more, an even sample.
const LISTENERS_MAX: u64 = 200_000;
/// Artists kept, those with most listeners.
const ARTISTS_MAX: usize = 8_192;
/// Genres kept, those with most listeners.
const GENRES_MAX: usize = 4_096;
/// Pairs of artists, and of genres, counted at a time.
const PAIRS_MAX: usize = 4_000_000;
/// Others kept of an artist or a genre.
const OTHERS_MAX: usize = 16;
/// Arms kept.
const ARMS_MAX: usize = 512;
/// Clusters of genres.
const CLUSTERS_MAX: usize = 24;
/// A genre joins the cluster of one of its so many strongest neighbours.
const CLUSTER_REACH: usize = 6;
/// Share of a listener's weight below which a genre is not theirs.
const GENRE_SHARE_MIN: f64 = 0.01;
/// Plays of a genre as heard at any hour that are added to what was counted, so that few plays say little.
const SMOOTHING: f64 = 50.0;
/// Facts of tracks remembered during the pass.
const FACTS_KEPT: usize = 500_000;

/// Derives the statistics from everything the reader's listeners did; `None` when `keep_going` said no on the way.
///
/// Plays count for [`TIME_TO_LIVE_DAYS`] before the newest counted day, whoever of: a listener who left is not heard of for
/// ever. What was shown is discounted instead.
///
/// Cost: one read of every history and O(artists² · dim) for the vectors; seconds for a million plays. Memory is bounded
/// by this folder's constants, but for a count an artist and 31 numbers a genre.
///
/// # Errors
/// Damaged files.
pub fn build(reader: &Reader<'_>, keep_going: &dyn Fn() -> bool) -> Result<Option<Statistics>> {
    let applied = reader.users.applied_entries();
    let newest_day = reader.users.newest_counted_day().unwrap_or(0);
    let mut pass = Pass::new(reader, end_of_day(newest_day));
    reader.users.for_each_view(LISTENERS_MAX, |view| {
        pass.add(&view)?;
        Ok::<_, Error>(if keep_going() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if !keep_going() {
        return Ok(None);
    }
    let mut statistics = pass.finish(newest_day);
    statistics.applied = applied;
    if let Some(generation) = reader.generation {
        near::fill(reader, generation, &mut statistics.artists)?;
        statistics.generation = generation.0;
    }
    Ok(Some(statistics))
}

type Facts = (Artists, Genres, Option<u32>);

struct Pass<'r> {
    reader: &'r Reader<'r>,
    newest: Timestamp,
    facts: HashMap<TrackRef, Facts>,
    artists: CoListening<ArtistKey>,
    genres: CoListening<GenreKey>,
    /// Plays of each genre by hour, then weekday.
    times: BTreeMap<GenreKey, [f64; 31]>,
    all_times: [f64; 31],
    outcomes: OutcomeSums,
    listeners: u64,
    events: u64,
}

impl<'r> Pass<'r> {
    fn new(reader: &'r Reader<'r>, newest: Timestamp) -> Self {
        Self {
            reader,
            newest,
            facts: HashMap::new(),
            artists: CoListening::new(PAIRS_MAX),
            genres: CoListening::new(PAIRS_MAX),
            times: BTreeMap::new(),
            all_times: [0.0; 31],
            outcomes: OutcomeSums::default(),
            listeners: 0,
            events: 0,
        }
    }

    /// Makes sure that the facts of a listener's tracks are known; not of tracks that came after the pass began.
    fn learn(&mut self, view: &UserView) -> Result<()> {
        if self.facts.len() > FACTS_KEPT {
            self.facts.clear();
        }
        let tracks: BTreeSet<TrackRef> = view.plays.iter().map(|play| play.track).collect();
        let mut unknown = Vec::new();
        self.reader.expect(tracks.iter().copied())?;
        for track in tracks.into_iter().filter(|track| !self.facts.contains_key(track)) {
            let hot = self.reader.hot(track)?;
            unknown.extend((hot.segment != TrackHot::ABSENT.segment).then_some(track));
        }
        for facts in self.reader.facts(unknown)? {
            self.facts.insert(facts.track, (facts.artists, facts.genres, facts.duration_ms));
        }
        Ok(())
    }

    fn add(&mut self, view: &UserView) -> Result<()> {
        self.listeners += 1;
        self.events += view.plays.len() as u64;
        self.outcomes.add(view, self.newest);
        let mut artists: BTreeMap<ArtistKey, f64> = BTreeMap::new();
        let mut genres: BTreeMap<GenreKey, f64> = BTreeMap::new();
        let newest = self.newest;
        self.learn(view)?;
        for play in &in_order(self.reader, &view.plays) {
            let Some((of_track, of_genres, duration_ms)) = self.facts.get(&play.track) else { continue };
            let age_days = newest.days_since(play.at);
            if age_days > f64::from(TIME_TO_LIVE_DAYS) {
                continue;
            }
            let liked = signal(play.action, play.listened_ms, *duration_ms, age_days, HALF_LIFE_DAYS);
            let Signal::Like(weight) = liked else { continue };
            of_track.iter().for_each(|artist| *artists.entry(*artist).or_default() += weight);
            let times = [usize::from(play.at.hour()), 24 + usize::from(play.at.weekday())];
            times.iter().for_each(|&time| self.all_times[time] += 1.0);
            for &(genre, confidence) in of_genres {
                let confidence = f64::from(confidence).clamp(0.0, 1.0);
                *genres.entry(genre).or_default() += weight * confidence;
                let slots = self.times.entry(genre).or_insert([0.0; 31]);
                times.iter().for_each(|&time| slots[time] += confidence);
            }
        }
        self.artists.add(&best(artists, 0.0));
        self.genres.add(&best(genres, GENRE_SHARE_MIN));
        Ok(())
    }

    fn finish(self, newest_day: i32) -> Statistics {
        let artists = kept(self.artists.listeners(), ARTISTS_MAX);
        let strengths = self.artists.strengths(OTHERS_MAX);
        let artists = artists
            .iter()
            .map(|&(artist, listeners)| ArtistStatistics {
                artist,
                listeners,
                near: Vec::new(),
                heard_with: places(strengths.get(&artist), &artists),
            })
            .collect();
        let genres = kept(self.genres.listeners(), GENRES_MAX);
        let strengths = self.genres.strengths(OTHERS_MAX);
        let clusters = clusters(&genres, &strengths);
        let genres = genres
            .iter()
            .map(|&(genre, listeners)| {
                let lifts = lifts(self.times.get(&genre), &self.all_times);
                let (hours, weekdays) = lifts.split_at(24);
                GenreStatistics {
                    genre,
                    listeners,
                    cluster: clusters[&genre],
                    adjacent: places(strengths.get(&genre), &genres),
                    hours: hours.try_into().expect("24 of 31"),
                    weekdays: weekdays.try_into().expect("7 of 31"),
                }
            })
            .collect();
        let weights = self.outcomes.weights.clone();
        Statistics {
            generation: 0,
            applied: 0,
            newest_day,
            listeners: self.listeners,
            events: self.events,
            artists,
            genres,
            arms: self.outcomes.arms(ARMS_MAX),
            weights,
        }
    }
}

/// Plays in the order they are stored in, those at the same moment by the keys of their tracks: the order decides sums of floats,
/// and the stored one goes by places.
fn in_order(reader: &Reader<'_>, plays: &[PlayRecord]) -> Vec<PlayRecord> {
    let mut plays = plays.to_vec();
    for same in plays.chunk_by_mut(|a, b| a.at == b.at).filter(|same| same.len() > 1) {
        same.sort_by_cached_key(|play| reader.key(play.track));
    }
    plays
}

/// A listener's items with at least a share of their weight, best liked first, ties by key.
fn best<K: Copy + Ord>(weights: BTreeMap<K, f64>, share_min: f64) -> Vec<K> {
    let total: f64 = weights.values().sum();
    let mut items: Vec<(K, f64)> =
        weights.into_iter().filter(|(_, weight)| *weight > 0.0 && *weight >= share_min * total).collect();
    items.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    items.into_iter().map(|(item, _)| item).collect()
}

/// The items with most listeners, by key.
fn kept<K: Copy + Ord>(listeners: &BTreeMap<K, u32>, most: usize) -> Vec<(K, u32)> {
    let mut items: Vec<(K, u32)> = listeners.iter().map(|(item, count)| (*item, *count)).collect();
    items.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    items.truncate(most);
    items.sort_unstable_by_key(|(item, _)| *item);
    items
}

/// Others as places in a list sorted by key; those not in it are left out.
fn places<K: Copy + Ord>(others: Option<&Vec<(K, f64)>>, all: &[(K, u32)]) -> Vec<(u32, f32)> {
    let place = |item: &K| all.binary_search_by_key(item, |(item, _)| *item).ok();
    let found = others
        .into_iter()
        .flatten()
        .filter_map(|(item, strength)| Some((u32::try_from(place(item)?).ok()?, *strength as f32)));
    found.collect()
}

/// A cluster for each genre, by falling number of listeners: that of the strongest neighbour which has one, else one of
/// its own while there is room, else the largest genre's.
fn clusters(
    genres: &[(GenreKey, u32)],
    strengths: &BTreeMap<GenreKey, Vec<(GenreKey, f64)>>,
) -> BTreeMap<GenreKey, u16> {
    let mut order: Vec<(GenreKey, u32)> = genres.to_vec();
    order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut clusters: BTreeMap<GenreKey, u16> = BTreeMap::new();
    let (mut anchors, mut largest) = (0, None);
    for (genre, _) in order {
        let near = strengths.get(&genre).into_iter().flatten();
        let joined =
            |reach: usize| near.clone().take(reach).find_map(|(other, _)| clusters.get(other).copied());
        let own = (genre.0 as u16).max(1);
        let reach = if anchors < CLUSTERS_MAX { CLUSTER_REACH } else { OTHERS_MAX };
        let cluster = match joined(reach) {
            Some(cluster) => cluster,
            None if anchors < CLUSTERS_MAX => {
                anchors += 1;
                own
            }
            None => largest.unwrap_or(own),
        };
        largest.get_or_insert(cluster);
        clusters.insert(genre, cluster);
    }
    clusters
}

/// A genre's share of plays at each time against everything's, smoothed towards 1.
fn lifts(times: Option<&[f64; 31]>, all: &[f64; 31]) -> [f32; 31] {
    let sum = |slots: &[f64; 31]| slots[..24].iter().sum::<f64>();
    let (own, total) = (times.copied().unwrap_or([0.0; 31]), sum(all).max(1.0));
    let plays = sum(&own);
    std::array::from_fn(|time| {
        let usual = all[time] / total;
        if usual <= 0.0 {
            1.0
        } else {
            ((own[time] + SMOOTHING * usual) / (plays + SMOOTHING) / usual) as f32
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genres_heard_together_share_a_cluster_and_strangers_do_not() {
        let mut counts = CoListening::new(10_000);
        let g = |n: u64| GenreKey(n * 65_537 + 7);
        for listener in 0..60_u64 {
            match listener % 3 {
                0 => counts.add(&[g(1), g(2), g(3)]),
                1 => counts.add(&[g(11), g(12)]),
                _ => counts.add(&[g(21)]),
            }
        }
        let genres = kept(counts.listeners(), 100);
        let found = clusters(&genres, &counts.strengths(16));
        assert_eq!(found[&g(1)], found[&g(2)]);
        assert_eq!(found[&g(1)], found[&g(3)]);
        assert_eq!(found[&g(11)], found[&g(12)]);
        let distinct: std::collections::BTreeSet<u16> =
            [g(1), g(11), g(21)].iter().map(|k| found[k]).collect();
        assert_eq!(distinct.len(), 3);
        assert!(found.values().all(|cluster| *cluster != 0));
    }

    #[test]
    fn hours_are_against_the_usual_and_few_plays_say_little() {
        let mut all = [0.0; 31];
        (0..24).for_each(|hour| all[hour] = if hour == 8 { 200.0 } else { 100.0 });
        (24..31).for_each(|day| all[day] = 350.0);
        let mut morning = [0.0; 31];
        (morning[8], morning[25]) = (500.0, 500.0);
        let lift = lifts(Some(&morning), &all);
        assert!(lift[8] > 10.0 && lift[9] < 0.2, "{lift:?}");
        (morning[8], morning[25]) = (2.0, 2.0);
        let shy = lifts(Some(&morning), &all);
        assert!(shy[8] < 1.5 && shy[9] > 0.9, "{shy:?}");
        assert_eq!(lifts(None, &all)[3], 1.0);
    }
}
