//! Staged vectors of a bulk load: rows kept in one append-only file until the load is complete and a segment is built
//! from them. Rows go to disk twice in all (here and in the segment), not through the log.
//!
//! ```text
//! frame: [payload length u32][crc32c of payload u32][payload], repeated; payload: rkyv StagedRows
//! ```
//! A torn last frame is cut off when the file is opened; its rows were never acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rkyv::{Archive, Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::types::{GenerationId, SpaceName, key_of};

/// Rows of one push.
#[derive(Debug, Archive, Serialize, Deserialize)]
pub struct StagedRows {
    /// Position of the first row in the load.
    pub first_row: u64,
    /// Track ids.
    pub ids: Vec<String>,
    /// `[ids.len(), dim]`.
    pub vectors: Vec<f32>,
}

/// The first frame: what the rows are.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct StageHeader {
    /// The load.
    pub load_id: String,
    /// The space.
    pub space: SpaceName,
    /// The generation.
    pub generation: GenerationId,
    /// Components a row.
    pub dim: u32,
}

/// An open stage file.
pub struct Stage {
    path: PathBuf,
    file: File,
    /// What the rows are.
    pub header: StageHeader,
    /// Rows that are durable.
    pub rows_done: u64,
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| match source.kind() {
        std::io::ErrorKind::StorageFull => Error::DiskFull { path },
        _ => Error::Io { action: action.into(), path, source },
    }
}

impl Stage {
    /// The file of a load.
    #[must_use]
    pub fn path(folder: &Path, load_id: &str) -> PathBuf {
        folder.join(format!("{:016x}.stage", key_of(load_id)))
    }

    /// Opens the stage of a load if there is one.
    ///
    /// # Errors
    /// Disk errors; `Corrupt` when the file is not a stage of this load.
    pub fn open(folder: &Path, load_id: &str) -> Result<Option<Self>> {
        let path = Self::path(folder, load_id);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("opening staged rows", &path)(error)),
        };
        let mut frames = Frames::new(&path, file.try_clone().map_err(io("opening staged rows", &path))?)?;
        let Some(header) = frames.next_as::<StageHeader>()? else {
            std::fs::remove_file(&path).map_err(io("removing an empty stage", &path))?;
            return Ok(None);
        };
        if header.load_id != load_id {
            return Err(Error::Conflict(format!(
                "another load is staged under the same key: finish it first. load_id=`{}`",
                header.load_id
            )));
        }
        let mut rows_done = 0;
        while let Some(rows) = frames.next_as::<StagedRows>()? {
            rows_done = rows.first_row + rows.ids.len() as u64;
        }
        let end = frames.good_bytes;
        file.set_len(end).map_err(io("cutting staged rows", &path))?;
        let mut stage = Self { path, file, header, rows_done };
        stage.file.seek(SeekFrom::End(0)).map_err(io("opening staged rows", &stage.path))?;
        Ok(Some(stage))
    }

    /// Starts the stage of a load.
    ///
    /// # Errors
    /// Disk errors.
    pub fn create(folder: &Path, header: StageHeader) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(io("creating the staging folder", folder))?;
        let path = Self::path(folder, &header.load_id);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(io("creating staged rows", &path))?;
        let mut stage = Self { path, file, header: header.clone(), rows_done: 0 };
        stage.write_frame(&encode(&header)?)?;
        segue_storage_format::publish::sync_folder(folder).map_err(crate::storage::error::damaged)?;
        Ok(stage)
    }

    /// Appends rows; durable on return. `rows.first_row` must be `rows_done`.
    ///
    /// # Errors
    /// Disk errors; nothing counts as written then.
    pub fn push(&mut self, rows: &StagedRows) -> Result<()> {
        let before = self.file.stream_position().map_err(io("writing staged rows", &self.path))?;
        if let Err(error) = encode(rows).and_then(|frame| self.write_frame(&frame)) {
            // Whatever part was written is cut off, so that the next push starts where this one did.
            let cut = self.file.set_len(before).and_then(|()| self.file.seek(SeekFrom::Start(before)));
            cut.map_err(io("cutting staged rows", &self.path))?;
            return Err(error);
        }
        self.rows_done = rows.first_row + rows.ids.len() as u64;
        Ok(())
    }

    fn write_frame(&mut self, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| Error::invalid("batch", "too many rows at once: send fewer"))?;
        let mut write = || {
            self.file.write_all(&length.to_le_bytes())?;
            self.file.write_all(&crc32c::crc32c(payload).to_le_bytes())?;
            self.file.write_all(payload)?;
            self.file.sync_data()
        };
        write().map_err(io("writing staged rows", &self.path))
    }

    /// Reads every push from the start.
    ///
    /// # Errors
    /// Disk errors, damage.
    pub fn for_each(&self, mut each: impl FnMut(StagedRows) -> Result<()>) -> Result<()> {
        let file = File::open(&self.path).map_err(io("reading staged rows", &self.path))?;
        let mut frames = Frames::new(&self.path, file)?;
        frames.next_as::<StageHeader>()?;
        let mut rows_done = 0;
        while let Some(rows) = frames.next_as::<StagedRows>()? {
            rows_done = rows.first_row + rows.ids.len() as u64;
            each(rows)?;
        }
        if rows_done != self.rows_done {
            return Err(Error::Corrupt(format!(
                "staged rows are damaged: remove the file and load again. path=`{}`, offset=`{}`",
                self.path.display(),
                frames.good_bytes
            )));
        }
        Ok(())
    }

    /// Removes the file: its rows are in a segment now.
    ///
    /// # Errors
    /// Disk errors.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(io("removing staged rows", &self.path))
    }
}

