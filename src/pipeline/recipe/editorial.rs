//! Editorial rules: *condition on profile and context → candidates, boost, bury or pin* (PIPELINE.md §3).
//!
//! Explainable (each has a name that replies show), bounded (so many rules, so many words), checked when stored.

use serde::{Deserialize, Serialize};

use crate::types::{ArtistId, Region};

/// Rules of one recipe.
pub const RULES_MAX: usize = 64;
/// Genres, artists, weekdays or regions of one rule.
pub const WORDS_MAX: usize = 64;

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditorialRule {
    /// What editors and explanations call it; unique in its recipe.
    pub name: String,
    /// When it holds; all conditions given must.
    #[serde(default)]
    pub when: RuleCondition,
    /// Which tracks it is about; all conditions given must hold, at least one is given.
    pub tracks: RuleTracks,
    /// What happens to them.
    pub effect: RuleEffect,
    /// How strongly, above 0 to 1: the score of candidates, the share that a boost adds or a bury takes off.
    pub weight: f64,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleEffect {
    /// The tracks become candidates of the source `rules`.
    Candidates,
    /// Their base score is multiplied by `1 + weight`.
    Boost,
    /// Their base score is multiplied by `1 − weight`.
    Bury,
    /// The best of them takes a place in the list, whatever its score; hard rules and windows hold.
    Pin,
}

/// Conditions on listener and moment. Absent or empty ones hold always.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleCondition {
    /// At least this share of the listener's plays is of this genre: name and share, above 0 to 1.
    pub likes_genre: Option<(String, f64)>,
    /// The request's activity, in any case.
    pub activity: Option<String>,
    /// The request's device, in any case.
    pub device: Option<String>,
    /// Local hours, first to last, both 0 to 23 and included; first after last runs over midnight.
    pub hours: Option<(u8, u8)>,
    /// Local weekdays, Monday = 0; empty = every day.
    pub weekdays: Vec<u8>,
    /// The listener's region is one of these; empty = anywhere.
    pub regions: Vec<Region>,
}

/// Conditions on tracks. Absent or empty ones hold always; an unknown feature meets no range.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleTracks {
    /// Any of these genres.
    pub genres: Vec<String>,
    /// Any of these artists.
    pub artists: Vec<ArtistId>,
    /// From and to, 0 to 1.
    pub energy: Option<(f32, f32)>,
    /// From and to, in beats a minute.
    pub tempo: Option<(f32, f32)>,
    /// From and to, 0 to 100.
    pub popularity: Option<(f32, f32)>,
}

impl EditorialRule {
    /// What is wrong with the rule, if something is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let name = &self.name;
        let wrong = |what: &str| Some(format!("{what}. rule=`{}`", name.escape_debug()));
        let (when, tracks) = (&self.when, &self.tracks);
        let ordered = |range: Option<(f32, f32)>| {
            range.is_none_or(|(from, to)| from <= to && from.is_finite() && to.is_finite())
        };
        let is_word = |text: &String| (1..=256).contains(&text.len());
        let asks = !tracks.genres.is_empty() || !tracks.artists.is_empty();
        let ranges = [tracks.energy, tracks.tempo, tracks.popularity];
        match self.effect {
            _ if !(1..=64).contains(&name.len()) || name.chars().any(char::is_control) => {
                wrong("name must have 1 to 64 bytes and no control characters")
            }
            _ if !(self.weight > 0.0 && self.weight <= 1.0) => wrong("weight must be above 0 and at most 1"),
            _ if !ranges.into_iter().all(ordered) => {
                wrong("a range must run from the smaller to the larger number")
            }
            _ if tracks
                .genres
                .len()
                .max(tracks.artists.len())
                .max(when.weekdays.len())
                .max(when.regions.len())
                > WORDS_MAX =>
            {
                wrong("lists must have at most 64 entries")
            }
            _ if !tracks.genres.iter().chain(&when.activity).chain(&when.device).all(is_word) => {
                wrong("words must have 1 to 256 bytes")
            }
            _ if when
                .likes_genre
                .as_ref()
                .is_some_and(|(genre, share)| !(is_word(genre) && *share > 0.0 && *share <= 1.0)) =>
            {
                wrong("likes_genre must be a genre and a share above 0 and at most 1")
            }
            _ if when.hours.is_some_and(|(from, to)| from > 23 || to > 23) => wrong("hours must be 0 to 23"),
            _ if when.weekdays.iter().any(|day| *day > 6) => wrong("weekdays must be 0 to 6"),
            RuleEffect::Candidates | RuleEffect::Pin if !asks => {
                wrong("must name genres or artists to find tracks by")
            }
            RuleEffect::Boost | RuleEffect::Bury if !asks && ranges.iter().all(Option::is_none) => {
                wrong("must have a condition on tracks")
            }
            _ => None,
        }
    }
}
