//! How long tracks are, from a tracks file.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::ingest::{ColumnSpec, Kind, scan};

/// Durations by track id.
#[derive(Debug, Default)]
pub struct Durations {
    by_track: HashMap<String, u32>,
}

impl Durations {
    /// Reads `track_id` and `duration_ms` of a tracks file; rows without a usable duration are unknown.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when a column is missing or wrong, [`Error::Io`] when the file cannot be opened.
    pub fn read(path: &Path) -> Result<Self> {
        let specs = [
            ColumnSpec::required("track_id", Kind::Text),
            ColumnSpec::required("duration_ms", Kind::Integer),
        ];
        let mut by_track = HashMap::new();
        scan(path, &specs, |batch, _| {
            let absent = || Error::Internal("a required column is absent from a batch".to_owned());
            let ids = batch.text("track_id")?.ok_or_else(absent)?;
            let durations = batch.integers("duration_ms")?.ok_or_else(absent)?;
            for row in 0..batch.len() {
                if let (Ok(Some(id)), Ok(Some(duration))) = (ids.get(row), durations.get(row))
                    && let Ok(ms @ 1..) = u32::try_from(duration)
                {
                    by_track.insert(id.to_owned(), ms);
                }
            }
            Ok(())
        })?;
        Ok(Self { by_track })
    }

    /// The length of a track in milliseconds, where known.
    #[must_use]
    pub fn get(&self, track_id: &str) -> Option<u32> {
        self.by_track.get(track_id).copied()
    }
}
