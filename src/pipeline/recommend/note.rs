//! What a source noted of a track, as a sentence.

use super::plan::Plan;
use crate::error::{Error, Result};
use crate::pipeline::reader::Reader;
use crate::pipeline::sources::Note;
use crate::types::ArtistKey;

/// The sentence of a note, without a full stop.
///
/// # Errors
/// Damaged files.
pub(super) fn sentence(reader: &Reader<'_>, plan: &Plan, note: Note) -> Result<String> {
    let artist = |key| Ok::<_, Error>(reader.artist_name(key)?.unwrap_or_else(|| "an artist".to_owned()));
    let genre = |key| Ok::<_, Error>(reader.genre_name(key)?.unwrap_or_else(|| "music".to_owned()));
    let known = |key: ArtistKey| plan.listener.profile.artists.iter().any(|(artist, _)| *artist == key);
    let played = |key| {
        if !plan.seeds.is_empty() {
            "of your seeds"
        } else if known(key) {
            "whom you play"
        } else {
            "whom you chose"
        }
    };
    Ok(match note {
        Note::Followed(key) => format!("new from {}, whom you follow", artist(key)?),
        Note::Liked(key) => format!("new from {}, {}", artist(key)?, played(key)),
        Note::Near { of, new: true } => format!("new, by an artist close to {}, {}", artist(of)?, played(of)),
        Note::Near { of, new: false } => format!("by an artist close to {}, {}", artist(of)?, played(of)),
        Note::NextTo { genre: key, of } => format!("{}, next to the {} you play", genre(key)?, genre(of)?),
        Note::Hour(key) if plan.listener.profile.genre_share(key) > 0.0 => {
            format!("popular {}, which you hear at this time of day", genre(key)?)
        }
        Note::Hour(key) => format!("popular {}, often heard at this time of day", genre(key)?),
        Note::Popular => "popular right now".to_owned(),
        Note::Breaking => match plan.listener.state.user.region {
            Some(region) => format!("on the rise in {region}"),
            None => "on the rise".to_owned(),
        },
        Note::Activity => match (&plan.context.activity, &plan.context.device) {
            (Some(activity), _) => format!("fits {activity}"),
            (None, Some(device)) => format!("fits listening by {device}"),
            (None, None) => "fits the moment".to_owned(),
        },
        Note::Friends(1) => "a close friend played it".to_owned(),
        Note::Friends(friends) => format!("{friends} friends played it"),
        Note::Rule(place) => {
            let rule = plan.recipe.editorial.get(place as usize);
            rule.map_or_else(
                || "chosen by an editor".to_owned(),
                |rule| format!("editors' choice: {}", rule.name),
            )
        }
    })
}
