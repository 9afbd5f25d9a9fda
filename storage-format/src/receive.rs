//! Taking in a file from a peer or a backup: its bytes arrive in pieces, and it appears under its name only when it
//! is whole and the one that was asked for.

use std::path::{Path, PathBuf};

use crate::{checksum::ContentHasher, error::FormatError, manifest::FileEntry, publish::TemporaryFile};

/// A file that is arriving. Dropped before [`FileReceiver::finish`], it leaves nothing.
pub struct FileReceiver {
    temporary: TemporaryFile,
    entry: FileEntry,
    hasher: ContentHasher,
    received_bytes: u64,
}

impl FileReceiver {
    /// Starts to receive the file `entry` describes into `folder`.
    ///
    /// # Errors
    /// [`FormatError::Usage`] when its name is not allowed; [`FormatError::Io`].
    pub fn create(folder: &Path, entry: FileEntry) -> Result<Self, FormatError> {
        let temporary = TemporaryFile::create(folder, &entry.name)?;
        Ok(Self { temporary, entry, hasher: ContentHasher::new(), received_bytes: 0 })
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`FormatError::OutOfRange`] when more arrive than the file has; [`FormatError::Io`] (see
    /// [`FormatError::is_disk_full`]).
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let received_bytes = self.received_bytes + bytes.len() as u64;
        if received_bytes > self.entry.len {
            return Err(FormatError::OutOfRange {
                file: self.target(),
                what: "number of bytes received",
                value: received_bytes,
                limit: self.entry.len.saturating_add(1),
            });
        }
        self.hasher.update(bytes);
        self.received_bytes = received_bytes;
        self.temporary.write_all(bytes)
    }

    /// The file that is asked for.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Number of bytes received so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Publishes the file: checks length and content id, fsyncs, renames, fsyncs the folder.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] when bytes are missing, [`FormatError::WrongContent`] when they are not the ones
    /// asked for; [`FormatError::Io`]. Nothing was published.
    pub fn finish(self) -> Result<FileEntry, FormatError> {
        if self.received_bytes != self.entry.len {
            let (needed, found) = (self.entry.len, self.received_bytes);
            return Err(FormatError::Truncated { file: self.target(), needed, found });
        }
        if self.hasher.finish() != self.entry.content_id {
            return Err(FormatError::WrongContent { file: self.target() });
        }
        self.temporary.publish()?;
        Ok(self.entry)
    }

    fn target(&self) -> PathBuf {
        self.temporary.target().to_path_buf()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::checksum::ContentId;

    fn receive(folder: &Path, pieces: &[&[u8]]) -> Result<FileEntry, FormatError> {
        let entry = FileEntry { name: "part".to_owned(), len: 6, content_id: ContentId::of(b"abcdef") };
        let mut receiver = FileReceiver::create(folder, entry)?;
        pieces.iter().try_for_each(|piece| receiver.append(piece))?;
        receiver.finish()
    }

    #[test]
    fn a_file_appears_when_it_is_whole_and_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let is_empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
        assert!(matches!(
            receive(folder.path(), &[b"abc"]),
            Err(FormatError::Truncated { needed: 6, found: 3, .. })
        ));
        assert!(matches!(receive(folder.path(), &[b"abcdeX"]), Err(FormatError::WrongContent { .. })));
        assert!(matches!(
            receive(folder.path(), &[b"abc", b"defg"]),
            Err(FormatError::OutOfRange { value: 7, .. })
        ));
        assert!(is_empty());
        receive(folder.path(), &[b"ab", b"", b"cdef"]).unwrap();
        assert_eq!(std::fs::read(folder.path().join("part")).unwrap(), b"abcdef");
    }
}
