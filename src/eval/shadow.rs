//! A second recipe in the shadow of the first: the same listeners asked at the same time, and how much the lists share.

use serde::Serialize;

use super::bootstrap::mean_interval;
use crate::error::{Error, Result};
use crate::node::Segue;
use crate::pipeline::experiment::shared;
use crate::pipeline::request::{RecommendRequest, Recommendation};
use crate::types::{Surface, Timestamp, TrackId, UserId};

/// Decides the resamples of intervals.
const SEED: u64 = 0x5AAD_0000;
/// Listeners read at a time.
const PAGE: usize = 1_000;

/// What to compare.
#[derive(Debug, Clone)]
pub struct ShadowRequest {
    /// Where the lists are shown.
    pub surface: Surface,
    /// The recipe in use, by name or `name@version`; the surface's own when absent.
    pub recipe: Option<String>,
    /// The recipe in its shadow.
    pub shadow: String,
    /// Places from the top that are compared.
    pub k: usize,
    /// The time of the requests.
    pub as_of: Timestamp,
    /// At most so many listeners, the first in order of their slots.
    pub listeners: usize,
}

/// How the lists compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowReport {
    /// `name@version` of both.
    pub recipes: (String, String),
    /// Listeners who were asked for.
    pub listeners: u64,
    /// Places from the top.
    pub k: u64,
    /// Mean share of the first `k` tracks that both lists have, in whatever order.
    pub overlap: f64,
    /// Its 95 % interval over listeners.
    pub overlap_interval: Option<(f64, f64)>,
    /// Lists that are the same from first to last of `k`.
    pub same_lists: u64,
    /// Lists shorter than `k`, of either.
    pub short_lists: (u64, u64),
    /// Lists that relaxed something, of either.
    pub relaxed_lists: (u64, u64),
}

/// Asks for both lists of every listener. Nothing is written, and nothing of the shadow is shown to anybody.
///
/// # Errors
/// Those of the requests. A listener who was removed meanwhile is left out.
pub fn shadow(engine: &Segue, request: &ShadowRequest) -> Result<ShadowReport> {
    let mut report = ShadowReport {
        recipes: (String::new(), String::new()),
        listeners: 0,
        k: request.k as u64,
        overlap: 0.0,
        overlap_interval: None,
        same_lists: 0,
        short_lists: (0, 0),
        relaxed_lists: (0, 0),
    };
    let mut overlaps = Vec::new();
    let mut cursor = None;
    while overlaps.len() < request.listeners {
        let (users, next) = engine.list_users(cursor, PAGE)?;
        for user in users.into_iter().take(request.listeners - overlaps.len()) {
            let ask = |recipe: &Option<String>| one(engine, request, &user.user_id, recipe.clone());
            let both = ask(&request.recipe).and_then(|a| Ok((a, ask(&Some(request.shadow.clone()))?)));
            match both {
                Ok((a, b)) => overlaps.push(report.add(&a, &b, request.k)),
                Err(Error::NotFound { what, .. }) if what == "user" => {}
                Err(error) => return Err(error),
            }
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    report.listeners = overlaps.len() as u64;
    report.overlap = overlaps.iter().fold(0.0, |sum, share| sum + share) / overlaps.len().max(1) as f64;
    report.overlap_interval = mean_interval(&overlaps, SEED);
    Ok(report)
}

fn one(
    engine: &Segue,
    request: &ShadowRequest,
    user: &UserId,
    recipe: Option<String>,
) -> Result<Recommendation> {
    let mut asked = RecommendRequest::new(user.clone(), request.surface.clone());
    asked.as_of = Some(request.as_of);
    asked.recipe = recipe;
    asked.request_id = Some(format!("shadow/{user}"));
    engine.recommend(asked)
}

impl ShadowReport {
    /// Counts the two lists of one listener; the share they have in common.
    fn add(&mut self, a: &Recommendation, b: &Recommendation, k: usize) -> f64 {
        if self.recipes.0.is_empty() {
            self.recipes = (a.recipe.clone(), b.recipe.clone());
        }
        let top = |list: &Recommendation| -> Vec<TrackId> {
            list.tracks.iter().take(k).map(|track| track.track_id.clone()).collect()
        };
        let (first, second) = (top(a), top(b));
        self.same_lists += u64::from(first == second);
        self.short_lists.0 += u64::from(first.len() < k);
        self.short_lists.1 += u64::from(second.len() < k);
        self.relaxed_lists.0 += u64::from(!a.relaxed.is_empty());
        self.relaxed_lists.1 += u64::from(!b.relaxed.is_empty());
        shared(&first, &second)
    }
}
