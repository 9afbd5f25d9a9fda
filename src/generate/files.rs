//! Writing a made-up catalogue to Parquet files.

use std::path::{Path, PathBuf};

use super::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::ingest::{Encode, PlayTable, TableWriter, TrackTable, UserTable, VectorTable};
use crate::types::Entity;

/// Rows written at once.
const CHUNK_ROWS: usize = 8_192;

/// Which files to write besides tracks, users, plays and audio vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Also `user_cf.parquet` and `track_cf.parquet`, made without training.
    pub vectors: bool,
}

/// How far writing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerateProgress {
    /// The file being written.
    pub file: &'static str,
    /// Rows of it written.
    pub rows: u64,
    /// Rows it will have.
    pub total: u64,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GeneratedFile {
    /// What it holds: `tracks`, `users`, `plays`, `track_audio`, `user_cf` or `track_cf`.
    pub name: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

impl Catalogue {
    /// Writes `tracks`, `users`, `plays` and `track_audio` (each `.parquet`, see `docs/DATA.md`) into a folder, which is created
    /// when absent. Each file is whole or absent. Memory: one chunk of rows at a time.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn write(
        &self,
        folder: &Path,
        options: WriteOptions,
        progress: &mut dyn FnMut(GenerateProgress),
    ) -> Result<Vec<GeneratedFile>> {
        std::fs::create_dir_all(folder).map_err(|source| failed("creating the folder", folder, source))?;
        let params = self.params();
        let (tracks, listeners) = (u64::from(params.tracks), u64::from(params.listeners));
        let mut to = Output { folder, progress, files: Vec::new() };
        to.table("tracks", TrackTable::default(), tracks, self.tracks())?;
        to.table("users", UserTable, listeners, self.users())?;
        to.table("plays", PlayTable, params.plays, self.plays())?;
        let vectors = |entity, dim: u32| VectorTable::new(entity, dim as usize);
        to.table("track_audio", vectors(Entity::Track, params.audio_dim), tracks, self.audio_vectors())?;
        if options.vectors {
            to.table("track_cf", vectors(Entity::Track, params.cf_dim), tracks, self.track_vectors())?;
            to.table("user_cf", vectors(Entity::User, params.cf_dim), listeners, self.user_vectors())?;
        }
        Ok(to.files)
    }
}

struct Output<'a> {
    folder: &'a Path,
    progress: &'a mut dyn FnMut(GenerateProgress),
    files: Vec<GeneratedFile>,
}

impl Output<'_> {
    fn table<T: Encode>(
        &mut self,
        name: &'static str,
        table: T,
        total: u64,
        mut rows: impl Iterator<Item = T::Row>,
    ) -> Result<()> {
        let path = self.folder.join(format!("{name}.parquet"));
        let mut writer = TableWriter::create(&path, table)?;
        let mut done = 0;
        loop {
            let chunk: Vec<T::Row> = rows.by_ref().take(CHUNK_ROWS).collect();
            if chunk.is_empty() {
                break;
            }
            writer.write(&chunk)?;
            done += chunk.len() as u64;
            (self.progress)(GenerateProgress { file: name, rows: done, total });
        }
        let rows = writer.finish()?;
        let bytes =
            std::fs::metadata(&path).map_err(|source| failed("reading the size", &path, source))?.len();
        self.files.push(GeneratedFile { name, path, rows, bytes });
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { action: action.into(), path: path.to_owned(), source }
}
