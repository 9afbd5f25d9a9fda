//! Rows of vectors in memory, being appended to.

use std::sync::Arc;

/// Rows a growing chunk holds; an append copies at most one chunk.
const CHUNK_ROWS: usize = 64;

/// Rows in memory, in chunks that versions share.
#[derive(Clone)]
pub struct GrowingVectors {
    dim: usize,
    chunks: Vec<Arc<VectorChunk>>,
    rows: usize,
}

/// Up to 64 rows in memory.
#[derive(Clone, Default)]
pub struct VectorChunk {
    /// Owner of each row.
    pub ordinals: Vec<u32>,
    /// `[ordinals.len(), dim]`.
    pub data: Vec<f32>,
}

impl GrowingVectors {
    /// No rows yet.
    pub fn new(dim: usize) -> Self {
        Self { dim, chunks: Vec::new(), rows: 0 }
    }

    /// Appends a row; returns its offset.
    pub fn push(&mut self, ordinal: u32, row: &[f32]) -> u32 {
        assert_eq!(row.len(), self.dim, "rows are checked against the set before they are applied");
        if self.rows.is_multiple_of(CHUNK_ROWS) {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(self.chunks.last_mut().expect("a chunk was just made sure of"));
        chunk.ordinals.push(ordinal);
        chunk.data.extend_from_slice(row);
        self.rows += 1;
        u32::try_from(self.rows - 1).expect("a growing segment is sealed long before 2³² rows")
    }

    /// The chunks in order; each holds 64 rows but the last.
    pub fn chunks(&self) -> &[Arc<VectorChunk>] {
        &self.chunks
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The row at `offset`.
    pub fn row(&self, offset: u32) -> Option<&[f32]> {
        let at = offset as usize;
        let start = (at % CHUNK_ROWS) * self.dim;
        self.chunks.get(at / CHUNK_ROWS)?.data.get(start..start + self.dim)
    }

    /// Every row with its owner, in offset order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[f32])> {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.ordinals.iter().copied().zip(chunk.data.chunks_exact(self.dim)))
    }
}
