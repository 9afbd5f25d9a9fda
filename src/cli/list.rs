//! Printing a finished list: two lines a track, the second says why.

use std::fmt::Write;

use super::output::{COLUMNS, cut, print, print_json};
use crate::error::Result;
use crate::pipeline::request::{Recommendation, RecommendedTrack, TrackExplanation};

/// Prints a list as a document or for people.
///
/// # Errors
/// Those of printing.
pub fn print_list(list: &Recommendation, json: bool) -> Result<()> {
    if json { print_json(list) } else { print(&text(list)) }
}

fn text(list: &Recommendation) -> String {
    let mut text = head(list);
    for (place, track) in list.tracks.iter().enumerate() {
        push_track(&mut text, place + 1, track);
    }
    if list.tracks.is_empty() {
        text.push_str("no track passes every condition\n");
    }
    for (what, entries) in [("degraded", &list.degraded), ("relaxed", &list.relaxed)] {
        if !entries.is_empty() {
            let _ = writeln!(text, "{what}: {}", entries.join("; "));
        }
    }
    text
}

fn head(list: &Recommendation) -> String {
    let mut parts = Vec::new();
    parts.extend(list.user_id.as_ref().map(|user| format!("for {user}")));
    if !list.recipe.is_empty() {
        parts.push(list.recipe.clone());
    }
    parts.extend(list.experiment.as_ref().map(|of| format!("arm {} of {}", of.arm, of.experiment)));
    parts.extend(list.generation.map(|id| format!("generation {id}")));
    if !matches!(list.cold_start.as_str(), "" | "user_vector") {
        parts.push(format!("cold start: {}", list.cold_start));
    }
    parts.push(format!("as of {}", list.as_of));
    format!("{}\n\n", parts.join(", "))
}

fn push_track(text: &mut String, place: usize, track: &RecommendedTrack) {
    let name = format!("{} - {}", track.title, track.artists.join(", "));
    let width = COLUMNS - 15;
    let name = console::pad_str(&cut(&name, width), width, console::Alignment::Left, None).into_owned();
    // Filled places have scores a little below 0.
    let score = (track.score * 1e4).round() / 1e4 + 0.0;
    let _ = writeln!(text, "{place:>3}. {name}  {score:>8.4}");
    let _ = writeln!(text, "     {}", track.reason);
    if let Some(numbers) = &track.explanation {
        text.push_str(&explanation(numbers));
    }
}

/// The numbers behind a track, indented.
#[must_use]
pub fn explanation(numbers: &TrackExplanation) -> String {
    let mut text = String::new();
    for part in &numbers.sources {
        let _ = writeln!(
            text,
            "     {:<14} rank {:>4}  raw {:>9.4}  normalised {:>6.3}  weight {:>5.3}",
            part.source,
            part.rank + 1,
            part.raw,
            part.normalized,
            part.weight
        );
    }
    let _ = writeln!(
        text,
        "     base {:.3}, session {:.3}, context {:.3}, novelty {:.3}, diversity -{:.3}",
        numbers.base, numbers.session, numbers.context, numbers.novelty, numbers.mmr_penalty
    );
    if let (Some(arm), Some(propensity)) = (&numbers.arm, numbers.propensity) {
        let _ = writeln!(text, "     explored by {arm} with probability {propensity:.3}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Timestamp, TrackId};

    fn list() -> Recommendation {
        Recommendation {
            user_id: None,
            recipe: "radio@1".into(),
            experiment: None,
            generation: None,
            as_of: Timestamp(0),
            request_id: "r".into(),
            seed: 1,
            cold_start: "popularity".into(),
            degraded: Vec::new(),
            relaxed: vec!["heard within 28 days".into()],
            applied: Vec::new(),
            searches: Vec::new(),
            impression: "token".into(),
            tracks: vec![RecommendedTrack {
                track_id: TrackId::new("t").expect("valid"),
                title: "A very long title that nobody can remember because it goes on and on".into(),
                artists: vec!["Someone".into()],
                score: 0.5,
                sources: vec!["audio".into()],
                explored: true,
                reason: "exploration: next to the jazz you play".into(),
                explanation: None,
            }],
            offers: Vec::new(),
            funnel: None,
        }
    }

    #[test]
    fn a_list_fits_eighty_columns_and_says_why() {
        let text = text(&list());
        assert!(text.lines().all(|line| console::measure_text_width(line) <= COLUMNS), "{text}");
        assert!(text.contains("     exploration: next to the jazz you play\n"), "{text}");
        assert!(text.ends_with("relaxed: heard within 28 days\n"), "{text}");
    }

    #[test]
    fn the_document_has_the_keys_that_scripts_read() {
        let document = serde_json::to_value(list()).expect("JSON");
        for key in ["recipe", "generation", "as_of", "degraded", "relaxed", "tracks"] {
            assert!(document.get(key).is_some(), "{key} is missing");
        }
        let track = &document["tracks"][0];
        for key in ["track_id", "title", "artists", "score", "sources", "explored", "reason"] {
            assert!(track.get(key).is_some(), "{key} is missing");
        }
        assert_eq!(document["as_of"], "1970-01-01T00:00:00Z");
    }
}