fn encode<T>(value: &T) -> Result<Vec<u8>>
where
    T: for<'a> Serialize<
        rkyv::api::high::HighSerializer<
            rkyv::util::AlignedVec,
            rkyv::ser::allocator::ArenaHandle<'a>,
            rkyv::rancor::Error,
        >,
    >,
{
    crate::storage::codec::encode(1, value)
}

/// Reads frames until the end or the first torn one.
struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    good_bytes: u64,
}

impl Frames {
    fn new(path: &Path, file: File) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 20, file);
        file.seek(SeekFrom::Start(0)).map_err(io("reading staged rows", path))?;
        Ok(Self { path: path.to_owned(), file, good_bytes: 0 })
    }

    fn next_payload(&mut self) -> Result<Option<Vec<u8>>> {
        let mut head = [0; 8];
        match self.file.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(io("reading staged rows", &self.path)(error)),
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let crc = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let mut payload = Vec::new();
        let read = (&mut self.file).take(u64::from(length)).read_to_end(&mut payload);
        read.map_err(io("reading staged rows", &self.path))?;
        if payload.len() != length as usize || crc32c::crc32c(&payload) != crc {
            return Ok(None);
        }
        self.good_bytes += 8 + u64::from(length);
        Ok(Some(payload))
    }

    fn next_as<T>(&mut self) -> Result<Option<T>>
    where
        T: Archive,
        T::Archived: for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, rkyv::rancor::Error>>
            + Deserialize<T, rkyv::api::high::HighDeserializer<rkyv::rancor::Error>>,
    {
        self.next_payload()?.map(|payload| crate::storage::codec::decode(1, &payload)).transpose()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_torn_push_is_cut_off_and_the_rest_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let space = SpaceName::new("audio").unwrap();
        let header = StageHeader { load_id: "x".into(), space, generation: GenerationId::STATIC, dim: 2 };
        let rows = |first_row: u64| StagedRows {
            first_row,
            ids: vec![format!("t{first_row}"), "b".into()],
            vectors: vec![1.0, 2.0, 3.0, first_row as f32],
        };
        let mut stage = Stage::create(folder.path(), header).unwrap();
        stage.push(&rows(0)).unwrap();
        stage.push(&rows(2)).unwrap();
        drop(stage);
        let path = Stage::path(folder.path(), "x");
        let whole = std::fs::read(&path).unwrap();
        for cut in [1, 20, whole.len() / 4] {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let stage = Stage::open(folder.path(), "x").unwrap().unwrap();
            assert_eq!(stage.rows_done, 2, "cut=`{cut}`");
        }
        let mut stage = Stage::open(folder.path(), "x").unwrap().unwrap();
        stage.push(&rows(2)).unwrap();
        let mut seen = Vec::new();
        stage
            .for_each(|rows| {
                seen.push((rows.first_row, rows.ids, rows.vectors));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1], (2, vec!["t2".to_owned(), "b".to_owned()], vec![1.0, 2.0, 3.0, 2.0]));
        stage.remove().unwrap();
        assert!(Stage::open(folder.path(), "x").unwrap().is_none());
    }
}
