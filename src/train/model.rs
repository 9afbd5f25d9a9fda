//! What training makes, and its files.

use std::path::Path;

use crate::error::{Error, Result};
use crate::ingest::{write_atomically, write_vectors};
use crate::storage::meta::GramData;
use crate::types::Entity;

/// Vectors of one training run: compared by inner product, a user's with a track's.
#[derive(Debug, Clone, PartialEq)]
pub struct AlsModel {
    /// Ids of the users, ascending.
    pub user_ids: Vec<String>,
    /// User vectors, row-major `[users, dim]`.
    pub users: Vec<f32>,
    /// Ids of the tracks, ascending.
    pub track_ids: Vec<String>,
    /// Track vectors, row-major `[tracks, dim]`.
    pub tracks: Vec<f32>,
    /// What the row solve of a new listener needs.
    pub gram: GramData,
}

impl AlsModel {
    /// Dimension of the vectors.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.gram.dim as usize
    }

    /// The vector of user row `row`.
    #[must_use]
    pub fn user(&self, row: usize) -> &[f32] {
        &self.users[row * self.dim()..][..self.dim()]
    }

    /// The vector of track row `row`.
    #[must_use]
    pub fn track(&self, row: usize) -> &[f32] {
        &self.tracks[row * self.dim()..][..self.dim()]
    }

    /// Writes `user_cf.parquet`, `track_cf.parquet` and `gram.json` into a folder, which is created when absent. Each file is
    /// whole or absent; `gram.json`, written last, says the folder is complete. A row without a liked pair is solved to the
    /// zero vector, which says nothing and is left out: such a listener is folded in later, such a track is a cold one.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<Written> {
        let failed = |action: &'static str| {
            move |source| Error::Io { action: action.into(), path: folder.to_owned(), source }
        };
        std::fs::create_dir_all(folder).map_err(failed("creating the folder"))?;
        let gram = folder.join("gram.json");
        match std::fs::remove_file(&gram) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("removing an old gram.json")(error));
            }
            _ => {}
        }
        let dim = self.dim();
        let side = |name: &str, entity, ids: &[String], matrix: &[f32]| {
            let rows = ids.iter().map(String::as_str).zip(matrix.chunks_exact(dim));
            let told = rows.filter(|(_, vector)| vector.iter().any(|x| *x != 0.0));
            write_vectors(&folder.join(name), entity, dim, told)
        };
        let users = side("user_cf.parquet", Entity::User, &self.user_ids, &self.users)?;
        let tracks = side("track_cf.parquet", Entity::Track, &self.track_ids, &self.tracks)?;
        let json = serde_json::to_vec(&self.gram).map_err(|error| Error::Internal(error.to_string()))?;
        write_atomically(&gram, &json)?;
        Ok(Written { users, tracks })
    }
}

/// What [`AlsModel::write`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// User vectors.
    pub users: u64,
    /// Track vectors.
    pub tracks: u64,
}
