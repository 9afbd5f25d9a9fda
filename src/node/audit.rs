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
    /// `Conflict` when a track shard is not here; damaged files.
    pub(crate) fn stored_tracks(&self) -> Result<Vec<(TrackRef, Arc<TrackRow>)>> {
        let mut all = Vec::new();
        let owners = self.serving()?.tracks.owners()?;
        let here = owners.all_here().ok_or_else(|| {
            Error::Conflict(
                "some track shards are on other nodes: ask a node that holds all of them".to_owned(),
            )
        })?;
        for view in here {
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
