//! What an outside check reads: the stored records as they are, past every filter and cache of the pipeline.

use std::sync::Arc;

use super::engine::Segue;
use crate::error::{Error, Result};
use crate::storage::track_shard::row::TrackRow;
use crate::storage::user_shard::UserView;
use crate::types::{TrackRef, UserId};

impl Segue {
    /// Every track that was ever stored, taken-down ones included (they say so), with its place.
    ///
    /// # Errors
    /// Damaged files.
    pub(crate) fn stored_tracks(&self) -> Result<Vec<(TrackRef, Arc<TrackRow>)>> {
        let mut all = Vec::new();
        for view in self.serving()?.tracks.views()? {
            for ordinal in (0..view.ordinals()).filter(|ordinal| view.has_row(*ordinal)) {
                all.push((view.reference(ordinal), view.row(ordinal)?));
            }
        }
        Ok(all)
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
