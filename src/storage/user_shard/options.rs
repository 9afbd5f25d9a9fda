//! How much memory a user shard may use.

use super::engine::EngineOptions;

/// Memory of a user shard.
#[derive(Debug, Clone)]
pub struct UserShardOptions {
    /// Cache of file blocks, in bytes.
    pub block_cache_bytes: u64,
    /// Memory that becomes a file when full, in bytes; up to five times as much can be in use while the disk is
    /// behind. Also bounds what has to be replayed from the log after a crash.
    pub memtable_bytes: u64,
    /// Cache of [`UserView`]s, in bytes.
    pub view_cache_bytes: usize,
    /// Cache of play counts by day and region, in bytes.
    pub trend_cache_bytes: usize,
}

impl UserShardOptions {
    pub(super) fn engine(&self) -> EngineOptions {
        EngineOptions { block_cache_bytes: self.block_cache_bytes, memtable_bytes: self.memtable_bytes }
    }
}

impl Default for UserShardOptions {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 << 20,
            memtable_bytes: 32 << 20,
            view_cache_bytes: 64 << 20,
            trend_cache_bytes: 32 << 20,
        }
    }
}
