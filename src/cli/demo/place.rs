//! Where the demo puts its files and its database.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};

/// The directories of one demo.
pub struct Place {
    database: PathBuf,
    /// Removed with everything in it at the end.
    temporary: Option<TempDir>,
}

impl Place {
    /// A new directory that is kept, or a temporary one.
    ///
    /// # Errors
    /// `InvalidField` (`keep`) when the directory has something in it; `Io` when it cannot be made.
    pub fn new(keep: Option<&Path>) -> Result<Self> {
        let Some(dir) = keep else {
            let failed = |source| Error::io("make a temporary directory", std::env::temp_dir(), source);
            let temporary = tempfile::Builder::new().prefix("segue-demo-").tempdir().map_err(failed)?;
            return Ok(Self { database: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        std::fs::create_dir_all(dir).map_err(|source| Error::io("make the directory", dir, source))?;
        let mut entries =
            std::fs::read_dir(dir).map_err(|source| Error::io("read the directory", dir, source))?;
        if entries.next().is_some() {
            let reason = format!("must be a new or an empty directory. path=`{}`", dir.display());
            return Err(Error::invalid("keep", reason));
        }
        Ok(Self { database: dir.to_owned(), temporary: None })
    }

    /// The data directory of the database.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The files that are loaded.
    pub fn files(&self) -> PathBuf {
        self.database.join("files")
    }

    /// The trained vectors.
    pub fn model(&self) -> PathBuf {
        self.files().join("model")
    }

    /// Whether it is there after the demo.
    pub fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }
}
