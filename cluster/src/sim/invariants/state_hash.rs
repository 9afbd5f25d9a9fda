//! Equal state at equal index, however a replica came there: by entries, by a checkpoint or by a snapshot.

use std::collections::BTreeMap;

use crate::ids::GroupId;
use crate::sim::machine::Event;

/// The hash of the state at every index anybody was at.
#[derive(Default)]
pub struct StateHash {
    hashes: BTreeMap<(GroupId, u64), u64>,
}

impl StateHash {
    pub fn check(&mut self, event: &Event) {
        let (group, peer, index, hash) = match *event {
            Event::Applied { group, peer, index, hash, .. }
            | Event::Installed { group, peer, index, hash }
            | Event::Started { group, peer, index, hash } => (group, peer, index, hash),
            Event::Written { .. } => return,
        };
        let first = *self.hashes.entry((group, index)).or_insert(hash);
        assert_eq!(first, hash, "state of replica {peer} of group {group} differs at index {index}");
    }
}
