//! An entry of a newer program stops a replica, with the reason, and is never skipped: what stands behind it in the log is not applied.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use segue_cluster::{CommittedEntry, StateMachine};

use super::replica::{MetaReplica, TrackReplica, UserReplica};
use super::tests::track;
use crate::storage::meta::{MetaCommand, MetaStore};
use crate::storage::track_shard::command::TrackCommand;
use crate::storage::track_shard::{Opening, TrackStateMachine, encode};
use crate::storage::user_shard::{UserCommand, UserOp, UserShard, UserShardOptions};
use crate::types::{ShardId, User, UserId};
use segue_storage_format::{Residence, Verify};

/// The version an entry says it is of, in its first two bytes.
const NEWER: [u8; 2] = u16::MAX.to_le_bytes();

/// A replica, and whether what an entry of this number writes is there.
type Opened = (Box<dyn StateMachine>, Box<dyn Fn(u64) -> bool>);

/// An entry, then one of a newer program, then one as the first: only the first is applied, also after a restart.
fn stops_at_a_newer_entry(open: impl Fn() -> Opened, entry: impl Fn(u64) -> Vec<u8>) {
    let at = |index: u64, data: Vec<u8>| CommittedEntry { index, term: 1, data: data.into() };
    let newer = |index: u64| {
        let mut bytes = entry(index);
        bytes[..2].copy_from_slice(&NEWER);
        at(index, bytes)
    };
    let (mut replica, holds) = open();
    replica.apply(&[at(1, entry(1))]).unwrap();
    for batch in [vec![newer(2), at(3, entry(3))], vec![newer(2)]] {
        let refused = replica.apply(&batch).unwrap_err();
        let said = format!("{refused:?}");
        assert!(said.contains("newer program: upgrade this one"), "{said}");
        assert!(replica.recovered().index <= 1, "it stays where it was");
        assert_eq!([1, 2, 3].map(&holds), [true, false, false]);
    }
    drop((replica, holds));
    let (mut replica, holds) = open();
    let known = replica.recovered().index;
    assert!(known <= 1, "{known}");
    // Once the program is upgraded it goes on where it stopped.
    let rest: Vec<CommittedEntry> = (known + 1..=3).map(|index| at(index, entry(index))).collect();
    assert_eq!(replica.apply(&rest).unwrap().len(), rest.len());
    assert_eq!([1, 2, 3].map(&holds), [true; 3]);
}

#[test]
fn a_track_shard_stops_at_an_entry_of_a_newer_program() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Opened {
        let opening = Opening { verify: Verify::Full, index: Residence::Memory, shards: 1, health: None };
        let folder = dir.path().join("tracks-0");
        let (machine, _) = TrackStateMachine::open(&folder, ShardId(0), opening).unwrap();
        let shard = machine.shard();
        let holds = move |number| shard.view().find(&track(number).track_id).is_some();
        (Box::new(TrackReplica::new(machine, None, Default::default())), Box::new(holds))
    };
    let entry =
        |number| encode(&TrackCommand::UpsertTracks { tracks: vec![track(number)], load: None }).unwrap();
    stops_at_a_newer_entry(open, entry);
}

#[test]
fn a_user_shard_stops_at_an_entry_of_a_newer_program() {
    let dir = tempfile::tempdir().unwrap();
    let name = |number: u64| UserId::new(format!("u{number}")).unwrap();
    let open = || -> Opened {
        let folder = dir.path().join("users-0");
        let (shard, at) = UserShard::open(&folder, &UserShardOptions::default()).unwrap();
        let reads = shard.clone();
        let holds = move |number| reads.user(&name(number)).unwrap().is_some();
        (Box::new(UserReplica::new(shard, at, None)), Box::new(holds))
    };
    let user = |number| User::unknown(name(number));
    let entry = |number| UserCommand::from(UserOp::UpsertUsers(vec![user(number)])).encode();
    stops_at_a_newer_entry(open, entry);
}

#[test]
fn the_meta_group_stops_at_an_entry_of_a_newer_program() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Opened {
        let opened = MetaStore::open(&dir.path().join("meta")).unwrap();
        let store = opened.store.clone();
        let holds = move |number| format!("{:?}", store.state()).contains(&format!("recipe-{number}"));
        (Box::new(MetaReplica::new(opened.store, opened.applied)), Box::new(holds))
    };
    let put = |number: u64| MetaCommand::PutRecipe {
        name: format!("recipe-{number}"),
        document: "{}".to_owned(),
        built_in: 0,
    };
    stops_at_a_newer_entry(open, |number| put(number).encode().unwrap());
}
