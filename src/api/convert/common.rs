//! What several services share: tokens, batches, small fields.

use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::types::{Metric, Part, Region, SpaceName, word};

/// The most groups a token may name.
const TOKEN_GROUPS_MAX: usize = 100_000;

impl From<WriteToken> for pb::WriteToken {
    fn from(token: WriteToken) -> Self {
        Self { applied: applied_to_proto(token.applied) }
    }
}

impl TryFrom<pb::WriteToken> for WriteToken {
    type Error = Error;
    fn try_from(token: pb::WriteToken) -> Result<Self> {
        Ok(Self { applied: applied(token.applied)? })
    }
}

/// Applied indexes by group name.
pub(super) fn applied_to_proto(applied: Vec<(String, u64)>) -> Vec<pb::AppliedIndex> {
    applied.into_iter().map(|(group, index)| pb::AppliedIndex { group, index }).collect()
}

/// Applied indexes by group name.
pub(super) fn applied(entries: Vec<pb::AppliedIndex>) -> Result<Vec<(String, u64)>> {
    crate::types::length("applied", entries.len(), TOKEN_GROUPS_MAX)?;
    entries
        .into_iter()
        .map(|entry| {
            word("applied.group", &entry.group)?;
            Ok((entry.group, entry.index))
        })
        .collect()
}

/// Converts the rows of a batch: 1 to `rows_max` of them; an error names the row.
pub(crate) fn rows<P, D>(field: &'static str, protos: Vec<P>, rows_max: u32) -> Result<Vec<D>>
where
    D: TryFrom<P, Error = Error>,
{
    check_rows(field, protos.len(), rows_max)?;
    protos
        .into_iter()
        .enumerate()
        .map(|(row, proto)| D::try_from(proto).map_err(|error| error.at_row(row)))
        .collect()
}

/// Checks that a batch has 1 to `rows_max` rows.
pub(super) fn check_rows(field: &'static str, len: usize, rows_max: u32) -> Result<()> {
    if len == 0 || len > rows_max as usize {
        return Err(Error::invalid(field, format!("must have 1 to {rows_max} rows. rows=`{len}`")));
    }
    Ok(())
}

/// A space's name.
pub(crate) fn space(name: String) -> Result<SpaceName> {
    Ok(SpaceName::new(name)?)
}

/// A part that must be present.
pub(super) fn required<T>(field: &'static str, part: Option<T>) -> Result<T> {
    part.ok_or_else(|| Error::invalid(field, "must be given"))
}

/// A part of all listeners; all of them when neither number is given.
pub(crate) fn part(number: u32, of: u32) -> Result<Part> {
    if (number, of) == (0, 0) {
        return Ok(Part::WHOLE);
    }
    Part::new(number, of).map_err(|reason| Error::invalid("part", reason))
}

/// A region code.
pub(super) fn region(field: &'static str, code: &str) -> Result<Region> {
    code.parse().map_err(|reason: String| Error::invalid(field, reason))
}

/// A number in a narrower type than protobuf has.
pub(super) fn narrow<T: TryFrom<u32>>(field: &'static str, value: u32) -> Result<T> {
    T::try_from(value).map_err(|_| Error::invalid(field, format!("is too large. value=`{value}`")))
}

/// The error for an enum value this version does not know.
pub(super) fn unknown_value(field: &'static str, value: i32) -> Error {
    let reason =
        if value == 0 { "must be given".to_owned() } else { format!("has no such value. value=`{value}`") };
    Error::invalid(field, reason)
}

/// A metric, or none when unspecified.
pub(super) fn metric(value: i32) -> Result<Option<Metric>> {
    match pb::Metric::try_from(value) {
        Ok(pb::Metric::Unspecified) => Ok(None),
        Ok(pb::Metric::Ip) => Ok(Some(Metric::Ip)),
        Ok(pb::Metric::Cosine) => Ok(Some(Metric::Cosine)),
        Ok(pb::Metric::L2) => Ok(Some(Metric::L2)),
        Err(_) => Err(unknown_value("metric", value)),
    }
}

/// A metric, unspecified when none.
pub(super) fn metric_to_proto(metric: Option<Metric>) -> pb::Metric {
    match metric {
        None => pb::Metric::Unspecified,
        Some(Metric::Ip) => pb::Metric::Ip,
        Some(Metric::Cosine) => pb::Metric::Cosine,
        Some(Metric::L2) => pb::Metric::L2,
    }
}
