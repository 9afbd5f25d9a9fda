//! Rules on a whole database: asks for every list of every listener and checks it against the stored records.
//!
//! Nothing here goes through the pipeline's filters: what a listener may hear is read from their record and the tracks'
//! rows, windows from their history, and what is left to show is counted track by track. So a filter that is wrong is
//! found, not repeated.

mod checks;
mod probe;
mod shape;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::node::Segue;
use crate::pipeline::recipe::Recipe;
use crate::pipeline::request::{RecommendRequest, Recommendation};
use crate::types::{Surface, Timestamp, UserId};
use checks::{Catalogue, Finding, Judge};

/// Findings that a report names one by one.
const EXAMPLES_MAX: usize = 20;
/// Listeners read at a time.
const PAGE: usize = 1_000;

/// What to check.
#[derive(Debug, Clone)]
pub struct RulesRequest {
    /// The time of the requests.
    pub as_of: Timestamp,
    /// Surfaces; empty: every active recipe, which is every built-in surface and the default.
    pub surfaces: Vec<String>,
    /// At most so many listeners, evenly taken from all; absent: all.
    pub users_max: Option<usize>,
    /// For so many listeners, block the first artist of a list, ask again at once, and take the block back. This writes.
    pub probes: usize,
}

/// Listed tracks that break a rule which is never relaxed, by rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Violations {
    /// Not available where the listener is.
    pub region: u64,
    /// Explicit, or not known to be clean, for a listener who filters.
    pub explicit: u64,
    /// By an artist the listener blocked.
    pub blocked_artist: u64,
    /// A recording the listener blocked or hid.
    pub blocked_track: u64,
    /// Taken down or unknown.
    pub taken_down: u64,
    /// Released outside the recipe's days.
    pub release_window: u64,
    /// Shown by the very next call after the block of its artist was acknowledged.
    pub after_block: u64,
}

/// Repeats inside a soft window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Repeats {
    /// Heard inside the recipe's window, and the reply did not say that it relaxed it.
    pub heard: u64,
    /// Served inside the recipe's weeks, and not said.
    pub served: u64,
    /// Two versions of one recording in a list, and not said.
    pub recording: u64,
    /// Of all three, those that the reply announced in `relaxed`.
    pub announced: u64,
}

/// Lists of a wrong shape, where the reply did not say so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WrongShapes {
    /// Artists with more tracks in a list than the recipe's cap.
    pub artist_cap: u64,
    /// Albums with more.
    pub album_cap: u64,
    /// Lists in which tracks of one artist are nearer to each other than the set asked for.
    pub artist_gap: u64,
    /// Explorations in the first three places.
    pub explored_first: u64,
}

/// Lists with fewer tracks than asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShortLists {
    /// All of them.
    pub total: u64,
    /// Of these, lists that left out a recording the listener may hear.
    pub while_tracks_remain: u64,
    /// Of all, lists that did not say so.
    pub unannounced: u64,
}

/// One finding, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Whose list.
    pub user_id: String,
    /// Where.
    pub surface: String,
    /// Which rule.
    pub rule: String,
    /// The track, or what else there is to say.
    pub detail: String,
}

/// What was found in all lists.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RulesReport {
    /// The time of the requests, milliseconds.
    pub as_of: Option<Timestamp>,
    /// The surfaces asked for.
    pub surfaces: Vec<String>,
    /// Listeners.
    pub users: u64,
    /// Lists.
    pub lists: u64,
    /// Tracks in them.
    pub tracks: u64,
    /// Broken hard rules.
    pub violations: Violations,
    /// Repeats inside windows.
    pub window_repeats: Repeats,
    /// Lists of a wrong shape.
    pub shapes: WrongShapes,
    /// Short lists.
    pub short_lists: ShortLists,
    /// Lists that relaxed something and said so.
    pub relaxed_lists: u64,
    /// Blocks that were tried.
    pub probes: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Sum of everything that must be 0.
    pub wrong: u64,
    /// The first findings.
    pub examples: Vec<Example>,
}

