//! Editorial rules at work: which hold for a listener now, and what they do to scores (PIPELINE.md §3, source `rules`).

use std::collections::BTreeSet;

use super::candidate::{Candidate, best_first};
use super::facts::{TrackFacts, finite};
use super::profile::TasteProfile;
use super::recipe::{EditorialRule, RuleCondition, RuleEffect, RuleTracks};
use super::session_rank::Moment;
use crate::types::{ArtistKey, GenreKey, Region};

/// The rules that hold, with their places in the recipe.
pub fn holding<'r>(
    rules: &'r [EditorialRule],
    profile: &TasteProfile,
    moment: &Moment,
    region: Option<Region>,
) -> Vec<(usize, &'r EditorialRule)> {
    rules.iter().enumerate().filter(|(_, rule)| holds(&rule.when, profile, moment, region)).collect()
}

fn holds(when: &RuleCondition, profile: &TasteProfile, moment: &Moment, region: Option<Region>) -> bool {
    let said = |wanted: &Option<String>, given: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| given.as_ref().is_some_and(|given| given.eq_ignore_ascii_case(wanted)))
    };
    let likes = when
        .likes_genre
        .as_ref()
        .is_none_or(|(genre, share)| profile.genre_share(GenreKey::of(genre)) >= *share);
    let at_hour = when.hours.is_none_or(|(from, to)| {
        if from <= to { (from..=to).contains(&moment.hour) } else { moment.hour >= from || moment.hour <= to }
    });
    likes
        && at_hour
        && said(&when.activity, &moment.activity)
        && said(&when.device, &moment.device)
        && (when.weekdays.is_empty() || when.weekdays.contains(&moment.weekday))
        && (when.regions.is_empty() || region.is_some_and(|region| when.regions.contains(&region)))
}

/// Whether a rule is about a track.
#[must_use]
pub fn is_about(tracks: &RuleTracks, facts: &TrackFacts) -> bool {
    let within = |range: Option<(f32, f32)>, value: Option<f32>| {
        range.is_none_or(|(from, to)| {
            finite(value).is_some_and(|value| (f64::from(from)..=f64::from(to)).contains(&value))
        })
    };
    let genre = |name: &String| facts.genres.iter().any(|(key, _)| *key == GenreKey::of(name));
    (tracks.genres.is_empty() || tracks.genres.iter().any(genre))
        && (tracks.artists.is_empty()
            || tracks.artists.iter().any(|id| facts.artists.contains(&ArtistKey::of(id.as_str()))))
        && within(tracks.energy, facts.audio.energy)
        && within(tracks.tempo, facts.audio.tempo)
        && within(tracks.popularity, facts.popularity)
}

