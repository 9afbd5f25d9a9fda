//! What an outside check reads: the stored records as they are, past every filter and cache of the pipeline.

use std::sync::Arc;

use super::engine::Segue;
use crate::error::{Error, Result};
use crate::storage::track_shard::row::{TrackHot, TrackRow};
use crate::storage::user_shard::UserView;
use crate::types::{TrackOrdinal, TrackRef, UserId};

impl Segue {
    /// Every track that was ever stored, taken-down ones included (they say so), with its place.
    ///
    /// # Errors
    /// Damaged files.
    pub(crate) fn stored_tracks(&self) -> Result<Vec<(TrackRef, Arc<TrackRow>)>> {
        let view = self.serving()?.tracks.shard.view();
        let described =
            (0..view.ordinals()).filter(|&ordinal| view.hot(ordinal).segment != TrackHot::ABSENT.segment);
        described
            .map(|ordinal| {
                let place = TrackRef { shard: view.shard, ordinal: TrackOrdinal(ordinal) };
                Ok((place, view.row(ordinal)?))
            })
            .collect()
    }

    /// A listener's record, history and served lists.
    ///
    /// # Errors
    /// `NotFound`; damaged files.
    pub(crate) fn stored_listener(&self, user: &UserId) -> Result<Arc<UserView>> {
        let found = self.serving()?.users.shards.view(user).map_err(Error::from)?;
        found.ok_or_else(|| Error::not_found("user", user))
    }
}
