//! Trending: what is popular where the listener lives, and what is breaking (PIPELINE.md §3).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Note, Retrieved, SourceRequest, depth, may_show, sort_hits};
use crate::error::{Error, Result};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::pipeline::tracks::best_known;
use crate::storage::track_shard::TrackView;
use crate::types::{Region, ShardId, Timestamp, TrackRef};

/// Plays in the last week a track needs before it can be breaking.
const BREAKING_PLAYS_MIN: u64 = 5;
/// How much faster than in the four weeks before a track must be played to be breaking.
const BREAKING_LIFT_MIN: f64 = 2.0;
/// Catalogue popularity from which a track is known, not breaking.
const BREAKING_POPULARITY_MAX: f32 = 60.0;
/// Applied entries of the user shards after which trends are counted again.
const RECOUNT_ENTRIES: u64 = 1_024;
/// Tracks of a shard kept by popularity; a request whose exclusions use them up looks at all tracks.
const POPULAR_KEPT: usize = 4_096;

/// A track and how popular it is, 0 to 1.
type Ranked = Vec<(TrackRef, f64)>;

/// What is played of late in a region.
struct Trend {
    /// Best first.
    ranked: Ranked,
    /// Those of them that are breaking.
    breaking: BTreeSet<TrackRef>,
}

/// By region and day: the count they are true for, and the tracks.
type Trends = HashMap<(Option<Region>, i32), (u64, Arc<Trend>)>;
/// By shard: the catalogue epoch they are true for, and `(ordinal, popularity)` best first.
type Popular = HashMap<ShardId, (u64, Arc<Vec<(u32, f32)>>)>;

/// Popularity of tracks by region, recounted now and then: eventually consistent by declaration.
#[derive(Default)]
pub struct TrendCache {
    trends: Mutex<Trends>,
    popular: Mutex<Popular>,
}

impl TrendCache {
    /// Every track with counted plays in the last five weeks, best first: by its plays of the last week in the region
    /// against the most played track's, or by how much faster it is played than before if it is breaking.
    fn of(&self, reader: &Reader<'_>, region: Option<Region>, as_of: Timestamp) -> Result<Arc<Trend>> {
        let (key, count) = ((region, as_of.day()), reader.users.applied_entries() / RECOUNT_ENTRIES);
        if let Some((at, trend)) = self.trends.lock().get(&key)
            && *at == count
        {
            return Ok(Arc::clone(trend));
        }
        let day = as_of.day();
        let week = counts(reader, region, (day - 6, day))?;
        let before = counts(reader, region, (day - 34, day - 7))?;
        reader.expect(week.iter().map(|(track, _)| *track))?;
        let before: HashMap<TrackRef, u64> = before.into_iter().collect();
        let most = week.iter().map(|(_, plays)| *plays).max().unwrap_or(1).max(1) as f64;
        let (mut ranked, mut breaking) = (Vec::with_capacity(week.len()), BTreeSet::new());
        for (track, plays) in week {
            let earlier = before.get(&track).copied().unwrap_or(0);
            let lift = (plays as f64 / 7.0) / ((earlier as f64 + 1.0) / 28.0);
            let popularity = reader.hot(track)?.popularity;
            let breaks = plays >= BREAKING_PLAYS_MIN
                && lift >= BREAKING_LIFT_MIN
                && (popularity.is_nan() || popularity < BREAKING_POPULARITY_MAX);
            let share = plays as f64 / most;
            if breaks {
                breaking.insert(track);
            }
            ranked.push((track, if breaks { share.max(lift / (lift + 8.0)) } else { share }));
        }
        sort_hits(reader, &mut ranked)?;
        let trend = Arc::new(Trend { ranked, breaking });
        if !reader.missing.is_empty() || !reader.is_whole() {
            // Not kept: the next request asks again.
            return Ok(trend);
        }
        let mut trends = self.trends.lock();
        if trends.len() > 1_024 {
            trends.clear();
        }
        trends.insert(key, (count, Arc::clone(&trend)));
        Ok(trend)
    }

    /// The catalogue's most popular tracks of a shard, best first, ties by key.
    pub(in crate::pipeline) fn popular(&self, view: &TrackView) -> Arc<Vec<(u32, f32)>> {
        if let Some((epoch, popular)) = self.popular.lock().get(&view.shard)
            && *epoch == view.epoch
        {
            return Arc::clone(popular);
        }
        let live = (0_u32..).zip(view.all_hot()).filter(|(_, hot)| hot.live).map(|(ordinal, _)| ordinal);
        let popular = Arc::new(best_known(view, live, POPULAR_KEPT));
        self.popular.lock().insert(view.shard, (view.epoch, Arc::clone(&popular)));
        popular
    }
}

fn counts(
    reader: &Reader<'_>,
    region: Option<Region>,
    (from, to): (i32, i32),
) -> Result<Vec<(TrackRef, u64)>> {
    reader.users.trend_counts(region, from, to, &reader.missing).map_err(Error::from)
}

/// Up to `depth` tracks popular or breaking in the listener's region, best first; where too few were played, the
/// catalogue's popularity fills up, always below what is really played.
///
/// # Errors
/// Damaged files.
pub(super) fn trending(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Ranked> {
    let (may, depth) = (may_show(reader, allowed), depth(spec));
    let trend = reader.caches.trends.of(reader, request.listener.state.user.region, request.as_of)?;
    let shown = trend.ranked.iter().filter(|(track, _)| may(*track));
    let mut hits: Ranked = shown.take(depth).copied().collect();
    let breaking = hits.iter().filter(|(track, _)| trend.breaking.contains(track));
    retrieved.notes.extend(breaking.map(|(track, _)| (Source::Trending, *track, Note::Breaking)));
    if hits.len() < depth {
        let ceiling = hits.last().map_or(1.0, |(_, score)| *score);
        let taken: HashSet<TrackRef> = hits.iter().map(|(track, _)| *track).collect();
        let popular = most_popular(reader, depth, allowed)?;
        let more = popular.into_iter().filter(|(track, _)| !taken.contains(track));
        hits.extend(more.map(|(track, popularity)| (track, ceiling * popularity / 100.0)));
        hits.truncate(depth);
    }
    Ok(hits)
}

/// The `k` allowed tracks with the highest catalogue popularity (0 to 100; unknown counts as 0), best first. Looks at
/// every allowed track when exclusions use up the kept ones.
///
/// # Errors
/// Those of the nodes that were asked.
pub fn most_popular(reader: &Reader<'_>, k: usize, allowed: &[AllowedTracks]) -> Result<Ranked> {
    let found = reader.most_popular(k, allowed)?.into_iter();
    let mut hits: Ranked = found.map(|(track, popularity)| (track, f64::from(popularity))).collect();
    if reader.tracks.count() > 1 {
        // As in one shard: an unknown popularity counts as none only once it is known which are among the best.
        sort_hits(reader, &mut hits)?;
        hits.truncate(k);
    }
    hits.iter_mut().for_each(|(_, popularity)| *popularity = popularity.max(0.0));
    sort_hits(reader, &mut hits)?;
    Ok(hits)
}
