//! Tests of the shard through its public surface.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crash;
mod damage;
mod decisions;
mod events;
mod figures;
mod model;
mod older;
mod splits;
mod trends;
mod users;
mod vectors;

use std::{path::Path, sync::Arc};

use tempfile::TempDir;

use super::*;
use crate::types::{
    Action, ArtistId, DAY_MS, PlayAction, ShardId, Surface, Timestamp, TrackId, TrackOrdinal, TrackRef, User,
    UserId,
};

pub(super) struct TestShard {
    pub shard: UserShard,
    pub dir: TempDir,
}

pub(super) fn options() -> UserShardOptions {
    UserShardOptions { memtable_bytes: 1 << 20, ..UserShardOptions::default() }
}

pub(super) fn open(dir: &Path) -> UserShard {
    UserShard::open(dir, &options()).unwrap().0
}

impl TestShard {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { shard: open(dir.path()), dir }
    }

    pub(super) fn run(&self, command: impl Into<UserCommand>) -> UserReply {
        run(&self.shard, command)
    }

    pub(super) fn record(&self, events: &[ResolvedEvent]) -> Vec<bool> {
        let new = NewEvents { events: events.to_vec(), ..NewEvents::default() };
        match self.run(UserOp::record(new, (UserCommand::VERSION, Timestamp(i64::MAX)))) {
            UserReply::Recorded(outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn view(&self, id: &str) -> Arc<UserView> {
        self.shard.view(&user(id)).unwrap().unwrap()
    }

    /// Closes and opens again after writing everything to files.
    pub(super) fn reopen(self) -> Self {
        self.shard.persist().unwrap();
        let Self { shard, dir } = self;
        drop(shard);
        Self { shard: open(dir.path()), dir }
    }
}

/// A list that was shown.
pub(super) fn served(id: &str, at: Timestamp, impression: &str, tracks: &[(u32, bool)]) -> ResolvedEvent {
    let mut event = ResolvedEvent::new(user(id), Action::Served, at);
    let tracks =
        tracks.iter().map(|&(ordinal, explored)| ServedTrack { track: track(ordinal), explored }).collect();
    let surface = Surface::new("discover_weekly").unwrap();
    event.served = Some(ServedList { surface, impression: impression.to_owned(), tracks });
    event
}

/// A shard with the log it applies, as a group has.
pub(super) struct Logged {
    pub dir: TempDir,
    pub shard: Option<UserShard>,
    pub log: Vec<Vec<u8>>,
}

impl Logged {
    pub(super) fn new() -> Self {
        let mut new = Self { dir: tempfile::tempdir().unwrap(), shard: None, log: Vec::new() };
        new.open();
        new
    }

    /// A second replica, which has applied the first `entries` of the log.
    pub(super) fn replica(&self, entries: usize) -> Self {
        let mut new =
            Self { dir: tempfile::tempdir().unwrap(), shard: None, log: self.log[..entries].to_vec() };
        new.open();
        new
    }

    pub(super) fn shard(&self) -> &UserShard {
        self.shard.as_ref().unwrap()
    }

    /// Opens the files and applies what they lack.
    pub(super) fn open(&mut self) {
        let (shard, applied) = UserShard::open(self.dir.path(), &model::small_memory()).unwrap();
        for (index, data) in (1..).zip(&self.log).skip(applied.index as usize) {
            shard.apply(&[LogEntry { index, term: 1, data }]).unwrap();
        }
        self.shard = Some(shard);
    }

    /// What is in memory only is lost; the log is not.
    pub(super) fn crash(&mut self) {
        self.shard = None;
        self.open();
    }

    pub(super) fn run(&mut self, command: impl Into<UserCommand>) -> UserReply {
        let data = command.into().encode();
        self.log.push(data.clone());
        let entry = LogEntry { index: self.log.len() as u64, term: 1, data: &data };
        UserReply::decode(&self.shard().apply(&[entry]).unwrap()[0]).unwrap()
    }
}

pub(super) fn run(shard: &UserShard, command: impl Into<UserCommand>) -> UserReply {
    let data = command.into().encode();
    let entry = LogEntry { index: shard.applied().index + 1, term: 1, data: &data };
    UserReply::decode(&shard.apply(&[entry]).unwrap()[0]).unwrap()
}

pub(super) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

pub(super) fn artist(id: &str) -> ArtistId {
    ArtistId::new(id).unwrap()
}

pub(super) fn track_id(id: &str) -> TrackId {
    TrackId::new(id).unwrap()
}

pub(super) fn track(ordinal: u32) -> TrackRef {
    TrackRef { shard: ShardId(0), ordinal: TrackOrdinal(ordinal) }
}

pub(super) fn day(day: i64) -> Timestamp {
    Timestamp(day * DAY_MS)
}

/// A play of a minute.
pub(super) fn play(id: &str, ordinal: u32, at: Timestamp) -> ResolvedEvent {
    on_track(id, Action::Play, ordinal, at)
}

pub(super) fn on_track(id: &str, action: Action, ordinal: u32, at: Timestamp) -> ResolvedEvent {
    let mut event = ResolvedEvent::new(user(id), action, at);
    event.track = Some(EventTrack::Resolved(track(ordinal)));
    event.listened_ms = 60_000;
    event
}

pub(super) fn on_artist(id: &str, action: Action, name: &str, at: Timestamp) -> ResolvedEvent {
    let mut event = ResolvedEvent::new(user(id), action, at);
    event.artist = Some(artist(name));
    event
}

pub(super) fn row(user: u32, ordinal: u32, at: Timestamp, action: PlayAction) -> PlayRow {
    PlayRow { user, track: track(ordinal), listened_ms: 60_000, at, action, completed: false }
}
