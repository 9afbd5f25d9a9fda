//! The statistics themselves, their bytes, and the cache of the decoded ones.

use std::sync::Arc;

use parking_lot::Mutex;
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::outcomes::HALF_LIFE_DAYS;
use crate::error::Result;
use crate::pipeline::explore::{Arm, ArmSums};
use crate::pipeline::learn::WeightSums;
use crate::pipeline::recipe::Source;
use crate::pipeline::signals::decay;
use crate::storage::codec;
use crate::types::{ArtistKey, DAY_MS, GenerationId, GenreKey, Timestamp};

/// In version 1 the sums of `weights` were other ones, of the same form.
const VERSION: u16 = 2;
/// Days after their newest event at which statistics stop to count.
pub const TIME_TO_LIVE_DAYS: i32 = 90;

/// One artist among all listeners.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ArtistStatistics {
    /// Who.
    pub artist: ArtistKey,
    /// Listeners who have them among their best liked.
    pub listeners: u32,
    /// Places of artists whose tracks lie near by (mean track vectors, cosine), nearest first.
    pub near: Vec<(u32, f32)>,
    /// Places of artists heard by the same listeners, strongest first.
    pub heard_with: Vec<(u32, f32)>,
}

/// One genre among all listeners.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct GenreStatistics {
    /// Which.
    pub genre: GenreKey,
    /// Listeners who have it among their best liked.
    pub listeners: u32,
    /// Number of its cluster, never 0: made from its central genre's key, so it outlives a recount.
    pub cluster: u16,
    /// Places of genres heard by the same listeners, strongest first.
    pub adjacent: Vec<(u32, f32)>,
    /// Its share of all plays in each UTC hour over its share of all plays; 1 = as at any hour.
    pub hours: [f32; 24],
    /// The same for weekdays, Monday first.
    pub weekdays: [f32; 7],
}

/// The sums of one arm, by the numbers of its source and genre cluster.
#[derive(Debug, Clone, Copy, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ArmStatistics {
    /// [`Source::code`].
    pub source: u8,
    /// Genre cluster.
    pub cluster: u16,
    /// What was learnt.
    pub sums: ArmSums,
}

/// What was learnt from all listeners.
#[derive(Debug, Clone, PartialEq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Statistics {
    /// The generation of the track vectors behind [`ArtistStatistics::near`]; 0 = none.
    pub generation: u32,
    /// Entries of the listeners' logs they were derived from, of all user shards together.
    pub applied: u64,
    /// Day of the newest event; discounts count from it.
    pub newest_day: i32,
    /// Listeners looked at.
    pub listeners: u64,
    /// Listening events looked at.
    pub events: u64,
    /// By key.
    pub artists: Vec<ArtistStatistics>,
    /// By key.
    pub genres: Vec<GenreStatistics>,
    /// By source and cluster.
    pub arms: Vec<ArmStatistics>,
    /// Rewards of served tracks by source, within lists.
    pub weights: WeightSums,
}

impl Statistics {
    /// The bytes.
    ///
    /// # Errors
    /// `Internal` when memory cannot hold them.
    pub fn encode(&self) -> Result<Vec<u8>> {
        codec::encode(VERSION, self)
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// `Corrupt`, or `Unavailable` when a newer program wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut statistics: Self = codec::decode(VERSION, bytes)?;
        if !is_newest(bytes) {
            statistics.weights = WeightSums::default();
        }
        Ok(statistics)
    }

    /// Drops the half of the artists with fewest listeners, for statistics too large to agree on; ends at none.
    pub fn halve(&mut self) {
        let mut order: Vec<usize> = (0..self.artists.len()).collect();
        order.sort_by_key(|&at| (std::cmp::Reverse(self.artists[at].listeners), at));
        let mut keep = vec![false; order.len()];
        order.iter().take(order.len() / 2).for_each(|&at| keep[at] = true);
        // Places change, so neighbours are named by what they point at.
        let mut next = 0;
        let places: Vec<Option<u32>> = keep
            .iter()
            .map(|&keep| {
                let place = keep.then_some(next);
                next += u32::from(keep);
                place
            })
            .collect();
        let moved = |list: &[(u32, f32)]| -> Vec<(u32, f32)> {
            let known = list.iter().filter_map(|&(at, x)| Some((places.get(at as usize).copied()??, x)));
            known.collect()
        };
        let artists = std::mem::take(&mut self.artists).into_iter().zip(&keep).filter(|(_, keep)| **keep);
        self.artists = artists
            .map(|(artist, _)| ArtistStatistics {
                near: moved(&artist.near),
                heard_with: moved(&artist.heard_with),
                ..artist
            })
            .collect();
    }

