//! Looking tracks up by id for what is no list: events, loads, batches of vectors. In place where the shard is here; each shard
//! elsewhere is asked once for all.

use std::collections::HashMap;
use std::sync::Arc;

use super::engine::Inner;
use super::far_tracks::{FarTracks, something_else};
use super::track_owners::{Owner, TrackOwners};
use crate::error::{Error, Result};
use crate::pipeline::tracks::{KnownTrack, TrackAnswer, TrackQuestion};
use crate::storage::track_shard::command::LoadMark;
use crate::storage::user_shard::EventTrack;
use crate::types::{GenerationId, SpaceName, TrackId, TrackRef};

/// Ids that are asked for at a time.
const IDS: usize = 8_192;

/// What is known of tracks.
pub(super) struct TrackBook<'a> {
    /// Whoever looks for a track of a shard that is here finds it there.
    owners: &'a TrackOwners,
    /// What was asked for, of the others.
    asked: HashMap<TrackId, KnownTrack>,
}

impl TrackBook<'_> {
    /// The name of the track that an id was given, whether or not it still exists.
    pub(super) fn find(&self, id: &TrackId) -> Option<TrackRef> {
        Some(self.known(id)?.track)
    }

    /// Whether there is such a track.
    pub(super) fn has(&self, id: &TrackId) -> bool {
        self.known(id).is_some_and(|known| known.exists)
    }

    /// Where a track is, and how long it lasts; by id when it is not known (yet).
    pub(super) fn event_track(&self, id: &TrackId) -> (EventTrack, Option<u32>) {
        match self.known(id) {
            Some(known) => (EventTrack::Resolved(known.track), known.duration_ms),
            None => (EventTrack::Unknown(id.clone()), None),
        }
    }

    fn known(&self, id: &TrackId) -> Option<KnownTrack> {
        let Some(view) = self.owners.view_here(self.owners.place_of(id.as_str())) else {
            return self.asked.get(id).copied();
        };
        let ordinal = view.ordinal_of(id.as_str())?;
        let hot = view.hot(ordinal);
        Some(KnownTrack {
            track: view.reference(ordinal),
            exists: hot.live,
            duration_ms: Some(hot.duration_ms).filter(|ms| *ms > 0),
        })
    }
}

impl Inner {
    /// What is known of these tracks now.
    ///
    /// # Errors
    /// `Unavailable` when a shard that may have one cannot be asked.
    pub(super) fn look_tracks_up<'a, 'b>(
        &self,
        owners: &'a TrackOwners,
        ids: impl Iterator<Item = &'b TrackId>,
    ) -> Result<TrackBook<'a>> {
        let mut asked = HashMap::new();
        if owners.all_here().is_none() {
            let is_far = |id: &&TrackId| owners.view_here(owners.place_of(id.as_str())).is_none();
            let mut far: Vec<TrackId> = ids.filter(is_far).cloned().collect();
            far.sort_unstable();
            far.dedup();
            if far.is_empty() {
                return Ok(TrackBook { owners, asked });
            }
            let reader = self.reader(None)?;
            for ids in far.chunks(IDS) {
                let found = ids.iter().cloned().zip(reader.look_up(ids)?);
                asked.extend(found.filter_map(|(id, found)| Some((id, found?))));
            }
        }
        Ok(TrackBook { owners, asked })
    }

    /// What each track shard knows of a load.
    ///
    /// # Errors
    /// `Unavailable` when one cannot be asked.
    pub(super) fn load_marks(&self, owners: &TrackOwners, load_id: &str) -> Result<Vec<Option<LoadMark>>> {
        let mark = |(place, owner): (usize, &Owner)| match owners.view_here(place) {
            Some(view) => Ok(view.loads.get(load_id).cloned()),
            None => match self.ask_owner(owner, &TrackQuestion::Load(load_id.to_owned()))? {
                TrackAnswer::Load(mark) => Ok(mark),
                _ => Err(something_else(owner.shard())),
            },
        };
        owners.iter().map(mark).collect()
    }

    /// Of what dimension a set is in the shard at a place, if it has one.
    ///
    /// # Errors
    /// `Unavailable` when the shard cannot be asked.
    pub(super) fn dim_at(
        &self,
        owners: &TrackOwners,
        place: usize,
        space: &SpaceName,
        generation: GenerationId,
    ) -> Result<Option<u32>> {
        Ok(match owners.owner(place) {
            Owner::Here(part) => part.shard.view().set(space, generation).map(|set| set.spec.dim),
            Owner::Elsewhere(shard) => {
                let outline = self.far_tracks()?.newest(shard)?;
                outline.set(space, generation).map(|set| set.dim)
            }
        })
    }

    fn ask_owner(&self, owner: &Owner, question: &TrackQuestion) -> Result<TrackAnswer> {
        match owner {
            Owner::Elsewhere(shard) => self.far_tracks()?.ask_now(shard, question),
            Owner::Here(_) => Err(Error::Internal("a shard here was asked".to_owned())),
        }
    }

    fn far_tracks(&self) -> Result<&Arc<FarTracks>> {
        self.tracks.far().ok_or_else(|| Error::Internal("no other node is known".to_owned()))
    }
}
