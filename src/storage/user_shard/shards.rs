//! The user shards of a database: the one place that knows which of them a listener is in, and which are here.
//!
//! Each shard owns a contiguous range of the slots. Keys begin with the slot, so the shards in the order of their ranges
//! are in the order of keys, and what is gathered here does not depend on how many there are, nor on where they are: a shard
//! that is on another node is asked the same ([`UserQuestion`]).
//!
//! A shard's place is its number. Which slots it owns may change while it is asked: what is gathered is gathered by the ranges
//! of one moment, and each shard is told where its range ends, so that no listener is seen twice.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::{
    elsewhere::{Elsewhere, Missing},
    error::Result,
    question::{FriendPlays, UserAnswer, UserQuestion, unexpected},
    shard::UserShard,
    view::UserView,
};
use crate::types::{
    GenerationId, SLOTS, Slot, SlotRange, SlotRanges, SpaceName, Timestamp, USER_SHARDS_MAX, User, UserId,
    slot_of,
};

/// The shards, by number. Cheap to clone.
#[derive(Clone)]
pub struct UserShards(pub(super) Arc<Places>);

pub(super) struct Places {
    /// Those that are here, of all that there may be.
    pub(super) here: Box<[ArcSwapOption<UserShard>]>,
    /// Which owns which slots; others change it.
    ranges: Arc<ArcSwap<SlotRanges>>,
    /// Who asks the others; `None` when all are here for good.
    pub(super) elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl UserShards {
    /// Puts shards together that are all here for good, and of which none was ever split; all there are, in order.
    ///
    /// # Panics
    /// Without a shard, or with more than a database may have.
    #[must_use]
    pub fn new(shards: Vec<UserShard>) -> Self {
        let count = shards.len();
        assert!((1..=usize::from(USER_SHARDS_MAX)).contains(&count));
        let ranges = SlotRanges::even(u16::try_from(count).expect("at most USER_SHARDS_MAX"));
        let shards = shards.into_iter().enumerate();
        Self::ranged(shards, Arc::new(ArcSwap::from_pointee(ranges)), None)
    }

    /// Puts shards together that own these ranges; of those that are not here, others are asked.
    ///
    /// # Panics
    /// With a number that no shard may have.
    #[must_use]
    pub fn ranged(
        shards: impl IntoIterator<Item = (usize, UserShard)>,
        ranges: Arc<ArcSwap<SlotRanges>>,
        elsewhere: Option<Arc<dyn Elsewhere>>,
    ) -> Self {
        let here: Box<[ArcSwapOption<UserShard>]> =
            (0..USER_SHARDS_MAX).map(|_| ArcSwapOption::empty()).collect();
        for (place, shard) in shards {
            here[place].store(Some(Arc::new(shard)));
        }
        Self(Arc::new(Places { here, ranges, elsewhere }))
    }

    /// Which shard owns which slots at this moment.
    #[must_use]
    pub fn ranges(&self) -> Arc<SlotRanges> {
        self.0.ranges.load_full()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.ranges.load().count()
    }

    /// Those that are here with their places, in order; those, too, that have not got all their rows yet.
    pub fn here(&self) -> impl Iterator<Item = (usize, Arc<UserShard>)> {
        self.0.here.iter().enumerate().filter_map(|(place, shard)| Some((place, shard.load_full()?)))
    }

    /// The shard at a place, if it is here and has all its rows.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<Arc<UserShard>> {
        self.0.here.get(place)?.load_full().filter(|shard| !shard.split_state().is_importing())
    }

    /// The same, if it has not all its rows yet, too.
    #[must_use]
    pub fn any_at(&self, place: usize) -> Option<Arc<UserShard>> {
        self.0.here.get(place)?.load_full()
    }

    /// Places of the shards that own slots and are not here, in the order of the slots.
    pub fn elsewhere(&self) -> impl Iterator<Item = usize> {
        let ranges = self.ranges();
        let places: Vec<usize> = ranges.in_order().map(|(place, _)| place).collect();
        places.into_iter().filter(|place| self.at(*place).is_none())
    }

