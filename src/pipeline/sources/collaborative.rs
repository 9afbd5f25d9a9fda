//! Collaborative: the listener's vector against the tracks' vectors, maximum inner product.

use super::{Retrieved, SourceRequest, SpaceQueries, ask, depth};
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::{AllowedTracks, Effort};
use crate::pipeline::spaces::track_cf;
use crate::pipeline::tracks::Nearest;
use crate::types::{Metric, TrackRef};

/// Up to `depth` tracks, best first; nothing without a vector or an active generation.
pub(super) fn collaborative(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let (Some(vector), Some(generation)) = (request.user_vector, reader.generation) else {
        return Ok(Vec::new());
    };
    let asked = SpaceQueries {
        source: Source::Collaborative.as_str(),
        nearest: Nearest {
            space: &track_cf(),
            generation,
            metric: Metric::Ip,
            queries: &[vector],
            effort: Effort::new(depth(spec), request.exact),
        },
    };
    Ok(ask(reader, &asked, allowed, &mut retrieved.reports)?.pop().unwrap_or_default())
}
