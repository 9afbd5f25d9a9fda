//! What evaluation asks of the engine: a list with the rules on or off, and who breaks them.

use super::engine::Inner;
use crate::error::Result;
use crate::filter::RuleClass;
use crate::pipeline::judge::{EvalRequest, JudgedList};
use crate::pipeline::recommend;
use crate::pipeline::request::RecommendRequest;
use crate::storage::track_shard::TrackView;
use crate::types::{ArtistKey, Surface, TrackId, User, UserId};

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
        let list = recommend::recommend(&reader, &request)?;
        let user = self.user(user_id)?;
        let view = self.tracks.shard.view();
        let mut violations = 0;
        for track in &list.tracks {
            violations += u64::from(!allowed(&view, &user, &track.track_id)?);
        }
        let mut allowed_items = Vec::with_capacity(items.len());
        for item in items {
            if !asked.rules || allowed(&view, &user, item)? {
                allowed_items.push(item.clone());
            }
        }
        let listed = list.tracks.into_iter().map(|track| track.track_id).collect();
        Ok(JudgedList { listed, allowed_items, violations })
    }
}

/// Whether a listener may hear a track: asked of the stored rows alone, beside the filters that made the list.
fn allowed(view: &TrackView, user: &User, id: &TrackId) -> Result<bool> {
    let Some(ordinal) = view.find(id) else { return Ok(false) };
    let row = view.row(ordinal)?;
    let class = RuleClass::Listener { region: user.region, filter_explicit: user.filter_explicit };
    let blocked = |artist: &crate::types::ArtistId| row.artists.contains(&ArtistKey::of(artist.as_str()));
    Ok(class.allows(&row) && !user.blocked_artists.iter().any(blocked) && !user.blocked_tracks.contains(id))
}
