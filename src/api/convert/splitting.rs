//! Splitting user shards.

use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::node::{SplitReport, SplitRequest, SplitState};
use crate::types::SLOTS;

/// What shall be split.
pub(crate) fn split_request(proto: pb::SplitShardRequest) -> Result<SplitRequest> {
    let pb::SplitShardRequest { group, at, dry_run } = proto;
    let slot = |at: u32| match u16::try_from(at) {
        Ok(at) if (1..SLOTS).contains(&at) => Ok(at),
        _ => Err(Error::invalid("at", format!("must be a slot, 1 to {}. at=`{at}`", SLOTS - 1))),
    };
    Ok(SplitRequest { group, at: at.map(slot).transpose()?, dry_run })
}

/// The same towards protobuf.
pub(crate) fn split_request_to_proto(request: SplitRequest) -> pb::SplitShardRequest {
    let SplitRequest { group, at, dry_run } = request;
    pb::SplitShardRequest { group, at: at.map(u32::from), dry_run }
}

impl From<SplitReport> for pb::SplitShardReply {
    fn from(report: SplitReport) -> Self {
        let SplitReport { state, group, keeps, new_group, gets, bytes, new_bytes, notes } = report;
        let state = match state {
            SplitState::Planned => pb::SplitState::Planned,
            SplitState::Copying => pb::SplitState::Copying,
            SplitState::Switched => pb::SplitState::Switched,
            SplitState::Done => pb::SplitState::Done,
        };
        let range = |(first, end): (u16, u16)| Some(pb::SlotRange { first: first.into(), end: end.into() });
        let (keeps, gets) = (range(keeps), range(gets));
        Self { state: state.into(), group, keeps, new_group, gets, bytes, new_bytes, notes }
    }
}

impl TryFrom<pb::SplitShardReply> for SplitReport {
    type Error = Error;
    fn try_from(proto: pb::SplitShardReply) -> Result<Self> {
        let unreadable = || Error::Internal("the server's reply about a split cannot be read".to_owned());
        let state = match proto.state() {
            pb::SplitState::Planned => SplitState::Planned,
            pb::SplitState::Copying => SplitState::Copying,
            pb::SplitState::Switched => SplitState::Switched,
            pb::SplitState::Done => SplitState::Done,
            pb::SplitState::Unspecified => return Err(unreadable()),
        };
        let range = |range: Option<pb::SlotRange>| {
            let range = range.ok_or_else(unreadable)?;
            let slot = |slot: u32| u16::try_from(slot).map_err(|_| unreadable());
            Ok::<_, Error>((slot(range.first)?, slot(range.end)?))
        };
        let (keeps, gets) = (range(proto.keeps)?, range(proto.gets)?);
        let pb::SplitShardReply { group, new_group, bytes, new_bytes, notes, .. } = proto;
        Ok(Self { state, group, keeps, new_group, gets, bytes, new_bytes, notes })
    }
}
