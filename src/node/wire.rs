//! Errors on their way from one node to another.

use rkyv::{Archive, Deserialize, Serialize};

use crate::error::Error;

/// An [`Error`] as plain data.
#[derive(Debug, Clone, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct WireError {
    /// Rows of batches it is about, outermost first.
    rows: Vec<u64>,
    kind: u8,
    first: String,
    second: String,
    ms: u64,
}

impl From<Error> for WireError {
    fn from(mut error: Error) -> Self {
        let mut rows = Vec::new();
        while let Error::InvalidRow { row, source } = error {
            rows.push(row as u64);
            error = *source;
        }
        let text = error.to_string();
        let (kind, first, second, ms) = match error {
            Error::InvalidField { field, reason } => (0, field.into_owned(), reason, 0),
            Error::NotFound { what, id } => (1, what.into_owned(), id, 0),
            Error::Conflict(reason) => (2, reason, String::new(), 0),
            Error::Endangers { .. } => (2, text, String::new(), 0),
            Error::Exhausted(reason) => (3, reason, String::new(), 0),
            Error::DiskFull { .. } => (3, text, String::new(), 0),
            Error::Unavailable(reason) => (4, reason, String::new(), 0),
            Error::Timeout { ms } => (5, String::new(), String::new(), ms),
            Error::Corrupt(reason) => (6, reason, String::new(), 0),
            Error::Internal(reason) => (7, reason, String::new(), 0),
            Error::Io { .. } | Error::InvalidRow { .. } => (7, text, String::new(), 0),
        };
        Self { rows, kind, first, second, ms }
    }
}

impl From<WireError> for Error {
    fn from(wire: WireError) -> Self {
        let WireError { rows, kind, first, second, ms } = wire;
        let error = match kind {
            0 => Self::InvalidField { field: first.into(), reason: second },
            1 => Self::NotFound { what: first.into(), id: second },
            2 => Self::Conflict(first),
            3 => Self::Exhausted(first),
            4 => Self::Unavailable(first),
            5 => Self::Timeout { ms },
            6 => Self::Corrupt(first),
            _ => Self::Internal(first),
        };
        let rows = rows.into_iter().rev().map(|row| usize::try_from(row).unwrap_or(usize::MAX));
        rows.fold(error, |source, row| Self::InvalidRow { row, source: Box::new(source) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_should_do_and_the_words_survive_the_way() {
        let errors = [
            Error::invalid("k", "too many"),
            Error::not_found("user", "u1").at_row(7),
            Error::invalid("f", "no").at_row(1).at_row(2),
            Error::Conflict("c".into()),
            Error::Exhausted("e".into()),
            Error::Unavailable("u".into()),
            Error::Timeout { ms: 9 },
            Error::Corrupt("d".into()),
            Error::Internal("i".into()),
        ];
        for error in errors {
            let (kind, text) = (error.kind(), error.to_string());
            let back = Error::from(WireError::from(error));
            assert_eq!((back.kind(), back.to_string()), (kind, text));
        }
        let full = Error::from(WireError::from(Error::DiskFull { path: "/data".into() }));
        assert!(full.to_string().contains("/data") && full.kind() == crate::ErrorKind::Exhausted);
    }
}