    /// From now on the shard at a place is here, or it is not; whoever reads it goes on with what they have.
    pub fn put(&self, place: usize, shard: Option<UserShard>) {
        self.0.here[place].store(shard.map(Arc::new));
    }

    /// Which shard a listener is in.
    #[must_use]
    pub fn place_of(&self, user: &UserId) -> usize {
        self.0.ranges.load().shard_of(slot_of(user.as_str()))
    }

    /// Whether a listener's shard is here.
    #[must_use]
    pub fn is_here(&self, user: &UserId) -> bool {
        self.at(self.place_of(user)).is_some()
    }

    /// As [`UserShard::user`].
    ///
    /// # Errors
    /// Damage, I/O; the node that was asked.
    pub fn user(&self, id: &UserId) -> Result<Option<User>> {
        let place = self.place_of(id);
        match self.at(place) {
            Some(shard) => shard.user(id),
            None => match self.ask(place, &UserQuestion::User(id.clone()))? {
                UserAnswer::User(user) => Ok(user),
                other => Err(unexpected(&other)),
            },
        }
    }

    /// As [`UserShard::view`].
    ///
    /// # Errors
    /// Damage, I/O; the node that was asked.
    pub fn view(&self, id: &UserId) -> Result<Option<Arc<UserView>>> {
        self.view_by(id, |shard| shard.view(id))
    }

    /// As [`UserShard::view_once`].
    ///
    /// # Errors
    /// Damage, I/O; the node that was asked.
    pub fn view_once(&self, id: &UserId) -> Result<Option<Arc<UserView>>> {
        self.view_by(id, |shard| shard.view_once(id))
    }

    fn view_by(
        &self,
        id: &UserId,
        here: impl FnOnce(&UserShard) -> Result<Option<Arc<UserView>>>,
    ) -> Result<Option<Arc<UserView>>> {
        let place = self.place_of(id);
        match self.at(place) {
            Some(shard) => here(&shard),
            None => match self.ask(place, &UserQuestion::View(id.clone()))? {
                UserAnswer::View(view) => Ok(view.map(|view| Arc::new(*view))),
                other => Err(unexpected(&other)),
            },
        }
    }

    /// As [`UserShard::vector`].
    ///
    /// # Errors
    /// Damage, I/O; the node that was asked.
    pub fn vector(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        user: &UserId,
    ) -> Result<Option<Vec<f32>>> {
        match self.at(self.place_of(user)) {
            Some(shard) => shard.vector(space, generation, user),
            None => Ok(self.vectors(space, generation, std::slice::from_ref(user))?.pop().flatten()),
        }
    }

