//! One replica in another's place: learner, catch-up, joint membership, leave, removal.
//!
//! A plan is not a list of steps kept somewhere but a function: [`next_step`] looks at the group as its
//! leader sees it and says what comes next. So it may be interrupted anywhere, run by any leader, run
//! twice, and it cannot forget to leave a joint membership.

use std::collections::BTreeMap;

use crate::ids::{PeerId, StoreId};
use crate::members::MemberChange;

/// What shall be different about a group's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// A replica that was created empty and shall vote.
    pub add: Option<(PeerId, StoreId)>,
    /// A member that shall be gone.
    pub remove: Option<PeerId>,
}

/// A group as one of its replicas sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub leads: bool,
    pub peer: PeerId,
    pub voters: Vec<u64>,
    /// The old voters of a joint membership.
    pub voters_outgoing: Vec<u64>,
    pub learners: Vec<u64>,
    /// Where the members are.
    pub stores: BTreeMap<u64, StoreId>,
    /// Members that hold nearly all entries.
    pub caught_up: Vec<u64>,
    /// Members not heard of for so long that their node counts as dead.
    pub silent: Vec<u64>,
}

/// What to do next, by the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Propose(MemberChange),
    TransferLeader(PeerId),
    /// Nothing until something else happens.
    Wait,
    Done,
}

/// Returns the next step towards `goal`; only the leader's view tells.
pub(crate) fn next_step(goal: &Replacement, view: &View) -> Step {
    if !view.leads {
        return Step::Wait;
    }
    if !view.voters_outgoing.is_empty() {
        return if view.voters.contains(&view.peer.0) {
            Step::Propose(MemberChange::Leave)
        } else {
            hand_over(view, None)
        };
    }
    let is_voter = |peer: PeerId| view.voters.contains(&peer.0);
    let is_learner = |peer: PeerId| view.learners.contains(&peer.0);
    if let Some((peer, store)) = goal.add.filter(|(peer, _)| !is_voter(*peer)) {
        if !is_learner(peer) {
            return Step::Propose(MemberChange::AddLearner { peer, store });
        }
        if !view.caught_up.contains(&peer.0) {
            return Step::Wait;
        }
        return enter(view, Some(peer), goal.remove.filter(|peer| is_voter(*peer)));
    }
    match goal.remove {
        Some(peer) if is_voter(peer) => enter(view, None, Some(peer)),
        Some(peer) if is_learner(peer) => Step::Propose(MemberChange::RemoveLearner { peer }),
        _ => Step::Done,
    }
}

pub(super) fn enter(view: &View, promote: Option<PeerId>, demote: Option<PeerId>) -> Step {
    if demote == Some(view.peer) {
        // The only voter has nobody to hand over to: the new one votes beside it first.
        let is_alone = view.voters == [view.peer.0];
        return match promote.filter(|_| is_alone) {
            Some(_) => Step::Propose(MemberChange::Enter { promote, demote: None }),
            None => hand_over(view, demote),
        };
    }
    Step::Propose(MemberChange::Enter { promote, demote })
}

/// Hands leadership to the first voter that can take it and stays.
pub(super) fn hand_over(view: &View, leaving: Option<PeerId>) -> Step {
    let stays = |peer: &&u64| Some(PeerId(**peer)) != leaving && **peer != view.peer.0;
    let ready = view.voters.iter().filter(stays).find(|peer| view.caught_up.contains(peer));
    ready.map_or(Step::Wait, |peer| Step::TransferLeader(PeerId(*peer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(voters: &[u64], learners: &[u64]) -> View {
        View {
            leads: true,
            peer: PeerId(1),
            voters: voters.to_vec(),
            learners: learners.to_vec(),
            caught_up: voters.iter().chain(learners).copied().collect(),
            ..View::default()
        }
    }

    const NEW: (PeerId, StoreId) = (PeerId(4), StoreId(40));

    #[test]
    fn a_replacement_takes_five_steps_and_the_leader_goes_last() {
        let goal = Replacement { add: Some(NEW), remove: Some(PeerId(3)) };
        let add = MemberChange::AddLearner { peer: NEW.0, store: NEW.1 };
        assert_eq!(next_step(&goal, &view(&[1, 2, 3], &[])), Step::Propose(add));
        let behind = View { caught_up: vec![1, 2, 3], ..view(&[1, 2, 3], &[4]) };
        assert_eq!(next_step(&goal, &behind), Step::Wait);
        let enter = MemberChange::Enter { promote: Some(NEW.0), demote: Some(PeerId(3)) };
        assert_eq!(next_step(&goal, &view(&[1, 2, 3], &[4])), Step::Propose(enter));
        let joint = View { voters_outgoing: vec![1, 2, 3], ..view(&[1, 2, 4], &[]) };
        assert_eq!(next_step(&goal, &joint), Step::Propose(MemberChange::Leave));
        let remove = MemberChange::RemoveLearner { peer: PeerId(3) };
        assert_eq!(next_step(&goal, &view(&[1, 2, 4], &[3])), Step::Propose(remove));
        assert_eq!(next_step(&goal, &view(&[1, 2, 4], &[])), Step::Done);
    }

    #[test]
    fn a_leader_hands_over_before_it_is_demoted_and_before_a_joint_membership_is_left_without_it() {
        let goal = Replacement { add: Some(NEW), remove: Some(PeerId(1)) };
        assert_eq!(next_step(&goal, &view(&[1, 2, 3], &[4])), Step::TransferLeader(PeerId(2)));
        let joint = View { voters_outgoing: vec![1, 2, 3], ..view(&[2, 3, 4], &[]) };
        assert_eq!(next_step(&goal, &joint), Step::TransferLeader(PeerId(2)));
        let behind = View { caught_up: Vec::new(), ..joint };
        assert_eq!(next_step(&goal, &behind), Step::Wait);
    }

    #[test]
    fn the_only_voter_lets_another_vote_beside_it_before_it_goes() {
        let goal = Replacement { add: Some(NEW), remove: Some(PeerId(1)) };
        let beside = MemberChange::Enter { promote: Some(NEW.0), demote: None };
        assert_eq!(next_step(&goal, &view(&[1], &[4])), Step::Propose(beside));
        assert_eq!(next_step(&goal, &view(&[1, 4], &[])), Step::TransferLeader(NEW.0));
        let led_by_new = View { peer: NEW.0, ..view(&[1, 4], &[]) };
        let alone = MemberChange::Enter { promote: None, demote: Some(PeerId(1)) };
        assert_eq!(next_step(&goal, &led_by_new), Step::Propose(alone));
    }

    #[test]
    fn a_follower_does_nothing() {
        let goal = Replacement { add: Some(NEW), remove: None };
        let follower = View { leads: false, ..view(&[1, 2, 3], &[]) };
        assert_eq!(next_step(&goal, &follower), Step::Wait);
    }
}
