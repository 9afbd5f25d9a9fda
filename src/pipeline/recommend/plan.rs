//! What a request is: recipe, listener, and the tracks each source may show.

use std::sync::Arc;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::filter::{Exclusions, RuleClass, TrackFilter};
use crate::pipeline::experiment::Assignment;
use crate::pipeline::explain::{HardRule, Verdict};
use crate::pipeline::listener::Listener;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{HeardWindow, Recipe, Source, request_seed};
use crate::pipeline::request::{RecommendRequest, RequestContext};
use crate::pipeline::retrieve::AllowedTracks;
use crate::pipeline::tracks::{Base, TrackShards};
use crate::telemetry::StageClock;
use crate::types::{Date, Deadline, Timestamp, TrackId, TrackRef};

/// Which soft windows hold. Hard rules always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Windows {
    /// Served and heard.
    All,
    /// Heard only.
    Heard,
    /// None.
    None,
}

/// A resolved request.
pub struct Plan {
    /// The recipe with the call's overrides.
    pub recipe: Recipe,
    /// The arm of the listener that chose it, if one did.
    pub assignment: Option<Assignment>,
    /// List length.
    pub n: usize,
    /// The time.
    pub as_of: Timestamp,
    /// The request's id.
    pub request_id: String,
    /// Decides every random choice.
    pub seed: u64,
    /// For whom.
    pub listener: Arc<Listener>,
    /// Their situation.
    pub context: RequestContext,
    /// Whose hard rules hold.
    pub class: RuleClass,
    /// Seeds that exist.
    pub seeds: Vec<TrackRef>,
    /// Seeds that do not.
    pub unknown_seeds: Vec<TrackId>,
    /// The track shards.
    tracks: TrackShards,
    /// Until when the caller waits.
    deadline: Deadline,
    /// What each of them may show.
    shards: Vec<ShardRules>,
}

/// What one shard may show.
struct ShardRules {
    base: Base,
    /// Blocked tracks and the seeds: never shown.
    hard: Arc<Exclusions>,
    heard: Arc<Exclusions>,
    /// The collaborative source's own window, when it is stricter.
    heard_collaborative: Option<Arc<Exclusions>>,
    served: Arc<Exclusions>,
    /// What is left while all windows hold: for the collaborative source, and for the others. Made when first asked.
    left: [OnceLock<AllowedTracks>; 2],
}

impl Plan {
    /// Resolves a request.
    ///
    /// # Errors
    /// `NotFound` for an unknown user, recipe, or when none of the seeds exists; `InvalidField`.
    pub fn make(reader: &Reader<'_>, request: &RecommendRequest, clock: &mut StageClock) -> Result<Self> {
        let (Some(as_of), Some(request_id)) = (request.as_of, request.request_id.clone()) else {
            return Err(Error::Internal("as_of and request_id are filled in at the border".to_owned()));
        };
        let asked = request.recipe.as_deref();
        let (recipe, assignment) = reader.recipes.assigned(&request.surface, asked, &request.user_id)?;
        let recipe = recipe.patched(&request.overrides, request.n)?;
        let recipe = if reader.rules { recipe } else { recipe.without_rules() };
        clock.end("recipe");
        let load = if request.once { Listener::load_once } else { Listener::load };
        let listener = load(reader, &request.user_id, as_of, &request.context)?;
        clock.end("listener");
        let class = if recipe.rules { listener.rule_class() } else { RuleClass::Live };
        let (mut seeds, mut unknown_seeds) = (Vec::new(), Vec::new());
        for (id, found) in request.seeds.iter().zip(reader.find_all(&request.seeds)?) {
            match found {
                Some((track, true)) => seeds.push(track),
                _ => unknown_seeds.push(id.clone()),
            }
        }
        if let (true, Some(missing)) = (seeds.is_empty(), unknown_seeds.first()) {
            return Err(Error::not_found("track", missing));
        }
        let filter = with_release_window(&request.filter, &recipe, as_of);
        let mut shards = Vec::with_capacity(reader.tracks.count());
        for place in 0..reader.tracks.count() {
            let blocked = if recipe.rules { listener.blocked(reader, place)? } else { Arc::default() };
            let stricter = recipe.heard_collaborative.filter(|window| *window != recipe.heard);
            let heard = |window| listener.heard(reader, place, as_of, window, recipe.rules);
            shards.push(ShardRules {
                base: reader.base(place, class, &filter)?,
                hard: with_seeds(blocked, reader, place, &seeds)?,
                heard: heard(recipe.heard)?,
                heard_collaborative: stricter.map(heard).transpose()?,
                served: listener.served(reader, place, as_of, recipe.served_weeks)?,
                left: Default::default(),
            });
        }
        clock.end("exclusions");
        Ok(Self {
            n: recipe.n as usize,
            seed: request_seed(&request_id, &recipe.reference()),
            as_of,
            request_id,
            listener,
            context: request.context.clone(),
            class,
            seeds,
            unknown_seeds,
            recipe,
            assignment,
            tracks: reader.tracks.clone(),
            deadline: reader.deadline,
            shards,
        })
    }

    /// What a source may show on each shard while these windows hold.
    #[must_use]
    pub fn allowed(&self, source: Source, windows: Windows) -> Vec<AllowedTracks> {
        // Seeds are of one request, and so is what they leave.
        let keeper = self.seeds.is_empty().then_some(&*self.listener);
        self.shards.iter().map(|shard| shard.allowed(keeper, source, windows)).collect()
    }