    /// Whether they are young enough to count at a time.
    #[must_use]
    pub fn are_alive(&self, as_of: Timestamp) -> bool {
        self.listeners > 0 && as_of.day().saturating_sub(self.newest_day) <= TIME_TO_LIVE_DAYS
    }

    /// An artist, if anybody hears them.
    #[must_use]
    pub fn artist(&self, key: ArtistKey) -> Option<&ArtistStatistics> {
        self.artists.binary_search_by_key(&key, |artist| artist.artist).ok().map(|at| &self.artists[at])
    }

    /// A genre, if anybody hears it.
    #[must_use]
    pub fn genre(&self, key: GenreKey) -> Option<&GenreStatistics> {
        self.genres.binary_search_by_key(&key, |genre| genre.genre).ok().map(|at| &self.genres[at])
    }

    /// Artists near one, nearest first, with a closeness of 0 to 1: by vectors of this generation where there are any,
    /// else by common listeners.
    #[must_use]
    pub fn near_artists(&self, key: ArtistKey, generation: Option<GenerationId>) -> Vec<(ArtistKey, f64)> {
        let Some(artist) = self.artist(key) else { return Vec::new() };
        let by_vector = generation.is_some_and(|id| id.0 == self.generation) && !artist.near.is_empty();
        let list = if by_vector { &artist.near } else { &artist.heard_with };
        let most = if by_vector { 1.0 } else { list.first().map_or(1.0, |first| first.1) };
        let known = list.iter().filter_map(|&(at, closeness)| {
            Some((self.artists.get(at as usize)?.artist, f64::from(closeness / most)))
        });
        known.collect()
    }

    /// Genres next to one, strongest first.
    pub fn adjacent_genres(&self, key: GenreKey) -> impl Iterator<Item = (GenreKey, f64)> + '_ {
        let adjacent = self.genre(key).map_or(&[][..], |genre| genre.adjacent.as_slice());
        adjacent.iter().filter_map(move |&(at, strength)| {
            Some((self.genres.get(at as usize)?.genre, f64::from(strength)))
        })
    }

    /// The cluster of a track: that of its surest genre which has one, ties by key; 0 = none.
    #[must_use]
    pub fn cluster_of(&self, genres: &[(GenreKey, f32)]) -> u16 {
        let known =
            genres.iter().filter_map(|&(genre, confidence)| Some((confidence, genre, self.genre(genre)?)));
        let surest =
            known.reduce(
                |best, next| {
                    if next.0 > best.0 || (next.0 == best.0 && next.1 < best.1) { next } else { best }
                },
            );
        surest.map_or(0, |(_, _, genre)| genre.cluster)
    }

    /// What is known of an arm at a time: what it brought in counts half after every half-life.
    #[must_use]
    pub fn arm(&self, arm: Arm, as_of: Timestamp) -> ArmSums {
        let key = (arm.source.code(), arm.genre_cluster);
        let mut sums = ArmSums::default();
        if let Ok(at) = self.arms.binary_search_by_key(&key, |arm| (arm.source, arm.cluster)) {
            // The sums were discounted to the end of their newest day.
            let age_days = as_of.days_since(end_of_day(self.newest_day));
            sums.merge(&self.arms[at].sums, decay(age_days, HALF_LIFE_DAYS));
        }
        sums
    }
}

/// Whether bytes are of the version that is written today.
fn is_newest(bytes: &[u8]) -> bool {
    codec::version(bytes).is_ok_and(|version| version == VERSION)
}

/// The first moment after a day.
#[must_use]
pub fn end_of_day(day: i32) -> Timestamp {
    Timestamp((i64::from(day) + 1) * DAY_MS)
}

impl ArmStatistics {
    /// Which arm, unless its source is of a newer program.
    #[must_use]
    pub fn arm(&self) -> Option<Arm> {
        Some(Arm { source: Source::from_code(self.source)?, genre_cluster: self.cluster })
    }
}

/// The decoded statistics of the newest bytes.
#[derive(Default)]
pub struct StatisticsCache {
    decoded: Mutex<Option<(Arc<[u8]>, Learnt)>>,
}

/// Statistics, and whether the bytes could be read at all.
#[derive(Debug, Clone, Default)]
pub struct Learnt {
    /// Empty before the first pass over all listeners, and when the bytes are damaged or of a newer program.
    pub statistics: Arc<Statistics>,
    /// Why the bytes cannot be read. They are derived data: requests go on without them and say so, and the node derives
    /// them again.
    pub unreadable: Option<Arc<str>>,
    /// They are of an earlier version, without what that did not know: the node derives them again.
    pub is_of_before: bool,
}

