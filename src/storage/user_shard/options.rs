//! How much memory a user shard may use.

use super::engine::EngineOptions;

/// Below these a shard reads its files for everything, or writes many small ones.
const BLOCK_CACHE_BYTES_MIN: u64 = 4 << 20;
const MEMTABLE_BYTES_MIN: u64 = 4 << 20;
const TREND_CACHE_BYTES_MIN: usize = 2 << 20;

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
    /// The same memory in all for `shards` shards, but for what each needs at least.
    #[must_use]
    pub fn shared_by(self, shards: usize) -> Self {
        let bytes = shards.max(1) as u64;
        Self {
            block_cache_bytes: (self.block_cache_bytes / bytes).max(BLOCK_CACHE_BYTES_MIN),
            memtable_bytes: (self.memtable_bytes / bytes).max(MEMTABLE_BYTES_MIN),
            view_cache_bytes: self.view_cache_bytes / shards.max(1),
            trend_cache_bytes: (self.trend_cache_bytes / shards.max(1)).max(TREND_CACHE_BYTES_MIN),
        }
    }

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
