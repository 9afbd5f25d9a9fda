//! Whole features of a node through its public API.

#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod disk;
mod groups;
mod kill;
mod load;
mod machine;
mod node;
mod plain;
mod three;
