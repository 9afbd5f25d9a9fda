//! What can go wrong in the index.

/// Errors of building, opening and searching an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A vector to index holds a value that is not finite.
    #[error("vector is not finite, remove or repair the row. row=`{row}`, dimension=`{dimension}`")]
    NotFinite {
        /// Row of the offending vector.
        row: usize,
        /// First coordinate that is not finite.
        dimension: usize,
    },
    /// The query holds a value that is not finite.
    #[error("query vector is not finite. dimension=`{dimension}`")]
    QueryNotFinite {
        /// First coordinate that is not finite.
        dimension: usize,
    },
    /// The query has no direction.
    #[error("query vector is zero, which has no cosine")]
    ZeroQuery,
    /// A query has another length than the vectors.
    #[error("query has the wrong dimension. expected=`{expected}`, got=`{got}`")]
    DimensionMismatch {
        /// Dimension of the index.
        expected: usize,
        /// Length of the query.
        got: usize,
    },
    /// A parameter is out of range.
    #[error("parameter out of range: {message}. {name}=`{value}`")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The allowed range.
        message: &'static str,
    },
    /// The bytes of an index contradict each other.
    #[error("index is damaged, rebuild it: {message}. block=`{block}`")]
    Damaged {
        /// Name of the block.
        block: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The caller asked a build to stop.
    #[error("index build was cancelled")]
    Cancelled,
}

impl IndexError {
    pub(crate) fn parameter(name: &'static str, value: impl ToString, message: &'static str) -> Self {
        Self::Parameter { name, value: value.to_string(), message }
    }

    pub(crate) fn damaged(block: &'static str, message: impl Into<String>) -> Self {
        Self::Damaged { block, message: message.into() }
    }
}
