//! The only mapping between [`Error`] and gRPC status, in both directions.
//!
//! A status carries the standard details of `google.rpc`: `ErrorInfo` with the domain `segue`, the reason and the
//! error's fields; `BadRequest` naming the field; `RetryInfo` where a retry can help. For callers without a protobuf
//! library for those the plain metadata `segue-reason`, `segue-field` and `retry-after-ms` say the same.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use ::http::HeaderMap;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::{Error, ErrorKind};

const DOMAIN: &str = "segue";
/// Metadata: the machine-readable reason.
pub const REASON: &str = "segue-reason";
/// Metadata: the field that is wrong.
pub const FIELD: &str = "segue-field";
/// Metadata: how long to wait before a retry, in milliseconds.
pub const RETRY_AFTER_MS: &str = "retry-after-ms";

/// The status a caller gets for an error.
#[must_use]
pub fn to_status(error: &Error) -> Status {
    let reason = reason(error);
    let fields = fields(error);
    let retry_after = retry_after(error);
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, fields.clone());
    if let Some(field) = fields.get("field") {
        details.add_bad_request_violation(field, error.to_string());
    }
    if let Some(wait) = retry_after {
        details.set_retry_info(Some(wait));
    }
    let mut metadata = MetadataMap::new();
    metadata.insert(REASON, MetadataValue::from_static(reason));
    if let Some(Ok(field)) = fields.get("field").map(|field| field.parse()) {
        metadata.insert(FIELD, field);
    }
    if let Some(wait) = retry_after {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        metadata.insert(RETRY_AFTER_MS, MetadataValue::from(ms));
    }
    Status::with_error_details_and_metadata(code(error.kind()), message(error), details, metadata)
}

/// The gRPC code of each kind of error.
#[must_use]
pub fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Io | ErrorKind::Internal => Code::Internal,
    }
}

fn reason(error: &Error) -> &'static str {
    match error {
        Error::InvalidField { .. } => "INVALID_FIELD",
        Error::InvalidRow { source, .. } => reason(source),
        Error::NotFound { .. } => "NOT_FOUND",
        Error::Conflict(_) => "CONFLICT",
        Error::Endangers { .. } => "ENDANGERS",
        Error::Exhausted(_) => "EXHAUSTED",
        Error::DiskFull { .. } => "DISK_FULL",
        Error::Unavailable(_) => "UNAVAILABLE",
        Error::Timeout { .. } => "TIMEOUT",
        Error::Corrupt(_) => "CORRUPT",
        Error::Io { .. } => "IO",
        Error::Internal(_) => "INTERNAL",
    }
}

