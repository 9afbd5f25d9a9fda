//! Files of (user, track) pairs, such as the held-out part of a split.

use std::path::Path;

use super::columns::{ColumnSpec, Kind};
use super::scan::scan;
use crate::error::{Error, Result};

/// Calls `take` with the `user_id` and `track_id` of every row.
///
/// # Errors
/// `InvalidField` when a column is missing or of the wrong type or a cell is empty; what `take` returns.
pub fn read_pairs(path: &Path, mut take: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    let specs = [ColumnSpec::required("user_id", Kind::Text), ColumnSpec::required("track_id", Kind::Text)];
    scan(path, &specs, |batch, first_row| {
        let absent = || Error::Internal("a required column is absent from a batch".to_owned());
        let users = batch.text("user_id")?.ok_or_else(absent)?;
        let tracks = batch.text("track_id")?.ok_or_else(absent)?;
        for row in 0..batch.len() {
            match (users.get(row), tracks.get(row)) {
                (Ok(Some(user)), Ok(Some(track))) => take(user, track)?,
                _ => {
                    return Err(Error::invalid(
                        "test",
                        format!("a row has no user_id or no track_id. row=`{}`", first_row + row as u64),
                    ));
                }
            }
        }
        Ok(())
    })
}