/// Boosts and buries: multiplies base scores and puts the candidates in order again. Without a rule that changes a
/// score, nothing moves.
pub fn weigh(candidates: &mut [Candidate<'_>], rules: &[(usize, &EditorialRule)]) {
    let mut changed = false;
    for candidate in candidates.iter_mut() {
        for (_, rule) in rules {
            let factor = match rule.effect {
                RuleEffect::Boost => 1.0 + rule.weight,
                RuleEffect::Bury => 1.0 - rule.weight,
                RuleEffect::Candidates | RuleEffect::Pin => continue,
            };
            if is_about(&rule.tracks, candidate.facts) {
                candidate.base *= factor;
                candidate.score = candidate.base;
                changed = true;
            }
        }
    }
    if changed {
        candidates.sort_by(|a, b| {
            best_first((a.base, &a.parts), (b.base, &b.parts)).then(a.facts.key.cmp(&b.facts.key))
        });
    }
}

/// Rows that take a place in the list whatever their score: the best of each pinning rule, at most a third of `n`, and no
/// version of a recording that is pinned or among the rows `taken` already.
#[must_use]
pub fn pinned(
    candidates: &[Candidate<'_>],
    rules: &[(usize, &EditorialRule)],
    taken: &[usize],
    n: usize,
) -> Vec<usize> {
    let recording = |row: usize| candidates[row].facts.recording;
    let mut recordings: BTreeSet<_> = taken.iter().map(|&row| recording(row)).collect();
    let mut rows = Vec::new();
    for (_, rule) in rules.iter().filter(|(_, rule)| rule.effect == RuleEffect::Pin) {
        if rows.len() >= n / 3 {
            break;
        }
        let about = |row: &usize| {
            is_about(&rule.tracks, candidates[*row].facts) && !recordings.contains(&recording(*row))
        };
        if let Some(row) = (0..candidates.len()).find(about) {
            recordings.insert(recording(row));
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::facts::samples::track_of;

    fn rule(effect: RuleEffect, weight: f64) -> EditorialRule {
        EditorialRule {
            name: "gym in the morning".to_owned(),
            when: RuleCondition {
                activity: Some("gym".to_owned()),
                hours: Some((22, 9)),
                ..Default::default()
            },
            tracks: RuleTracks { energy: Some((0.7, 1.0)), ..Default::default() },
            effect,
            weight,
        }
    }

    fn at(hour: u8, activity: &str) -> Moment {
        Moment { hour, activity: Some(activity.to_owned()), ..Moment::default() }
    }

    #[test]
    fn a_rule_holds_when_all_its_conditions_do() {
        let rules = [rule(RuleEffect::Boost, 0.5)];
        let profile = TasteProfile::default();
        let count = |moment: &Moment| holding(&rules, &profile, moment, None).len();
        assert_eq!(
            (count(&at(7, "GYM")), count(&at(23, "gym")), count(&at(12, "gym")), count(&at(7, "sleep"))),
            (1, 1, 0, 0)
        );
        let mut fans = rule(RuleEffect::Boost, 0.5);
        fans.when = RuleCondition { likes_genre: Some(("rock".to_owned(), 0.3)), ..Default::default() };
        let share =
            |share: f64| TasteProfile { genres: vec![(GenreKey::of("rock"), share)], ..Default::default() };
        let holds = |profile| holding(std::slice::from_ref(&fans), &profile, &at(1, ""), None).len();
        assert_eq!((holds(share(0.3)), holds(share(0.29))), (1, 0));
    }

    #[test]
    fn boosts_and_buries_move_only_what_they_are_about() {
        let facts = [track_of(1, 1, &[], 0.9), track_of(2, 2, &[], 0.2), track_of(3, 3, &[], 0.8)];
        let order = |effect, weight| {
            let rule = rule(effect, weight);
            let mut candidates: Vec<Candidate<'_>> = facts
                .iter()
                .zip([0.5, 0.6, 0.4])
                .map(|(facts, base)| Candidate::new(facts, Vec::new(), base))
                .collect();
            candidates.sort_by(|a, b| b.base.total_cmp(&a.base));
            weigh(&mut candidates, &[(0, &rule)]);
            candidates.iter().map(|c| (c.track().ordinal.0, c.base)).collect::<Vec<_>>()
        };
        assert_eq!(order(RuleEffect::Boost, 1.0), [(1, 1.0), (3, 0.8), (2, 0.6)]);
        assert_eq!(order(RuleEffect::Bury, 1.0), [(2, 0.6), (1, 0.0), (3, 0.0)]);
        assert_eq!(order(RuleEffect::Pin, 1.0), [(2, 0.6), (1, 0.5), (3, 0.4)]);
    }

    #[test]
    fn a_pin_takes_the_best_track_it_is_about_and_never_fills_the_list() {
        let facts = [track_of(2, 2, &[], 0.2), track_of(1, 1, &[], 0.9), track_of(3, 3, &[], 0.8)];
        let candidates: Vec<Candidate<'_>> =
            facts.iter().map(|facts| Candidate::new(facts, Vec::new(), 0.5)).collect();
        let pin = rule(RuleEffect::Pin, 1.0);
        let two = [(0, &pin), (1, &pin)];
        assert_eq!(pinned(&candidates, &two, &[], 30), [1, 2]);
        assert_eq!(pinned(&candidates, &two, &[], 3), [1]);
        assert!(pinned(&candidates, &[(0, &pin)], &[], 2).is_empty());
        assert_eq!(pinned(&candidates, &two, &[1], 30), [2]);
    }

    #[test]
    fn no_version_of_a_recording_that_is_in_the_list_is_pinned() {
        let mut facts = [track_of(1, 1, &[], 0.9), track_of(2, 2, &[], 0.9), track_of(3, 3, &[], 0.8)];
        facts[1].recording = facts[0].recording;
        let candidates: Vec<Candidate<'_>> =
            facts.iter().map(|facts| Candidate::new(facts, Vec::new(), 0.5)).collect();
        let pin = rule(RuleEffect::Pin, 1.0);
        assert_eq!(pinned(&candidates, &[(0, &pin), (1, &pin)], &[], 30), [0, 2]);
        assert_eq!(pinned(&candidates, &[(0, &pin)], &[1], 30), [2]);
    }

    #[test]
    fn a_wrong_rule_names_itself_and_what_is_wrong() {
        assert_eq!(rule(RuleEffect::Boost, 0.5).problem(), None);
        let wrong = rule(RuleEffect::Candidates, 0.5).problem();
        assert_eq!(
            wrong.as_deref(),
            Some("must name genres or artists to find tracks by. rule=`gym in the morning`")
        );
        assert!(rule(RuleEffect::Bury, f64::NAN).problem().is_some_and(|problem| problem.contains("weight")));
    }
}
