//! The hot arrays of an index in memory of their own, on huge pages where the system has them.
//!
//! A walk jumps through rows and codes at random. On ordinary pages most jumps also miss the processor's
//! cache of page addresses, which costs more than reading the row does.

use memmap2::{Advice, MmapMut, MmapOptions};

use super::parts::IndexSlices;

/// Copies of the codes, factors and rows of one index.
#[derive(Debug)]
pub struct ResidentIndex {
    codes: MmapMut,
    factors: MmapMut,
    rows: MmapMut,
}

impl ResidentIndex {
    /// Copies the arrays. Memory: their size, rounded up to pages.
    ///
    /// # Errors
    /// When the system refuses the memory.
    pub fn copy(slices: IndexSlices<'_>) -> std::io::Result<Self> {
        Ok(Self { codes: copy(slices.codes)?, factors: copy(slices.factors)?, rows: copy(slices.rows)? })
    }

    /// The arrays, borrowed.
    #[must_use]
    pub fn slices(&self) -> IndexSlices<'_> {
        IndexSlices { codes: &self.codes, factors: &self.factors, rows: &self.rows }
    }
}

fn copy(bytes: &[u8]) -> std::io::Result<MmapMut> {
    let mut map = MmapOptions::new().len(bytes.len()).map_anon()?;
    #[cfg(target_os = "linux")]
    if !bytes.is_empty()
        && let Err(error) = map.advise(Advice::HugePage)
    {
        // Only speed is lost: kernels may be built without huge pages.
        tracing::debug!(%error, "huge pages are not available");
    }
    map.copy_from_slice(bytes);
    Ok(map)
}
