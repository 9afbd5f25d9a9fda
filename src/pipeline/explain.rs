//! Why a track is in a list, and why not (PIPELINE.md §10): in words a listener or an editor understands, and in
//! numbers.

use super::candidate::Candidate;
use super::cold_start::ColdStart;
use super::diversify::{Cap, Pick};
use super::explore::Arm;
use super::recipe::{HeardWindow, Source};
use super::request::{SourceScore, TrackExplanation};
use crate::types::{Date, Region, counted};

/// A track as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackName<'a> {
    /// Title.
    pub title: &'a str,
    /// Primary artist's name; empty when unknown.
    pub artist: &'a str,
}

impl std::fmt::Display for TrackName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.artist {
            "" => f.write_str(self.title),
            artist => write!(f, "{} by {artist}", self.title),
        }
    }
}

/// What a reason may mention.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReasonFacts<'a> {
    /// The source that contributed most.
    pub source: Option<Source>,
    /// Whether the track is an exploration.
    pub explored: bool,
    /// The seed with the largest contribution.
    pub seed: Option<TrackName<'a>>,
    /// Whether seeds were given with the request, rather than played.
    pub seeds_requested: bool,
    /// A genre of the track that the listener likes.
    pub liked_genre: Option<&'a str>,
    /// The listener's region.
    pub region: Option<Region>,
    /// Where the listener's vector came from.
    pub step: Option<ColdStart>,
}

/// One sentence, without a full stop, that a listener understands.
#[must_use]
pub fn reason(facts: &ReasonFacts<'_>) -> String {
    // Nothing is known of this listener's taste, and the sentence must not pretend otherwise.
    let unknown = matches!(facts.step, Some(ColdStart::RegionAgePrior | ColdStart::Popularity));
    if facts.explored {
        return match (facts.liked_genre, facts.seed) {
            (Some(genre), _) => format!("exploration: new to you, close to the {genre} you like"),
            (None, Some(seed)) => format!("exploration: new to you, sounds a little like {seed}"),
            (None, None) if unknown => "exploration: unlike the rest of this list".to_owned(),
            (None, None) => "exploration: new to you".to_owned(),
        };
    }
    match (facts.source, facts.seed, facts.region) {
        (Some(Source::Trending), _, Some(region)) => format!("popular in {region}"),
        (Some(Source::Trending), _, None) => "popular right now".to_owned(),
        (_, Some(seed), _) if facts.seeds_requested => format!("similar to {seed}"),
        (Some(Source::Audio), Some(seed), _) => format!("sounds like {seed}, which you played"),
        (_, Some(seed), _) => format!("because you played {seed}"),
        (Some(Source::Collaborative), None, Some(region)) if unknown => {
            format!("listeners in {region} play it")
        }
        (Some(Source::Collaborative), None, None) if unknown => "many listeners play it".to_owned(),
        (Some(Source::Collaborative), None, _) if facts.step == Some(ColdStart::Onboarding) => {
            "close to what you chose when you signed up".to_owned()
        }
        (Some(Source::Collaborative), None, _) => "listeners with your taste play it".to_owned(),
        (Some(Source::Content), None, _) => "close to tracks you play".to_owned(),
        (Some(Source::Audio), None, _) => "sounds like tracks you like".to_owned(),
        (_, None, _) => "fits your taste".to_owned(),
    }
}

/// The numbers behind a listed track. `pick` is absent for explored tracks, `exploration` for others.
#[must_use]
pub fn explanation(
    candidate: &Candidate<'_>,
    pick: Option<&Pick>,
    exploration: Option<(Arm, f64)>,
) -> TrackExplanation {
    let sources = candidate
        .parts
        .iter()
        .map(|part| SourceScore {
            source: part.source.as_str().to_owned(),
            raw: part.raw,
            normalized: part.normalized,
            weight: part.weight,
            rank: part.rank,
        })
        .collect();
    TrackExplanation {
        sources,
        base: candidate.base,
        session: candidate.session,
        context: candidate.context,
        novelty: candidate.novelty,
        mmr_penalty: pick.map_or(0.0, |pick| pick.penalty),
        arm: exploration.map(|(arm, _)| arm.to_string()),
        propensity: exploration.map(|(_, propensity)| propensity),
    }
}