    /// [`UserShard::vector`] of several users, in their order; a shard elsewhere is asked once.
    ///
    /// # Errors
    /// As [`UserShards::vector`].
    pub fn vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        users: &[UserId],
    ) -> Result<Vec<Option<Vec<f32>>>> {
        self.each(
            users,
            |shard, user| shard.vector(space, generation, user),
            |users| UserQuestion::Vectors { space: space.clone(), generation, users },
            |answer| match answer {
                UserAnswer::Vectors(vectors) => Ok(vectors),
                other => Err(unexpected(&other)),
            },
        )
    }

    /// Which of these users there are, in their order; a shard elsewhere is asked once.
    ///
    /// # Errors
    /// Damage, I/O; the nodes that were asked.
    pub fn known(&self, users: &[UserId]) -> Result<Vec<bool>> {
        let known = self.each(
            users,
            |shard, user| Ok(Some(shard.user(user)?.is_some())),
            UserQuestion::Known,
            |answer| match answer {
                UserAnswer::Flags(known) => Ok(known.into_iter().map(Some).collect()),
                other => Err(unexpected(&other)),
            },
        );
        Ok(known?.into_iter().map(|known| known == Some(true)).collect())
    }

    /// What friends of a listener played, in their order: `None` for who does not consent, or is not there. Shards elsewhere
    /// are asked once each; those that do not answer are missing.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn friends(
        &self,
        of: &UserId,
        friends: &[UserId],
        (since, until): (Timestamp, Timestamp),
        missing: &Missing,
    ) -> Result<Vec<Option<FriendPlays>>> {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut played = Vec::with_capacity(friends.len());
        for (at, friend) in friends.iter().enumerate() {
            let place = self.place_of(friend);
            played.push(match self.at(place) {
                Some(shard) => shard.friend(friend, of, since, until)?,
                None => {
                    parts.entry(place).or_default().push(at);
                    None
                }
            });
        }
        let asked = parts.iter().map(|(place, at)| {
            let friends = at.iter().map(|at| friends[*at].clone()).collect();
            (*place, UserQuestion::Friends { of: of.clone(), friends, since, until })
        });
        for (place, answer) in self.ask_all(asked.collect()) {
            match answer {
                Ok(UserAnswer::Friends(found)) => {
                    parts[&place].iter().zip(found).for_each(|(at, found)| played[*at] = found);
                }
                Ok(other) => return Err(unexpected(&other)),
                Err(error) => missing.note(place, error)?,
            }
        }
        Ok(played)
    }

    /// As [`UserShard::list_users`], over all shards.
    ///
    /// # Errors
    /// Damage, I/O; the node that was asked.
    pub fn list_users(&self, cursor: Option<&UserId>, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        self.list_users_before(cursor, SLOTS, limit)
    }

    /// As [`UserShards::list_users`], without those of the slot `end` and of the slots behind it; of a shard elsewhere some of
    /// them may come, too.
    ///
    /// # Errors
    /// As [`UserShards::list_users`].
    pub fn list_users_before(
        &self,
        cursor: Option<&UserId>,
        end: u16,
        limit: usize,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        let start = cursor.map_or(Start::Slot(Slot(0)), |user| Start::After(user.clone()));
        self.list(start, end, limit)
    }

    /// As [`UserShard::list_users_from`] and [`UserShards::list_users_before`], over all shards.
    ///
    /// # Errors
    /// Damage, I/O; the node that was asked.
    pub fn list_users_between(
        &self,
        slot: Slot,
        end: u16,
        limit: usize,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        self.list(Start::Slot(slot), end, limit)
    }

    fn list(&self, mut start: Start, end: u16, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        let mut users: Vec<User> = Vec::new();
        let first = match &start {
            Start::After(user) => slot_of(user.as_str()),
            Start::Slot(slot) => *slot,
        };
        let ranges = self.ranges();
        let asked = |range: &SlotRange| range.end > first.0 && range.first < end;
        for (place, range) in ranges.in_order().filter(|(_, range)| asked(range)) {
            loop {
                // One more than there is room for tells whether there is more.
                let room = limit - users.len();
                let (more, next) = self.list_at((place, range), (&start, end), room.max(1))?;
                if room == 0 {
                    if more.is_empty() {
                        break;
                    }
                    let last = users.last().map(|user| user.user_id.clone());
                    return Ok((users, last));
                }
                users.extend(more);
                match next {
                    Some(next) if users.len() < limit => start = Start::After(next),
                    Some(next) => return Ok((users, Some(next))),
                    None => break,
                }
            }
            start = Start::Slot(Slot(0));
        }
        Ok((users, None))
    }

    fn list_at(
        &self,
        (place, range): (usize, SlotRange),
        (start, end): (&Start, u16),
        limit: usize,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        if let Some(shard) = self.at(place) {
            let shard = shard.within(range.end.min(end));
            return match start {
                Start::After(user) => shard.list_users(Some(user), limit),
                Start::Slot(slot) => shard.list_users_from(*slot, limit),
            };
        }
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let question = match start {
            Start::After(user) => UserQuestion::List { after: Some(user.clone()), limit },
            Start::Slot(Slot(0)) => UserQuestion::List { after: None, limit },
            Start::Slot(slot) => UserQuestion::ListFrom { slot: *slot, limit },
        };
        match self.ask_within((place, range), &question)? {
            UserAnswer::Users(users, next) => Ok((users, next)),
            other => Err(unexpected(&other)),
        }
    }
}

/// Where a page of listeners begins.
enum Start {
    /// With the first of a slot.
    Slot(Slot),
    /// With the first behind one.
    After(UserId),
}
