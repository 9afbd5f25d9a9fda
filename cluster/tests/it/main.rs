//! Whole features of a node through its public API.

#![expect(clippy::unwrap_used, reason = "tests")]

mod machine;
mod node;