/// A rule that is never relaxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardRule {
    /// Not available where the listener is (`None`: their region is unknown).
    Region(Option<Region>),
    /// Explicit, or not known to be clean, for a listener who filters.
    Explicit,
    /// One of its artists is blocked.
    BlockedArtist,
    /// It, or another version of it, is hidden.
    BlockedTrack,
    /// It was taken down.
    TakenDown,
    /// Released outside the recipe's last so many days.
    Released(u16),
    /// A condition of the request, by field.
    Request(&'static str),
}

/// What became of a track.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// In the list, at this 0-based position.
    Listed(usize),
    /// A hard rule keeps it out.
    Filter(HardRule),
    /// Heard too recently: the window and the day of the last play.
    Heard(HeardWindow, Option<Date>),
    /// Served in the last so many weekly lists.
    Served(u16),
    /// No source offered it; sources and their depth.
    Retrieval(Vec<(Source, u32)>),
    /// Its blended score was too low: 0-based rank, and how many went on.
    Blend(usize, usize),
    /// A cap is full.
    Cap(Cap),
    /// Others were chosen for variety or score: 0-based rank among the candidates.
    Diversity(usize),
}

impl Verdict {
    /// The stage's name in replies.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Listed(_) => "listed",
            Self::Filter(_) => "filter",
            Self::Heard(..) | Self::Served(_) => "window",
            Self::Retrieval(_) => "retrieval",
            Self::Blend(..) => "blend",
            Self::Cap(_) => "cap",
            Self::Diversity(_) => "diversity",
        }
    }

    /// The reason in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Listed(position) => format!("in the list at place {}", position + 1),
            Self::Filter(rule) => rule.words(),
            Self::Heard(window, last) => {
                let last = last.map_or_else(String::new, |day| format!(" (last on {day})"));
                match window {
                    HeardWindow::Days(days) => {
                        let days = counted(u64::from(*days), "day");
                        format!("heard{last} within {days}, which the recipe leaves out")
                    }
                    HeardWindow::Ever => format!("heard before{last}, and the recipe is for new tracks"),
                    HeardWindow::Allowed => format!("heard{last}"),
                }
            }
            Self::Served(weeks) => format!("served in one of the last {weeks} weekly lists"),
            Self::Retrieval(depths) => {
                let searched: Vec<String> =
                    depths.iter().map(|(source, depth)| format!("{} {depth}", source.as_str())).collect();
                format!("not among the nearest of any source ({})", searched.join(", "))
            }
            Self::Blend(rank, kept) => {
                format!("its joint score is number {} and only {kept} went on", rank + 1)
            }
            Self::Cap(Cap::Artist) => {
                "its artist has as many tracks in the list as the recipe allows".to_owned()
            }
            Self::Cap(Cap::Album) => {
                "its album has as many tracks in the list as the recipe allows".to_owned()
            }
            Self::Cap(Cap::Recording) => "another version of the same recording is in the list".to_owned(),
            Self::Diversity(rank) => format!(
                "number {} of the candidates; tracks that score higher or sound less alike were chosen",
                rank + 1
            ),
        }
    }
}

impl HardRule {
    fn words(self) -> String {
        match self {
            Self::Region(Some(region)) => format!("not available in {region}"),
            Self::Region(None) => "not available everywhere, and the listener's region is unknown".to_owned(),
            Self::Explicit => {
                "explicit or not known to be clean, and the listener filters explicit tracks".to_owned()
            }
            Self::BlockedArtist => "the listener blocked one of its artists".to_owned(),
            Self::BlockedTrack => "the listener hid it or another version of it".to_owned(),
            Self::TakenDown => "taken down from the catalogue".to_owned(),
            Self::Released(days) => {
                format!("not known to be released within the last {}", counted(u64::from(days), "day"))
            }
            Self::Request(field) => format!("the request's condition on {field} leaves it out"),
        }
    }
}

