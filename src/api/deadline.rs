//! Until when a caller waits: `grpc-timeout`, else the server's own limit.

use std::time::Duration;

use tonic::metadata::MetadataMap;

use crate::types::Deadline;

/// The share of a caller's patience left for the reply's way back.
const REPLY_SHARE: u32 = 20;

/// The caller's deadline, or `default` when it has none; the earlier of both.
///
/// A caller's timeout is shortened by a twentieth (at most 10 ms), so that the error that names it still arrives.
pub(super) fn deadline_of(metadata: &MetadataMap, default: Option<Duration>) -> Deadline {
    timeout_of(metadata, default).map_or(Deadline::NEVER, Deadline::after)
}

fn timeout_of(metadata: &MetadataMap, default: Option<Duration>) -> Option<Duration> {
    let given = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse);
    let given = given.map(|timeout| timeout - (timeout / REPLY_SHARE).min(Duration::from_millis(10)));
    match (given, default) {
        (Some(given), Some(default)) => Some(given.min(default)),
        (given, default) => given.or(default),
    }
}

/// A timeout as gRPC writes it: up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for wrong in ["", "m", "1", "123456789m", "-1m", "1x", "1é", "１m"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let with = |timeout: &'static str, default_ms: u64| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", tonic::metadata::MetadataValue::from_static(timeout));
            timeout_of(&metadata, Some(Duration::from_millis(default_ms)))
        };
        assert_eq!(with("1S", 5_000), Some(Duration::from_millis(990)));
        assert_eq!(with("1S", 500), Some(Duration::from_millis(500)));
        assert_eq!(with("nonsense", 500), Some(Duration::from_millis(500)));
        assert_eq!(deadline_of(&MetadataMap::new(), None), Deadline::NEVER);
    }
}
