//! What is between the nodes: for each pair an ordered stream for Raft, and a channel for files on which
//! anything may overtake anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::random::Random;
use crate::ids::StoreId;
use crate::snapshot::packet::{Outgoing, Packet};

/// Packets a stream holds; more are dropped, and the sender is told.
const STREAM_MAX: usize = 64;

/// A packet under way.
pub struct Parcel {
    pub from: StoreId,
    pub what: Outgoing,
    at: u64,
}

/// All streams and channels.
#[derive(Default)]
pub struct Network {
    pub streams: BTreeMap<(u64, u64), VecDeque<Parcel>>,
    pub bulk: Vec<Parcel>,
    /// Pairs (from, to) that are cut.
    pub cut: BTreeSet<(u64, u64)>,
    /// Of a thousand packets, how many are lost.
    pub loss: u64,
    /// Longest delay in steps.
    pub delay: u64,
    /// Raft's messages overtake each other too: more than the transport ever lets happen.
    pub reorder: bool,
    pub delivered: u64,
    pub lost: u64,
}

impl Network {
    /// Takes a packet; `false` when it is known not to arrive.
    pub fn send(&mut self, now: u64, from: StoreId, what: Outgoing, random: &mut Random) -> bool {
        let at = now + 1 + random.below(self.delay + 1);
        let pair = (from.0, what.to_store.0);
        let raft = matches!(what.packet, Packet::Raft(_));
        if random.below(1_000) < self.loss {
            self.lost += 1;
            // A broken connection is sometimes noticed and sometimes not.
            return !(raft && random.one_in(2));
        }
        if !raft || self.reorder {
            self.bulk.push(Parcel { from, what, at });
            return true;
        }
        let stream = self.streams.entry(pair).or_default();
        if stream.len() >= STREAM_MAX {
            return false;
        }
        let at = stream.back().map_or(at, |last| last.at.max(at));
        if random.one_in(40) {
            stream.push_back(Parcel { from, what: what.clone(), at });
        }
        stream.push_back(Parcel { from, what, at });
        true
    }

    /// Takes out what arrives now. What meets a cut is lost.
    pub fn arrivals(&mut self, now: u64) -> Vec<Parcel> {
        let mut arrived = Vec::new();
        for stream in self.streams.values_mut() {
            while let Some(parcel) = stream.pop_front_if(|parcel| parcel.at <= now) {
                arrived.push(parcel);
            }
        }
        arrived.extend(self.bulk.extract_if(.., |parcel| parcel.at <= now));
        let before = arrived.len();
        arrived.retain(|parcel| !self.cut.contains(&(parcel.from.0, parcel.what.to_store.0)));
        self.lost += (before - arrived.len()) as u64;
        self.delivered += arrived.len() as u64;
        arrived
    }

    /// All packets between sender and receiver.
    pub fn under_way(&self) -> impl Iterator<Item = &Outgoing> {
        self.streams.values().flatten().chain(&self.bulk).map(|parcel| &parcel.what)
    }

    pub fn is_empty(&self) -> bool {
        self.bulk.is_empty() && self.streams.values().all(VecDeque::is_empty)
    }
}
