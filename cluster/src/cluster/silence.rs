//! How long this node, as a leader, has not heard of the members of its groups.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::ids::{GroupId, PeerId};
use crate::status::{GroupStatus, Role};

/// When each member was heard last. A new leader begins to count when it takes over.
#[derive(Debug, Default)]
pub(super) struct Silence(BTreeMap<GroupId, (u64, BTreeMap<PeerId, Instant>)>);

impl Silence {
    /// Takes note of what a group's leader hears `now`, and returns the members not heard of for `longest` or longer.
    pub fn of(&mut self, status: &GroupStatus, now: Instant, longest: Duration) -> Vec<u64> {
        if status.role != Role::Leader {
            self.0.remove(&status.group);
            return Vec::new();
        }
        let (term, heard) = self.0.entry(status.group).or_default();
        if *term != status.term {
            (*term, *heard) = (status.term, BTreeMap::new());
        }
        heard.retain(|peer, _| status.members.iter().any(|member| member.peer == *peer));
        let mut silent = Vec::new();
        for member in &status.members {
            let last = heard.entry(member.peer).or_insert(now);
            if member.is_heard == Some(true) {
                *last = now;
            } else if now.duration_since(*last) >= longest {
                silent.push(member.peer.0);
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::MemberStatus;

    fn status(term: u64, role: Role, heard: &[(u64, bool)]) -> GroupStatus {
        let member = |(peer, heard): &(u64, bool)| MemberStatus {
            peer: PeerId(*peer),
            store: None,
            votes: true,
            matched: None,
            is_heard: Some(*heard),
            progress: None,
        };
        let members = heard.iter().map(member).collect();
        GroupStatus { role, term, members, ..GroupStatus::new(GroupId(9), PeerId(1)) }
    }

    #[test]
    fn silence_counts_from_the_last_word_and_anew_with_each_term() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let longest = Duration::from_secs(10);
        let one_is_silent = status(5, Role::Leader, &[(1, true), (2, false)]);
        assert_eq!(silence.of(&one_is_silent, at(0), longest), Vec::<u64>::new());
        assert_eq!(silence.of(&one_is_silent, at(9), longest), Vec::<u64>::new());
        assert_eq!(silence.of(&one_is_silent, at(10), longest), vec![2]);
        // A leader of a new term has not waited yet, and what was heard counts again.
        let next = status(6, Role::Leader, &[(1, true), (2, false)]);
        assert_eq!(silence.of(&next, at(11), longest), Vec::<u64>::new());
        assert_eq!(silence.of(&next, at(21), longest), vec![2]);
        assert!(silence.of(&status(6, Role::Leader, &[(1, true), (2, true)]), at(22), longest).is_empty());
        assert!(silence.of(&next, at(31), longest).is_empty());
        // Who does not lead knows nothing.
        assert!(silence.of(&status(6, Role::Follower, &[(2, false)]), at(60), longest).is_empty());
        assert!(silence.of(&next, at(61), longest).is_empty());
    }
}
