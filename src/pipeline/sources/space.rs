//! Asking one vector space on every shard.

use super::sort_hits;
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::request::SearchReport;
use crate::pipeline::retrieve::AllowedTracks;
use crate::pipeline::tracks::Nearest;
use crate::types::TrackRef;

/// Queries of a source against one space on every shard.
pub struct SpaceQueries<'a> {
    /// Who asks, for the report.
    pub source: &'a str,
    /// What is asked.
    pub nearest: Nearest<'a>,
}

/// Asks every shard and merges: for each query the `k` best, ties by the key of the track's id. Says how it searched.
///
/// # Errors
/// `InvalidField` for a query that does not fit the space; `Timeout`; damaged files; those of the nodes that were asked.
pub fn ask(
    reader: &Reader<'_>,
    asked: &SpaceQueries<'_>,
    allowed: &[AllowedTracks],
    reports: &mut Vec<SearchReport>,
) -> Result<Vec<Vec<(TrackRef, f64)>>> {
    let mut answers: Vec<Vec<(TrackRef, f64)>> = vec![Vec::new(); asked.nearest.queries.len()];
    for (place, found) in reader.nearest(&asked.nearest, allowed)?.into_iter().enumerate() {
        let name = |ordinal| reader.tracks.reference(place, ordinal);
        for (answer, found) in answers.iter_mut().zip(found.into_iter().flatten()) {
            answer.extend(found.hits.iter().map(|&(ordinal, score)| (name(ordinal), f64::from(score))));
            note(reports, asked, &found.path, found.selectivity);
        }
    }
    for answer in &mut answers {
        sort_hits(reader, answer)?;
        answer.truncate(asked.nearest.effort.k);
    }
    Ok(answers)
}

/// One report a source and space: paths joined, the smallest selectivity.
fn note(reports: &mut Vec<SearchReport>, asked: &SpaceQueries<'_>, path: &str, selectivity: f32) {
    let same =
        |report: &&mut SearchReport| report.source == asked.source && report.space == *asked.nearest.space;
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
            space: asked.nearest.space.clone(),
            path: path.to_owned(),
            selectivity,
        }),
    }
}