/// The parts from which [`from_status`] makes the same error again.
fn fields(error: &Error) -> HashMap<String, String> {
    let pairs: Vec<(&str, String)> = match error {
        Error::InvalidField { field, reason } => {
            vec![("field", field.to_string()), ("detail", reason.clone())]
        }
        Error::InvalidRow { row, source } => {
            let mut inner = fields(source);
            let rows = inner.remove("rows").map_or_else(|| row.to_string(), |rows| format!("{row},{rows}"));
            inner.insert("rows".to_owned(), rows);
            return inner;
        }
        Error::NotFound { what, id } => vec![("what", what.to_string()), ("id", id.clone())],
        Error::Endangers { node, dangers } => vec![("node", node.clone()), ("detail", dangers.clone())],
        Error::Conflict(detail)
        | Error::Exhausted(detail)
        | Error::Unavailable(detail)
        | Error::Corrupt(detail)
        | Error::Internal(detail) => vec![("detail", detail.clone())],
        Error::DiskFull { path } => vec![("path", path.display().to_string())],
        Error::Timeout { ms } => vec![("ms", ms.to_string())],
        Error::Io { action, path, source } => {
            vec![
                ("action", action.to_string()),
                ("path", path.display().to_string()),
                ("detail", source.to_string()),
            ]
        }
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// How long a caller should wait before the same request can succeed; none where a retry cannot help.
fn retry_after(error: &Error) -> Option<Duration> {
    match error {
        Error::InvalidRow { source, .. } => retry_after(source),
        Error::Exhausted(_) => Some(Duration::from_millis(100)),
        Error::DiskFull { .. } => Some(Duration::from_secs(10)),
        Error::Unavailable(_) => Some(Duration::from_millis(500)),
        Error::InvalidField { .. }
        | Error::NotFound { .. }
        | Error::Conflict(_)
        | Error::Endangers { .. }
        | Error::Timeout { .. }
        | Error::Corrupt(_)
        | Error::Io { .. }
        | Error::Internal(_) => None,
    }
}

/// The error with its causes, which the type itself does not print.
fn message(error: &Error) -> String {
    let mut text = error.to_string();
    if let Error::Io { source, .. } = error {
        let _ = write!(text, ": {source}");
    }
    text
}

/// How a request ended, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The code's name, such as `not_found`.
    pub(super) code: &'static str,
    /// Whether an operator should look: damage or a bug.
    pub(super) failed: bool,
}

impl Outcome {
    /// The caller went away before the reply was complete.
    pub(super) const GONE: Self = Self { code: "cancelled", failed: false };
}

/// How a request ended, from a reply's headers or trailers; `None` when they do not say.
pub(super) fn outcome(headers: &HeaderMap) -> Option<Outcome> {
    let code = Status::from_header_map(headers)?.code();
    Some(Outcome { code: name(code), failed: matches!(code, Code::Internal | Code::DataLoss) })
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// The error a status was made from; for a status of another origin (a proxy, the transport) the closest one.
#[must_use]
pub fn from_status(status: &Status) -> Error {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
    info.and_then(|info| from_parts(&info.reason, info.metadata)).unwrap_or_else(|| foreign(status))
}

fn from_parts(reason: &str, mut fields: HashMap<String, String>) -> Option<Error> {
    let rows = fields.remove("rows");
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let error = match reason {
        "INVALID_FIELD" => Error::invalid(take("field"), take("detail")),
        "NOT_FOUND" => Error::not_found(take("what"), take("id")),
        "CONFLICT" => Error::Conflict(take("detail")),
        "ENDANGERS" => Error::Endangers { node: take("node"), dangers: take("detail") },
        "EXHAUSTED" => Error::Exhausted(take("detail")),
        "DISK_FULL" => Error::DiskFull { path: PathBuf::from(take("path")) },
        "UNAVAILABLE" => Error::Unavailable(take("detail")),
        "TIMEOUT" => Error::Timeout { ms: take("ms").parse().unwrap_or(0) },
        "CORRUPT" => Error::Corrupt(take("detail")),
        "IO" => Error::io(take("action"), take("path"), std::io::Error::other(take("detail"))),
        "INTERNAL" => Error::Internal(take("detail")),
        _ => return None,
    };
    let rows: Vec<usize> =
        rows.iter().flat_map(|rows| rows.split(',')).filter_map(|row| row.parse().ok()).collect();
    Some(rows.into_iter().rev().fold(error, Error::at_row))
}

fn foreign(status: &Status) -> Error {
    let text = status.message().to_owned();
    // A status that came over the network has no source: this one was made here, of a connection that broke.
    let broken = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unknown | Code::Internal | Code::Cancelled if broken => {
            Error::Unavailable(format!("the connection broke; the request may have been done: {text}"))
        }
        Code::InvalidArgument | Code::OutOfRange => Error::invalid("request", text),
        Code::NotFound => Error::not_found("resource", text),
        Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::PermissionDenied
        | Code::Unauthenticated => Error::Conflict(text),
        Code::Unimplemented => Error::Conflict(format!("the server does not offer this operation: {text}")),
        Code::ResourceExhausted => Error::Exhausted(text),
        Code::Unavailable => Error::Unavailable(text),
        Code::DeadlineExceeded | Code::Cancelled => Error::Timeout { ms: 0 },
        Code::DataLoss => Error::Corrupt(text),
        Code::Ok | Code::Unknown | Code::Internal => Error::Internal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that stops closes its connections: a caller may ask again.
    #[test]
    fn a_broken_connection_is_unavailable_and_an_internal_error_is_not() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let status = Status::from_error(Box::new(reset));
        assert_eq!(from_status(&status).kind(), ErrorKind::Unavailable, "{status:?}");
        assert_eq!(from_status(&Status::internal("a bug")).kind(), ErrorKind::Internal);
    }

    fn every_error() -> Vec<Error> {
        vec![
            Error::invalid("seeds[3].track_id", "must not be empty"),
            Error::invalid("tempo", "must be above 0. tempo=`0`").at_row(7),
            Error::not_found("user", "Ünknown").at_row(1).at_row(2),
            Error::not_found("track", "a,b\nc"),
            Error::Conflict("generation is not complete".to_owned()),
            Error::Endangers { node: "3f09".to_owned(), dangers: "meta would stop".to_owned() },
            Error::Exhausted("too many requests wait".to_owned()),
            Error::DiskFull { path: PathBuf::from("/data/ö") },
            Error::Unavailable("opening".to_owned()),
            Error::Timeout { ms: 1_500 },
            Error::Corrupt("block 3".to_owned()),
            Error::io("open", "/data/x", std::io::Error::other("denied")),
            Error::Internal("a bug".to_owned()),
        ]
    }

    #[test]
    fn every_error_comes_back_as_it_went() {
        for error in every_error() {
            let back = from_status(&to_status(&error));
            assert_eq!(format!("{back:?}"), format!("{error:?}"));
            assert_eq!((back.kind(), back.to_string()), (error.kind(), error.to_string()));
        }
    }

    #[test]
    fn every_code_is_some_error() {
        for number in 0..=20 {
            let error = from_status(&Status::new(Code::from_i32(number), "text"));
            let expected = match Code::from_i32(number) {
                Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
                Code::NotFound => ErrorKind::NotFound,
                Code::ResourceExhausted => ErrorKind::Exhausted,
                Code::Unavailable => ErrorKind::Unavailable,
                Code::DeadlineExceeded | Code::Cancelled => ErrorKind::Timeout,
                Code::DataLoss => ErrorKind::Corrupt,
                Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
                _ => ErrorKind::Conflict,
            };
            assert_eq!(error.kind(), expected, "code {number}");
        }
    }

    #[test]
    fn plain_metadata_says_reason_field_and_wait() {
        let status = to_status(&Error::invalid("filter.tempo", "must not have min above max"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.metadata().get(REASON).map(|v| v.as_bytes()), Some(&b"INVALID_FIELD"[..]));
        assert_eq!(status.metadata().get(FIELD).map(|v| v.as_bytes()), Some(&b"filter.tempo"[..]));
        assert!(status.metadata().get(RETRY_AFTER_MS).is_none());
        let status = to_status(&Error::Exhausted("queue".to_owned()));
        assert_eq!(status.metadata().get(RETRY_AFTER_MS).map(|v| v.as_bytes()), Some(&b"100"[..]));
        assert_eq!(
            status.get_details_retry_info().and_then(|r| r.retry_delay),
            Some(Duration::from_millis(100))
        );
    }

    #[test]
    fn damaged_details_are_not_trusted() {
        let status = Status::with_details(Code::NotFound, "gone", bytes::Bytes::from_static(b"\xff\x00junk"));
        assert_eq!(from_status(&status).kind(), ErrorKind::NotFound);
    }
}
