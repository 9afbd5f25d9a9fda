//! Searching arrays that were not checked before: each row is asked for when it is first used.

/// Decides which rows of graph and vectors may be used. A row that may not is taken for zeroes, so that a search comes to its end
/// whatever the bytes are; whoever implements this remembers that it was asked for, and gives no answer away then.
pub trait Guard: Sync {
    /// Whether the graph row of a node is as it was written.
    fn row(&self, node: u32) -> bool;
    /// Whether the full vector of a node is as it was written.
    fn vector(&self, node: u32) -> bool;
    /// A row that is as it was written links to no node.
    fn stray_link(&self, node: u32);
}

/// What rows that may not be used are taken for.
#[derive(Clone, Debug)]
pub(super) struct StandIns {
    /// A graph row whose links all lead to the first node.
    pub(super) row: Vec<u8>,
    /// A vector.
    pub(super) vector: Vec<f32>,
}

/// A guard, and what it is needed for.
#[derive(Clone, Copy)]
pub(super) struct Guarded<'a> {
    pub(super) guard: &'a dyn Guard,
    pub(super) stand_ins: &'a StandIns,
}

impl std::fmt::Debug for Guarded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guarded")
    }
}
