//! The map and its commands: what is read back, what changes nothing, what is refused.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use super::encoding::NEWER;
use super::state::{KNOWN_LEVEL, MapCommand, MapReply, MapState, NodeIntent};
use crate::ids::{GroupId, PeerId, StoreId};

fn put(store: u64, address: &str) -> MapCommand {
    let replicas = BTreeMap::from([(GroupId(1), PeerId(store * 7))]);
    MapCommand::PutNode { store: StoreId(store), address: address.into(), api: "a:1".into(), replicas }
}

#[test]
fn commands_and_maps_are_read_back_and_every_cut_is_noticed() {
    let mut map = MapState::default();
    let remove = MapCommand::SetIntent { store: StoreId(1), intent: NodeIntent::Removed };
    let to: BTreeSet<StoreId> = [StoreId(2)].into();
    let place = MapCommand::Place { group: GroupId(9), from: None, to: to.clone() };
    let again = MapCommand::Place { group: GroupId(9), from: Some(to.clone()), to };
    let five = MapCommand::SetFactor { factor: 5 };
    let need = MapCommand::Need { level: 1 };
    for command in [five, put(1, "h:1"), put(2, "h:2"), remove, place, again, need] {
        let bytes = command.encode();
        assert_eq!(MapCommand::decode(&bytes), Ok(command.clone()));
        assert!((0..bytes.len()).all(|end| MapCommand::decode(&bytes[..end]).is_err()));
        assert_eq!(map.apply(command), MapReply::Done);
    }
    assert_eq!((map.epoch, map.factor, map.needs), (6, 5, 1));
    let bytes = map.encode();
    assert_eq!(MapState::decode(&bytes).unwrap(), map);
    assert!((0..bytes.len()).all(|end| MapState::decode(&bytes[..end]).is_err()));
}

#[test]
fn the_same_command_again_changes_nothing_and_the_impossible_is_refused() {
    let mut map = MapState::default();
    map.apply(put(1, "h:1"));
    assert_eq!((map.apply(put(1, "h:1")), map.epoch), (MapReply::Done, 1));
    assert!(matches!(map.apply(put(2, "h:1")), MapReply::Refused(_)), "two nodes at one address");
    let intent = |store, intent| MapCommand::SetIntent { store: StoreId(store), intent };
    assert!(matches!(map.apply(intent(1, NodeIntent::Removed)), MapReply::Refused(_)), "the last one");
    map.apply(put(2, "h:2"));
    assert_eq!(map.apply(intent(1, NodeIntent::Removed)), MapReply::Done);
    assert!(matches!(map.apply(put(1, "h:1")), MapReply::Refused(_)), "a removed store comes back");
    assert_eq!(map.apply(put(3, "h:1")), MapReply::Done, "its address may be used again");
}

#[test]
fn an_odd_number_of_replicas_votes() {
    let mut map = MapState::default();
    for factor in [0, 2, 4, 11] {
        assert!(matches!(map.apply(MapCommand::SetFactor { factor }), MapReply::Refused(_)), "{factor}");
    }
    assert_eq!((map.factor, map.epoch), (3, 0));
    assert_eq!(map.apply(MapCommand::SetFactor { factor: 1 }), MapReply::Done);
    assert_eq!(map.factor, 1);
}

#[test]
fn a_group_is_placed_by_who_knows_where_it_is_and_older_programs_read_a_map_without_places() {
    let mut map = MapState::default();
    (1..=3).for_each(|store| drop(map.apply(put(store, &format!("h:{store}")))));
    assert_eq!(map.encode()[..4], 1_u32.to_le_bytes(), "nothing new is used");
    let stores = |stores: &[u64]| stores.iter().copied().map(StoreId).collect::<BTreeSet<_>>();
    let place = |from: Option<&[u64]>, to: &[u64]| MapCommand::Place {
        group: GroupId(1),
        from: from.map(stores),
        to: stores(to),
    };
    assert!(map.is_placed(GroupId(1), StoreId(3)), "everywhere, while nobody says otherwise");
    assert_eq!(map.apply(place(None, &[1, 2])), MapReply::Done);
    assert!(!map.is_placed(GroupId(1), StoreId(3)));
    assert_eq!(map.holders(GroupId(1)), [1, 2, 3].map(StoreId), "the third still holds it");
    let epoch = map.epoch;
    assert_eq!(map.apply(place(None, &[1, 2])), MapReply::Done);
    assert_eq!(map.epoch, epoch, "the same again changes nothing");
    assert!(matches!(map.apply(place(None, &[2, 3])), MapReply::Refused(_)), "it is not where it was");
    assert!(matches!(map.apply(place(Some(&[1, 2]), &[2, 9])), MapReply::Refused(_)), "no such node");
    assert!(matches!(map.apply(place(Some(&[1, 2]), &[])), MapReply::Refused(_)), "nowhere");
    assert_eq!(map.apply(place(Some(&[1, 2]), &[2, 3])), MapReply::Done);
    assert_eq!(MapState::decode(&map.encode()).unwrap(), map);
}

#[test]
fn what_a_program_must_know_never_falls_and_one_that_does_not_know_it_reads_nothing() {
    let mut map = MapState::default();
    map.apply(put(1, "h:1"));
    assert_eq!(map.apply(MapCommand::Need { level: KNOWN_LEVEL }), MapReply::Done);
    assert_eq!(map.apply(MapCommand::Need { level: 0 }), MapReply::Done);
    assert_eq!((map.needs, map.epoch), (KNOWN_LEVEL, 2));
    // Programs of before knew versions 1 and 2.
    assert_eq!(map.encode()[..4], 3_u32.to_le_bytes());
    assert_eq!(MapState::decode(&map.encode()).unwrap(), map);
    let newer = MapState { needs: KNOWN_LEVEL + 1, ..map };
    assert_eq!(MapState::decode(&newer.encode()), Err(NEWER));
    assert_eq!(MapCommand::decode(&MapCommand::Need { level: KNOWN_LEVEL + 1 }.encode()), Err(NEWER));
}