impl StatisticsCache {
    /// The statistics of these bytes, decoded once.
    #[must_use]
    pub fn get(&self, bytes: Option<Arc<[u8]>>) -> Learnt {
        let Some(bytes) = bytes else { return Learnt::default() };
        let mut decoded = self.decoded.lock();
        if let Some((of, learnt)) = &*decoded
            && Arc::ptr_eq(of, &bytes)
        {
            return learnt.clone();
        }
        let learnt = match Statistics::decode(&bytes) {
            Ok(statistics) => Learnt {
                statistics: Arc::new(statistics),
                unreadable: None,
                is_of_before: !is_newest(&bytes),
            },
            Err(error) => Learnt { unreadable: Some(error.to_string().into()), ..Learnt::default() },
        };
        *decoded = Some((bytes, learnt.clone()));
        learnt
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn artist(key: u64, listeners: u32, others: &[u32]) -> ArtistStatistics {
        let list: Vec<(u32, f32)> = others.iter().map(|&at| (at, 0.5)).collect();
        ArtistStatistics { artist: ArtistKey(key), listeners, near: list.clone(), heard_with: list }
    }

    #[test]
    fn half_of_the_artists_stay_with_their_neighbours_even_when_all_are_heard_alike() {
        let artists = vec![
            artist(10, 5, &[1, 2]),
            artist(20, 5, &[0, 3]),
            artist(30, 5, &[0, 1]),
            artist(40, 9, &[0, 1, 2]),
        ];
        let mut statistics = Statistics { artists, ..Statistics::default() };
        statistics.halve();
        let kept: Vec<u64> = statistics.artists.iter().map(|artist| artist.artist.0).collect();
        assert_eq!(kept, [10, 40]);
        let near = |key| -> Vec<u64> {
            statistics.near_artists(ArtistKey(key), None).iter().map(|(artist, _)| artist.0).collect()
        };
        assert_eq!((near(10), near(40)), (vec![], vec![10]));
        (0..3).for_each(|_| statistics.halve());
        assert!(statistics.artists.is_empty());
    }

    #[test]
    fn what_an_arm_brought_in_counts_half_after_a_half_life() {
        let mut sums = ArmSums::default();
        (0..40).for_each(|_| sums.add(&[1.0, 0.5, 0.0, 0.5, 0.0], 1.0, 1.0));
        let arm = Arm { source: Source::Audio, genre_cluster: 7 };
        let arms = vec![ArmStatistics { source: Source::Audio.code(), cluster: 7, sums }];
        let statistics = Statistics { newest_day: 20_000, arms, ..Statistics::default() };
        let at =
            |days: f64| statistics.arm(arm, Timestamp(end_of_day(20_000).0 + (days * DAY_MS as f64) as i64));
        assert_eq!(at(0.0), sums);
        assert_eq!(at(-5.0), sums, "a request of the past sees what is known");
        assert!((at(HALF_LIFE_DAYS).weight - 20.0).abs() < 1e-9);
        assert!((at(2.0 * HALF_LIFE_DAYS).weight - 10.0).abs() < 1e-9);
        let width = |sums: ArmSums| sums.posterior().reward(&[1.0, 0.5, 0.0, 0.5, 0.0]).1;
        assert!(width(at(300.0)) > 2.0 * width(at(0.0)), "what is long ago is uncertain again");
    }

    /// The sums of version 1 had another meaning.
    #[test]
    fn statistics_of_version_1_are_read_without_their_weights_and_known_to_be_of_before() {
        let mut weights = WeightSums::default();
        weights.add(&[(Source::Audio, 1.0), (Source::Content, 0.0)], 1.0);
        let statistics = Statistics { listeners: 3, weights, ..Statistics::default() };
        let cache = StatisticsCache::default();
        let today = cache.get(Some(statistics.encode().unwrap().into()));
        assert_eq!((&*today.statistics, today.is_of_before), (&statistics, false));
        let of_before = cache.get(Some(codec::encode(1, &statistics).unwrap().into()));
        assert!(of_before.is_of_before && of_before.unreadable.is_none());
        assert_eq!(*of_before.statistics, Statistics { listeners: 3, ..Statistics::default() });
    }

    #[test]
    fn bytes_nobody_can_read_leave_a_request_without_statistics_and_say_why() {
        let cache = StatisticsCache::default();
        let good = Statistics { listeners: 3, ..Statistics::default() }.encode().unwrap();
        assert_eq!(cache.get(Some(good.clone().into())).statistics.listeners, 3);
        for damaged in [Vec::new(), good[..good.len() - 1].to_vec(), vec![0xFF; 64]] {
            let learnt = cache.get(Some(damaged.into()));
            assert!(learnt.unreadable.is_some());
            assert_eq!(*learnt.statistics, Statistics::default());
        }
        assert!(cache.get(Some(good.into())).unreadable.is_none());
        assert!(cache.get(None).unreadable.is_none());
    }
}
