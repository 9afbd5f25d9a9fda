//! Asking one vector space on every shard.

use super::sort_hits;
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::request::SearchReport;
use crate::pipeline::retrieve::{AllowedTracks, Effort, Search};
use crate::types::{GenerationId, Metric, SpaceName, TrackRef};

/// Queries against one space on every shard, all with the same effort.
pub struct SpaceQueries<'a> {
    /// Who asks, for the report.
    pub source: &'a str,
    /// The space.
    pub space: &'a SpaceName,
    /// The generation of its vectors.
    pub generation: GenerationId,
    /// How to compare.
    pub metric: Metric,
    /// With what.
    pub queries: &'a [&'a [f32]],
    /// How hard.
    pub effort: Effort,
}

/// Asks every shard and merges: for each query the `k` best, ties by the key of the track's id. Says how it searched.
///
/// # Errors
/// `InvalidField` for a query that does not fit the space; `Timeout`; damaged files.
pub fn ask(
    reader: &Reader<'_>,
    asked: &SpaceQueries<'_>,
    allowed: &[AllowedTracks],
    reports: &mut Vec<SearchReport>,
) -> Result<Vec<Vec<(TrackRef, f64)>>> {
    let mut answers: Vec<Vec<(TrackRef, f64)>> = vec![Vec::new(); asked.queries.len()];
    for (view, allowed) in reader.tracks.iter().zip(allowed) {
        let Some(set) = view.set(asked.space, asked.generation) else { continue };
        let search = Search {
            heads: &reader.caches.heads,
            deadline: reader.deadline,
            view,
            set,
            metric: asked.metric,
            allowed,
        };
        let found = search.nearest(asked.queries, asked.effort)?;
        reader.caches.recall.offer(&search, asked.queries, asked.effort, &found);
        let place = |ordinal| view.reference(ordinal);
        for (answer, found) in answers.iter_mut().zip(found) {
            answer.extend(found.hits.iter().map(|&(ordinal, score)| (place(ordinal), f64::from(score))));
            note(reports, asked, &found.path, found.selectivity);
        }
    }
    for answer in &mut answers {
        sort_hits(reader, answer);
        answer.truncate(asked.effort.k);
    }
    Ok(answers)
}

/// One report a source and space: paths joined, the smallest selectivity.
fn note(reports: &mut Vec<SearchReport>, asked: &SpaceQueries<'_>, path: &str, selectivity: f32) {
    let same = |report: &&mut SearchReport| report.source == asked.source && report.space == *asked.space;
    match reports.iter_mut().find(same) {
        Some(report) => {
            for name in path.split('+').filter(|name| !name.is_empty()) {
                if !report.path.split('+').any(|known| known == name) {
                    report.path = if report.path.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{}+{name}", report.path)
                    };
                }
            }
            report.selectivity = report.selectivity.min(selectivity);
        }
        None => reports.push(SearchReport {
            source: asked.source.to_owned(),
            space: asked.space.clone(),
            path: path.to_owned(),
            selectivity,
        }),
    }
}
