//! Records of listeners in the order of their keys, page by page.

use std::ops::ControlFlow;

use super::error::Result;
use super::keys;
use super::question::{PAGE_BYTES, UserAnswer};
use super::rows::UserRecord;
use super::shard::UserShard;
use super::value::damaged;
use crate::types::{Slot, User, UserId};

/// Rows of a page of records.
const LIST_ROWS: usize = 1_024;

impl UserShard {
    /// Users in key order (slot, then id) after a cursor, at most `limit`; and the next cursor if there are more.
    ///
    /// Cost: one seek a user.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn list_users(&self, cursor: Option<&UserId>, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        self.list_from(cursor.map_or_else(Vec::new, |user| keys::user_end(&keys::user(user))), limit)
    }

    /// As [`UserShard::list_users`], those of a slot and of the slots behind it.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn list_users_from(&self, slot: Slot, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        self.list_from(keys::slot(slot), limit)
    }

    fn list_from(&self, mut from: Vec<u8>, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let mut users = Vec::new();
        while users.len() <= limit {
            let mut found = None;
            snapshot.scan(&from, &keys::slot(Slot(self.end)), |key, value| {
                found = Some((key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Break(()))
            })?;
            // A user's record is their first row.
            let Some((key, value)) = found else { break };
            let record = UserRecord::decode(&value).map_err(|what| damaged(&key, what))?;
            from = keys::user_end(&keys::user(&record.user.user_id));
            users.push(record.user);
        }
        let has_more = users.len() > limit;
        users.truncate(limit);
        let next = users.last().filter(|_| has_more).map(|user| user.user_id.clone());
        Ok((users, next))
    }
}

/// As much of a page of records as fits.
pub(super) fn users_page((mut users, mut next): (Vec<User>, Option<UserId>)) -> UserAnswer {
    let mut bytes = 0;
    let fits = users.iter().take_while(|user| {
        let is_first = bytes == 0;
        bytes += record_bytes(user);
        is_first || bytes < PAGE_BYTES
    });
    let fits = fits.count();
    if fits < users.len() {
        users.truncate(fits);
        next = users.last().map(|user| user.user_id.clone());
    }
    UserAnswer::Users(users, next)
}

/// Rows of a page of records that so many are asked of.
pub(super) fn rows_of(limit: u32) -> usize {
    (limit as usize).min(LIST_ROWS)
}

/// Bytes of a record, roughly.
fn record_bytes(user: &User) -> usize {
    let artists = user.blocked_artists.iter().chain(&user.followed_artists).chain(&user.onboarding_artists);
    let artists: usize = artists.map(|artist| artist.as_str().len() + 16).sum();
    let tracks: usize = user.blocked_tracks.iter().map(|track| track.as_str().len() + 16).sum();
    let friends: usize = user.friends.iter().map(|friend| friend.as_str().len() + 16).sum();
    256 + artists + tracks + friends + user.onboarding_genres.len() * 64
}
