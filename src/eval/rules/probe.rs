//! A block is obeyed by the very next call: tried for one listener, and taken back.

use super::checks::Finding;
use super::{RulesReport, ask};
use crate::error::Result;
use crate::node::Segue;
use crate::pipeline::recipe::Recipe;
use crate::types::{Action, ArtistId, FeedbackEvent, Timestamp, UserId};

/// Blocks the first artist of the listener's first list that is not empty, asks for every list again at once, and counts
/// tracks that are by the artist still. The block is taken back in any case.
///
/// # Errors
/// Those of writing; failed requests are counted.
pub(super) fn obeys_at_once(
    engine: &Segue,
    recipes: &[Recipe],
    user: &UserId,
    as_of: Timestamp,
) -> Result<RulesReport> {
    let mut report = RulesReport::default();
    let before = engine.user(user)?;
    for recipe in recipes {
        let list = ask(engine, user, recipe, as_of)?;
        let Some(first) = list.tracks.first() else { continue };
        let track = engine.track(&first.track_id)?;
        let Some(artist) = track.artists.first().map(|artist| artist.id.clone()) else { continue };
        if before.blocked_artists.contains(&artist) {
            // Already counted as broken; taking the block back would lose it.
            return Ok(report);
        }
        report.probes = 1;
        engine.feedback(vec![event(user, Action::BlockArtist, &artist)])?;
        let outcome = count_shown(engine, recipes, user, as_of, &artist, &mut report);
        engine.feedback(vec![event(user, Action::UnblockArtist, &artist)])?;
        outcome?;
        return Ok(report);
    }
    Ok(report)
}

fn count_shown(
    engine: &Segue,
    recipes: &[Recipe],
    user: &UserId,
    as_of: Timestamp,
    artist: &ArtistId,
    report: &mut RulesReport,
) -> Result<()> {
    for recipe in recipes {
        for listed in ask(engine, user, recipe, as_of)?.tracks {
            let track = engine.track(&listed.track_id)?;
            if track.artists.iter().any(|by| by.id == *artist) {
                report.count(Finding::AfterBlock);
                report.note(user, recipe, Finding::AfterBlock.name(), listed.track_id.to_string());
            }
        }
    }
    Ok(())
}

fn event(user: &UserId, action: Action, artist: &ArtistId) -> FeedbackEvent {
    FeedbackEvent {
        user_id: user.clone(),
        action,
        track_id: None,
        artist_id: Some(artist.clone()),
        // Now: an earlier check of the same directory must not make this a repetition.
        at: Some(Timestamp::now()),
        listened_ms: None,
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    }
}