/// What to say when a list is shorter than asked although nothing more may be shown.
#[must_use]
pub fn shortfall(asked: usize, found: usize, released_within_days: u16) -> Option<String> {
    (found < asked).then(|| match released_within_days {
        0 => format!("{found} of {asked} tracks: no more are allowed"),
        days => {
            let days = counted(u64::from(days), "day");
            format!("{found} of {asked} tracks: no more were released within {days}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::candidate::SourcePart;
    use crate::pipeline::facts::samples::track;

    #[test]
    fn reasons_read_well() {
        let seed = TrackName { title: "Hey Jude", artist: "The Beatles" };
        let base =
            ReasonFacts { source: Some(Source::Collaborative), seed: Some(seed), ..Default::default() };
        assert_eq!(reason(&base), "because you played Hey Jude by The Beatles");
        assert_eq!(
            reason(&ReasonFacts { seeds_requested: true, ..base }),
            "similar to Hey Jude by The Beatles"
        );
        let region = "DE".parse().ok();
        let trending = ReasonFacts { source: Some(Source::Trending), region, ..base };
        assert_eq!(reason(&trending), "popular in DE");
        let of_region = ReasonFacts { seed: None, region, step: Some(ColdStart::RegionAgePrior), ..base };
        assert_eq!(reason(&of_region), "listeners in DE play it");
        let explored = ReasonFacts { explored: true, ..ReasonFacts::default() };
        assert_eq!(reason(&explored), "exploration: new to you");
        let source = Some(Source::Audio);
        assert_eq!(reason(&ReasonFacts { source, ..ReasonFacts::default() }), "sounds like tracks you like");
    }

    #[test]
    fn numbers_are_carried_over() {
        let facts = track(1, 1);
        let part = SourcePart { source: Source::Audio, raw: 0.9, normalized: 0.7, weight: 0.4, rank: 3 };
        let candidate = Candidate::new(&facts, vec![part], 0.28);
        let pick = Pick { row: 0, relevance: 1.0, penalty: 0.25 };
        let told = explanation(&candidate, Some(&pick), None);
        assert_eq!((told.base, told.mmr_penalty, told.propensity), (0.28, 0.25, None));
        assert_eq!((told.sources[0].source.as_str(), told.sources[0].rank), ("audio", 3));
        let arm = Arm { source: Source::Audio, genre_cluster: 7 };
        assert_eq!(explanation(&candidate, None, Some((arm, 0.125))).arm.as_deref(), Some("audio/7"));
    }

    #[test]
    fn every_verdict_has_its_stage_and_words() {
        let day: Option<Date> = "2026-10-20".parse().ok();
        let heard = Verdict::Heard(HeardWindow::Days(28), day);
        assert_eq!(heard.stage(), "window");
        assert_eq!(heard.words(), "heard (last on 2026-10-20) within 28 days, which the recipe leaves out");
        assert_eq!(
            Verdict::Retrieval(vec![(Source::Content, 100), (Source::Audio, 50)]).words(),
            "not among the nearest of any source (content 100, audio 50)"
        );
        assert_eq!(Verdict::Filter(HardRule::Region("FR".parse().ok())).words(), "not available in FR");
        assert_eq!(Verdict::Blend(120, 100).words(), "its joint score is number 121 and only 100 went on");
        assert_eq!(shortfall(30, 30, 28), None);
        assert_eq!(
            shortfall(30, 4, 28).as_deref(),
            Some("4 of 30 tracks: no more were released within 28 days")
        );
    }
}
