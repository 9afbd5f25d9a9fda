//! What evaluation asks of the engine: a list with the rules on or off, and who breaks them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::engine::Inner;
use crate::error::{Error, Result};
use crate::filter::RuleClass;
use crate::pipeline::judge::{EvalRequest, JudgedList};
use crate::pipeline::quality::look;
use crate::pipeline::reader::Reader;
use crate::pipeline::recommend;
use crate::pipeline::request::RecommendRequest;
use crate::pipeline::statistics::outcomes::{Outcome, outcomes};
use crate::types::{ArtistKey, Surface, TrackId, TrackRef, User, UserId, key_of};

/// Listeners whose histories tell how known a track is.
const LISTENERS_MAX: u64 = 100_000;

impl Inner {
    pub(super) fn judge(
        &self,
        user_id: &UserId,
        items: &[TrackId],
        asked: &EvalRequest,
    ) -> Result<JudgedList> {
        let mut reader = self.reader(None)?;
        let surface = Surface::new("evaluation")?;
        reader.rules = asked.rules;
        let mut request = RecommendRequest::new(user_id.clone(), surface);
        request.recipe = Some(asked.recipe.clone());
        request.n = Some(asked.k);
        request.as_of = Some(asked.as_of);
        request.request_id = Some(format!("evaluation/{user_id}"));
        if !asked.explore {
            request.overrides.exploration_rate = Some(0.0);
        }
        let outcome = recommend::run(&reader, &request, false)?;
        let heard = &outcome.plan.listener.state.heard;
        let last = |track| heard.last_of(track).filter(|at| *at <= asked.as_of);
        let numbers = look(&reader, &outcome.plan.recipe, last, asked.as_of, &outcome.listed)?;
        let list = outcome.reply;
        let user = self.user(user_id)?;
        let mut violations = 0;
        for track in &list.tracks {
            violations += u64::from(!allowed(&reader, &user, &track.track_id)?);
        }
        let mut allowed_items = Vec::with_capacity(items.len());
        for item in items {
            if !asked.rules || allowed(&reader, &user, item)? {
                allowed_items.push(item.clone());
            }
        }
        let explored = list.tracks.iter().filter(|track| track.explored).count() as u64;
        let plays = outcome.plan.listener.plays.into();
        let relaxed = !list.relaxed.is_empty();
        let listed = list.tracks.into_iter().map(|track| track.track_id).collect();
        Ok(JudgedList { listed, allowed_items, violations, explored, relaxed, numbers, plays })
    }

    /// How many listeners ever heard each track that anybody heard; of very many listeners, an even sample.
    pub(super) fn listeners_of_tracks(&self) -> Result<HashMap<TrackId, u64>> {
        let mut counts: HashMap<TrackRef, u64> = HashMap::new();
        self.users.shards.for_each_view(LISTENERS_MAX, |view| {
            view.heard.tracks.iter().for_each(|track| *counts.entry(*track).or_default() += 1);
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        let reader = self.reader(None)?;
        reader.expect_rows(counts.keys().copied())?;
        let name = |(track, count): (TrackRef, u64)| -> Result<(TrackId, u64)> {
            Ok((reader.row(track)?.track.track_id.clone(), count))
        };
        counts.into_iter().map(name).collect()
    }

    /// What became of every explored slot that was shown, with whether its listener is of the first of two halves; of very
    /// many listeners, an even sample.
    pub(super) fn exploration_log(&self) -> Result<Vec<(bool, Outcome)>> {
        let mut log = Vec::new();
        self.users.shards.for_each_view(LISTENERS_MAX, |view| {
            let half = key_of(view.user.user_id.as_str()).is_multiple_of(2);
            log.extend(outcomes(&view).into_iter().filter(|found| found.explored).map(|found| (half, found)));
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(log)
    }

    /// Every listener with the mean reward of the tracks shown to them (on one surface, or on all), if an outcome is known.
    pub(super) fn rewards_by_listener(
        &self,
        surface: Option<&Surface>,
    ) -> Result<Vec<(UserId, Option<f64>)>> {
        let mut all = Vec::new();
        self.users.shards.for_each_view(LISTENERS_MAX, |mut view| {
            view.served.retain(|list| surface.is_none_or(|surface| list.surface == *surface));
            let found = outcomes(&view);
            let mean = found.iter().map(|slot| slot.reward).sum::<f64>() / found.len().max(1) as f64;
            all.push((view.user.user_id.clone(), (!found.is_empty()).then_some(mean)));
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }
}

/// Whether a listener may hear a track: asked of the stored rows alone, beside the filters that made the list.
fn allowed(reader: &Reader<'_>, user: &User, id: &TrackId) -> Result<bool> {
    let row = match reader.record(id) {
        Err(Error::NotFound { .. }) => return Ok(false),
        row => row?,
    };
    let class = RuleClass::Listener { region: user.region, filter_explicit: user.filter_explicit };
    let blocked = |artist: &crate::types::ArtistId| row.artists.contains(&ArtistKey::of(artist.as_str()));
    Ok(class.allows(&row) && !user.blocked_artists.iter().any(blocked) && !user.blocked_tracks.contains(id))
}
