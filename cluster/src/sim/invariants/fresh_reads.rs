//! Linearizable reads (Raft paper, 8; thesis, 6.4): a read point is never before a write that was acknowledged,
//! or a read point that was given, before the read was asked for; and the replica that answers has applied it.

use crate::sim::clients::AnsweredRead;

/// Checks reads as they are answered.
#[derive(Default)]
pub struct FreshReads;

impl FreshReads {
    pub fn check(&self, answered: &mut Vec<AnsweredRead>) {
        for read in answered.drain(..) {
            let AnsweredRead { group, floor, index, applied } = read;
            assert!(index >= floor, "a stale read of group {group}: index {index}, after {floor} was seen");
            assert!(applied >= index, "a read of group {group} at {index} before it was applied: {applied}");
        }
    }
}