/// Checks the lists of listeners on surfaces. `progress` gets lists done and all lists. Cost: one request a list, on all
/// cores.
///
/// # Errors
/// `NotFound` for a surface without a recipe; damaged files. What a single request answers wrongly is counted.
pub fn check_rules(
    engine: &Segue,
    request: &RulesRequest,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<RulesReport> {
    let recipes = recipes_of(engine, &request.surfaces)?;
    let users = sample(all_users(engine)?, request.users_max);
    let catalogue = Catalogue::read(engine)?;
    let (total, done) = (users.len() * recipes.len(), AtomicUsize::new(0));
    let reports: Vec<RulesReport> = users
        .par_iter()
        .map(|user| {
            let report = check_listener(engine, &catalogue, &recipes, user, request.as_of);
            progress(done.fetch_add(recipes.len(), Ordering::Relaxed) + recipes.len(), total);
            report
        })
        .collect::<Result<_>>()?;
    let mut whole = RulesReport {
        as_of: Some(request.as_of),
        surfaces: recipes.iter().map(|recipe| recipe.name.clone()).collect(),
        ..RulesReport::default()
    };
    reports.into_iter().for_each(|report| whole.add(report));
    for user in users.iter().take(request.probes) {
        whole.add(probe::obeys_at_once(engine, &recipes, user, request.as_of)?);
    }
    whole.wrong = whole.count_wrong();
    Ok(whole)
}

fn recipes_of(engine: &Segue, surfaces: &[String]) -> Result<Vec<Recipe>> {
    let active: BTreeMap<String, Recipe> = engine
        .recipes()?
        .into_iter()
        .filter(|(_, active)| *active)
        .map(|(recipe, _)| (recipe.name.clone(), recipe))
        .collect();
    if surfaces.is_empty() {
        return Ok(active.into_values().collect());
    }
    let named =
        surfaces.iter().map(|name| active.get(name).cloned().ok_or_else(|| Error::not_found("recipe", name)));
    named.collect()
}

fn all_users(engine: &Segue) -> Result<Vec<UserId>> {
    let (mut users, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = engine.list_users(cursor, PAGE)?;
        users.extend(page.into_iter().map(|user| user.user_id));
        match next {
            Some(_) => cursor = next,
            None => return Ok(users),
        }
    }
}

/// Every so-and-so-many-th listener.
fn sample(users: Vec<UserId>, max: Option<usize>) -> Vec<UserId> {
    let (all, wanted) = (users.len(), max.unwrap_or(usize::MAX).min(users.len()));
    users
        .into_iter()
        .enumerate()
        .filter(|(at, _)| (at + 1) * wanted / all > at * wanted / all)
        .map(|(_, user)| user)
        .collect()
}

fn ask(engine: &Segue, user: &UserId, recipe: &Recipe, as_of: Timestamp) -> Result<Recommendation> {
    engine.recommend(RecommendRequest {
        as_of: Some(as_of),
        request_id: Some(format!("rules/{user}/{}", recipe.name)),
        // By name: where an experiment runs a listener may get another recipe, and this one is what is checked.
        recipe: Some(recipe.reference()),
        ..RecommendRequest::new(user.clone(), Surface::new(recipe.name.as_str())?)
    })
}

fn check_listener(
    engine: &Segue,
    catalogue: &Catalogue,
    recipes: &[Recipe],
    user: &UserId,
    as_of: Timestamp,
) -> Result<RulesReport> {
    let judge = Judge::new(catalogue, engine.stored_listener(user)?, as_of);
    let mut report = RulesReport { users: 1, ..RulesReport::default() };
    for recipe in recipes {
        report.lists += 1;
        let list = match ask(engine, user, recipe, as_of) {
            Ok(list) => list,
            Err(error) => {
                report.errors += 1;
                report.note(user, recipe, "error", error.to_string());
                continue;
            }
        };
        report.tracks += list.tracks.len() as u64;
        report.relaxed_lists += u64::from(!list.relaxed.is_empty());
        for (finding, detail) in judge.findings(recipe, &list) {
            let is_wrong = finding.is_wrong();
            report.count(finding);
            if is_wrong {
                report.note(user, recipe, finding.name(), detail);
            }
        }
    }
    Ok(report)
}

impl RulesReport {
    fn count(&mut self, finding: Finding) {
        let (violations, repeats, short) =
            (&mut self.violations, &mut self.window_repeats, &mut self.short_lists);
        let shapes = &mut self.shapes;
        *match finding {
            Finding::Region => &mut violations.region,
            Finding::Explicit => &mut violations.explicit,
            Finding::BlockedArtist => &mut violations.blocked_artist,
            Finding::BlockedTrack => &mut violations.blocked_track,
            Finding::TakenDown => &mut violations.taken_down,
            Finding::ReleaseWindow => &mut violations.release_window,
            Finding::AfterBlock => &mut violations.after_block,
            Finding::Heard => &mut repeats.heard,
            Finding::Served => &mut repeats.served,
            Finding::Recording => &mut repeats.recording,
            Finding::ArtistCap => &mut shapes.artist_cap,
            Finding::AlbumCap => &mut shapes.album_cap,
            Finding::ArtistGap => &mut shapes.artist_gap,
            Finding::ExploredFirst => &mut shapes.explored_first,
            Finding::Announced => &mut repeats.announced,
            Finding::Short => &mut short.total,
            Finding::ShortWhileTracksRemain => &mut short.while_tracks_remain,
            Finding::ShortUnannounced => &mut short.unannounced,
        } += 1;
    }

    fn note(&mut self, user: &UserId, recipe: &Recipe, rule: &str, detail: String) {
        if self.examples.len() < EXAMPLES_MAX {
            let (user_id, surface) = (user.to_string(), recipe.name.clone());
            self.examples.push(Example { user_id, surface, rule: rule.to_owned(), detail });
        }
    }

    fn add(&mut self, other: Self) {
        self.users += other.users;
        self.lists += other.lists;
        self.tracks += other.tracks;
        self.relaxed_lists += other.relaxed_lists;
        self.probes += other.probes;
        self.errors += other.errors;
        let Violations {
            region,
            explicit,
            blocked_artist,
            blocked_track,
            taken_down,
            release_window,
            after_block,
        } = other.violations;
        self.violations.region += region;
        self.violations.explicit += explicit;
        self.violations.blocked_artist += blocked_artist;
        self.violations.blocked_track += blocked_track;
        self.violations.taken_down += taken_down;
        self.violations.release_window += release_window;
        self.violations.after_block += after_block;
        let Repeats { heard, served, recording, announced } = other.window_repeats;
        self.window_repeats.heard += heard;
        self.window_repeats.served += served;
        self.window_repeats.recording += recording;
        self.window_repeats.announced += announced;
        let WrongShapes { artist_cap, album_cap, artist_gap, explored_first } = other.shapes;
        self.shapes.artist_cap += artist_cap;
        self.shapes.album_cap += album_cap;
        self.shapes.artist_gap += artist_gap;
        self.shapes.explored_first += explored_first;
        let ShortLists { total, while_tracks_remain, unannounced } = other.short_lists;
        self.short_lists.total += total;
        self.short_lists.while_tracks_remain += while_tracks_remain;
        self.short_lists.unannounced += unannounced;
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }

    fn count_wrong(&self) -> u64 {
        let Violations {
            region,
            explicit,
            blocked_artist,
            blocked_track,
            taken_down,
            release_window,
            after_block,
        } = self.violations;
        let Repeats { heard, served, recording, announced: _ } = self.window_repeats;
        let WrongShapes { artist_cap, album_cap, artist_gap, explored_first } = self.shapes;
        let ShortLists { total: _, while_tracks_remain, unannounced } = self.short_lists;
        region
            + explicit
            + blocked_artist
            + blocked_track
            + taken_down
            + release_window
            + after_block
            + heard
            + served
            + recording
            + artist_cap
            + album_cap
            + artist_gap
            + explored_first
            + while_tracks_remain
            + unannounced
            + self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_listeners() {
        let users = |count: usize| -> Vec<UserId> {
            (0..count).map(|at| UserId::new(format!("u{at:04}")).expect("valid")).collect()
        };
        let picked: Vec<String> = sample(users(10), Some(3)).iter().map(ToString::to_string).collect();
        assert_eq!(picked, ["u0003", "u0006", "u0009"]);
        assert_eq!(sample(users(10), None).len(), 10);
        assert_eq!(sample(users(10), Some(99)).len(), 10);
        assert!(sample(users(10), Some(0)).is_empty());
        assert!(sample(users(0), Some(3)).is_empty());
    }
}