    /// Whether a source is asked of this listener at all: friends only with consent.
    #[must_use]
    pub fn is_asked(&self, source: Source) -> bool {
        let user = &self.listener.state.user;
        source != Source::Social || (user.social_consent && !user.friends.is_empty())
    }

    /// Whether the listener has heard a track by the time of the request. Cost: a look-up among all they have heard; a bit, where
    /// their windows say that it is none of those.
    #[must_use]
    pub fn has_heard(&self, track: TrackRef) -> bool {
        let of_shard = self.tracks.place(track, self.deadline).map(|place| &self.shards[place]);
        let ever = of_shard.and_then(|shard| shard.heard_ever(&self.recipe));
        if ever.is_some_and(|ever| !ever.contains(track.ordinal.0)) {
            return false;
        }
        self.listener.state.heard.last_of(track).is_some_and(|at| at <= self.as_of)
    }

    /// Whether any soft window leaves something out.
    #[must_use]
    pub fn has_windows(&self) -> (bool, bool) {
        let served = self.shards.iter().any(|shard| !shard.served.is_empty());
        let heard = self.recipe.heard != HeardWindow::Allowed
            && self.shards.iter().any(|shard| !shard.heard.is_empty());
        (served, heard)
    }

    /// What keeps a track out of the list before any source is asked, if anything does.
    ///
    /// # Errors
    /// Damaged files.
    pub fn left_out(&self, reader: &Reader<'_>, track: TrackRef) -> Result<Option<Verdict>> {
        let (shard, ordinal) = (&self.shards[reader.known_place(track)?], track.ordinal.0);
        let row = reader.row(track)?;
        let user = &self.listener.state.user;
        let recipe = &self.recipe;
        let hard = if row.deleted {
            Some(HardRule::TakenDown)
        } else if recipe.rules && !row.track.regions.allows(user.region) {
            Some(HardRule::Region(user.region))
        } else if recipe.rules && user.filter_explicit && row.track.explicit != Some(false) {
            Some(HardRule::Explicit)
        } else if recipe.rules && self.listener.blocked_artists().any(|artist| row.artists.contains(&artist))
        {
            Some(HardRule::BlockedArtist)
        } else if shard.hard.contains(ordinal) {
            Some(HardRule::BlockedTrack)
        } else if shard.base.bits.contains(ordinal) {
            None
        } else if recipe.released_within_days > 0 {
            Some(HardRule::Released(recipe.released_within_days))
        } else {
            Some(HardRule::Request("filter"))
        };
        Ok(match hard {
            Some(rule) => Some(Verdict::Filter(rule)),
            None if shard.heard.contains(ordinal) => {
                let last = self.listener.state.heard.last_of(track).map(|at| Date(at.day()));
                Some(Verdict::Heard(recipe.heard, last))
            }
            None if shard.served.contains(ordinal) => Some(Verdict::Served(recipe.served_weeks)),
            None => None,
        })
    }
}

impl ShardRules {
    /// Everything that was ever heard, perhaps with other versions of it, where a window asks for that.
    fn heard_ever(&self, recipe: &Recipe) -> Option<&Exclusions> {
        let windows = [
            (Some(recipe.heard), Some(&self.heard)),
            (recipe.heard_collaborative, self.heard_collaborative.as_ref()),
        ];
        let ever = windows.into_iter().find(|(window, _)| *window == Some(HeardWindow::Ever))?;
        ever.1.map(|set| &**set)
    }

    fn allowed(&self, keeper: Option<&Listener>, source: Source, windows: Windows) -> AllowedTracks {
        let stricter = self.heard_collaborative.as_ref().filter(|_| source == Source::Collaborative);
        let heard = stricter.unwrap_or(&self.heard);
        match windows {
            Windows::All => {
                let sets = [&self.hard, heard, &self.served];
                let make = || match keeper {
                    Some(listener) => listener.exclusions.left(&self.base, sets),
                    None => self.base.without(&sets.map(|set| &**set)),
                };
                self.left[usize::from(stricter.is_none())].get_or_init(make).clone()
            }
            Windows::Heard => self.base.without(&[&self.hard, heard]),
            Windows::None => self.base.without(&[&self.hard]),
        }
    }
}

/// Blocked tracks and, on top, the seeds of the request with their versions.
fn with_seeds(
    blocked: Arc<Exclusions>,
    reader: &Reader<'_>,
    place: usize,
    seeds: &[TrackRef],
) -> Result<Arc<Exclusions>> {
    if seeds.is_empty() {
        return Ok(blocked);
    }
    let hard = blocked.ordinals() | reader.versions(place, seeds.iter().copied())?;
    Ok(Arc::new(Exclusions::new(hard, reader.tracks.ordinals(place))))
}

/// The request's filter with the recipe's own limit on release dates.
fn with_release_window(filter: &TrackFilter, recipe: &Recipe, as_of: Timestamp) -> TrackFilter {
    let mut filter = filter.clone();
    if recipe.released_within_days > 0 {
        let today = as_of.day();
        let from = Date(today.saturating_sub(i32::from(recipe.released_within_days)));
        let (asked_from, asked_to) = filter.release_date.unwrap_or((from, Date(today)));
        filter.release_date = Some((from.max(asked_from), Date(today).min(asked_to)));
    }
    filter
}
