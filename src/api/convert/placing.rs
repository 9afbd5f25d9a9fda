//! Where shards should be.

use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::node::{Placing, PlacingReport, ShardMove};

/// What shall be placed elsewhere.
pub(crate) fn placing(what: Option<pb::place_shards_request::What>) -> Result<Placing> {
    use pb::place_shards_request::What;
    match what {
        Some(What::Move(pb::MoveShard { group, from, to })) => Ok(Placing::Move { group, from, to }),
        Some(What::Rebalance(pb::Rebalance { tracks })) => Ok(Placing::Rebalance { tracks }),
        Some(What::Repair(pb::Repair {})) => Ok(Placing::Repair),
        None => Err(Error::invalid("what", "say what shall be placed: `move`, `rebalance` or `repair`")),
    }
}

/// The same towards protobuf.
pub(crate) fn placing_to_proto(what: Placing) -> pb::place_shards_request::What {
    use pb::place_shards_request::What;
    match what {
        Placing::Move { group, from, to } => What::Move(pb::MoveShard { group, from, to }),
        Placing::Rebalance { tracks } => What::Rebalance(pb::Rebalance { tracks }),
        Placing::Repair => What::Repair(pb::Repair {}),
    }
}

impl From<PlacingReport> for pb::PlaceShardsReply {
    fn from(report: PlacingReport) -> Self {
        let PlacingReport { applied, moves, notes } = report;
        let one = |ShardMove { group, from, to, bytes }| pb::ShardMove { group, from, to, bytes };
        Self { applied, moves: moves.into_iter().map(one).collect(), notes }
    }
}

impl From<pb::PlaceShardsReply> for PlacingReport {
    fn from(proto: pb::PlaceShardsReply) -> Self {
        let pb::PlaceShardsReply { applied, moves, notes } = proto;
        let one = |pb::ShardMove { group, from, to, bytes }| ShardMove { group, from, to, bytes };
        Self { applied, moves: moves.into_iter().map(one).collect(), notes }
    }
}
