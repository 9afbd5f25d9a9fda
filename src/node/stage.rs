//! Staged vectors of a bulk load: rows kept in one append-only file until the load is complete and a segment is built
//! from them. Rows go to disk twice in all (here and in the segment), not through the log.
//!
//! Frames ([`super::frames`]): the header, then a frame for each push. A torn last frame is cut off when the file is opened;
//! its rows were never acknowledged. Any other bad frame is damage.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rkyv::{Archive, Deserialize, Serialize};

use super::frames::{self, Frames, io};
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

/// What a stage file holds.
#[derive(Debug, Default)]
pub struct StageCheck {
    /// What the rows are; `None` when not even that is whole.
    pub header: Option<StageHeader>,
    /// Rows up to the end or the first damage.
    pub rows: u64,
    /// Bytes at the end that a crash cut short.
    pub torn_bytes: u64,
    /// Where the first damage is and what.
    pub damage: Option<(u64, String)>,
}

/// What the name of a stage file ends with.
const SUFFIX: &str = ".stage";

impl Stage {
    /// The file of a load.
    #[must_use]
    pub fn path(folder: &Path, load_id: &str) -> PathBuf {
        folder.join(format!("{:016x}{SUFFIX}", key_of(load_id)))
    }

    /// Opens the stage of a load if there is one. `was_closed`: the last stop was orderly, so no write can have been cut
    /// short and a bad end is damage.
    ///
    /// # Errors
    /// Disk errors; `Corrupt` for damage; `Conflict` when the file is not a stage of this load.
    pub fn open(folder: &Path, load_id: &str, was_closed: bool) -> Result<Option<Self>> {
        let path = Self::path(folder, load_id);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("opening staged rows", &path)(error)),
        };
        let mut frames = Frames::new(&path, file.try_clone().map_err(io("opening staged rows", &path))?)?;
        let Some(header) = next_as::<StageHeader>(&mut frames, &path)? else {
            std::fs::remove_file(&path).map_err(io("removing an empty stage", &path))?;
            return Ok(None);
        };
        if header.load_id != load_id {
            return Err(Error::Conflict(format!(
                "another load is staged under the same key: finish it first. load_id=`{}`",
                header.load_id
            )));
        }
        let rows_done = check_rows(&mut frames, &path, &header, |_| Ok(()))?;
        if frames.torn_bytes() > 0 {
            if was_closed {
                return Err(frames::damaged(&path, frames.good_bytes, "the end was whole at the last stop"));
            }
            tracing::warn!(path = %path.display(), bytes = frames.torn_bytes(), "dropping staged rows that a crash cut short");
            file.set_len(frames.good_bytes).map_err(io("cutting staged rows", &path))?;
        }
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
        frames::append(&mut stage.file, &stage.path, &encode(&header)?)?;
        segue_storage_format::publish::sync_folder(folder).map_err(crate::storage::error::damaged)?;
        Ok(stage)
    }

    /// Appends rows; durable on return. `rows.first_row` must be `rows_done`.
    ///
    /// # Errors
    /// Disk errors; nothing counts as written then.
    pub fn push(&mut self, rows: &StagedRows) -> Result<()> {
        let before = self.file.stream_position().map_err(io("writing staged rows", &self.path))?;
        if let Err(error) = encode(rows).and_then(|frame| frames::append(&mut self.file, &self.path, &frame))
        {
            // Whatever part was written is cut off, so that the next push starts where this one did.
            let cut = self.file.set_len(before).and_then(|()| self.file.seek(SeekFrom::Start(before)));
            cut.map_err(io("cutting staged rows", &self.path))?;
            return Err(error);
        }
        self.rows_done = rows.first_row + rows.ids.len() as u64;
        Ok(())
    }

    /// Reads every push from the start.
    ///
    /// # Errors
    /// Disk errors, damage.
    pub fn for_each(&self, each: impl FnMut(StagedRows) -> Result<()>) -> Result<()> {
        let file = File::open(&self.path).map_err(io("reading staged rows", &self.path))?;
        let mut frames = Frames::new(&self.path, file)?;
        next_as::<StageHeader>(&mut frames, &self.path)?;
        let rows_done = check_rows(&mut frames, &self.path, &self.header, each)?;
        if rows_done != self.rows_done {
            return Err(frames::damaged(&self.path, frames.good_bytes, "rows that were there are gone"));
        }
        Ok(())
    }

    /// Reads a stage file without changing it.
    ///
    /// # Errors
    /// Disk errors. Damage is in what is returned.
    pub fn check(path: &Path) -> Result<StageCheck> {
        let file = File::open(path).map_err(io("reading staged rows", path))?;
        let mut frames = Frames::new(path, file)?;
        let mut found = StageCheck::default();
        let mut read = || -> Result<()> {
            found.header = next_as::<StageHeader>(&mut frames, path)?;
            if let Some(header) = &found.header {
                found.rows = check_rows(&mut frames, path, header, |_| Ok(()))?;
            }
            Ok(())
        };
        match read() {
            Ok(()) => found.torn_bytes = frames.torn_bytes(),
            Err(error @ Error::Corrupt(_)) => found.damage = Some((frames.last_start, error.to_string())),
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    /// Removes the stages of loads that are done, and those without a whole header; says so of each, and of damaged ones,
    /// which stay. Reads headers only.
    ///
    /// # Errors
    /// Disk errors.
    pub fn clean(folder: &Path, is_done: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for path in Self::all(folder)? {
            let file = File::open(&path).map_err(io("reading staged rows", &path))?;
            let why = match next_as::<StageHeader>(&mut Frames::new(&path, file)?, &path) {
                Ok(Some(header)) if is_done(&header.load_id) => "its load is done",
                Ok(Some(_)) => continue,
                Ok(None) => "it was only begun",
                // Its load is refused until it is removed; that is no reason to refuse everything else.
                Err(error @ Error::Corrupt(_)) => {
                    removed.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            std::fs::remove_file(&path).map_err(io("removing staged rows", &path))?;
            removed.push(format!("a file of staged rows was removed: {why}. path=`{}`", path.display()));
        }
        Ok(removed)
    }

    /// Every stage file in a folder, by name; none when there is no folder.
    ///
    /// # Errors
    /// Disk errors.
    pub fn all(folder: &Path) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io("listing staged rows", folder))?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
        let mut paths = paths.map_err(io("listing staged rows", folder))?;
        paths.retain(|path| path.to_string_lossy().ends_with(SUFFIX));
        paths.sort_unstable();
        Ok(paths)
    }

    /// Whether a file starts as a stage does.
    pub fn is_one(path: &Path) -> bool {
        let mut start = [0; 4];
        File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok())
            && frames::is_framed(&start)
    }

    /// Removes the file: its rows are in a segment now.
    ///
    /// # Errors
    /// Disk errors.
    pub fn remove(self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(io("removing staged rows", &self.path)),
        }
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

/// The next frame as a value.
fn next_as<T>(frames: &mut Frames, path: &Path) -> Result<Option<T>>
where
    T: Archive,
    T::Archived: for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, rkyv::rancor::Error>>
        + Deserialize<T, rkyv::api::high::HighDeserializer<rkyv::rancor::Error>>,
{
    let at = frames.good_bytes;
    let Some(payload) = frames.next_payload()? else { return Ok(None) };
    crate::storage::codec::decode(1, &payload).map(Some).map_err(|error| match error {
        Error::Corrupt(what) => frames::damaged(path, at, &what),
        other => other,
    })
}

/// Reads every push: in order, without gaps, of the header's dimension. Returns the rows there are.
fn check_rows(
    frames: &mut Frames,
    path: &Path,
    header: &StageHeader,
    mut each: impl FnMut(StagedRows) -> Result<()>,
) -> Result<u64> {
    let mut rows_done = 0;
    loop {
        let at = frames.good_bytes;
        let Some(rows) = next_as::<StagedRows>(frames, path)? else { return Ok(rows_done) };
        let fits = rows.vectors.len() as u64 == rows.ids.len() as u64 * u64::from(header.dim);
        if rows.first_row != rows_done || !fits {
            return Err(frames::damaged(path, at, "rows do not follow those before them"));
        }
        rows_done += rows.ids.len() as u64;
        each(rows)?;
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
            let stage = Stage::open(folder.path(), "x", false).unwrap().unwrap();
            assert_eq!(stage.rows_done, 2, "cut=`{cut}`");
        }
        let mut stage = Stage::open(folder.path(), "x", false).unwrap().unwrap();
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
        assert!(Stage::open(folder.path(), "x", false).unwrap().is_none());
    }

    #[test]
    fn a_flipped_bit_is_damage_unless_it_is_in_the_last_push() {
        let folder = tempfile::tempdir().unwrap();
        let space = SpaceName::new("audio").unwrap();
        let header = StageHeader { load_id: "x".into(), space, generation: GenerationId::STATIC, dim: 1 };
        let mut stage = Stage::create(folder.path(), header).unwrap();
        let mut ends = vec![stage.file.stream_position().unwrap()];
        for first_row in 0..3 {
            stage
                .push(&StagedRows { first_row, ids: vec![format!("t{first_row}")], vectors: vec![0.5] })
                .unwrap();
            ends.push(stage.file.stream_position().unwrap());
        }
        drop(stage);
        let path = Stage::path(folder.path(), "x");
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(ends[3], whole.len() as u64);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).unwrap();
            match Stage::open(folder.path(), "x", false) {
                Ok(Some(stage)) => {
                    assert!(at as u64 >= ends[2], "byte {at} went unnoticed");
                    std::fs::write(&path, &bytes).unwrap();
                    let closed = Stage::open(folder.path(), "x", true).map(drop).unwrap_err();
                    assert!(
                        closed.to_string().contains(&format!("offset=`{}`", ends[2])),
                        "byte {at}: {closed}"
                    );
                    let stage_again = Stage::open(folder.path(), "x", false).unwrap().unwrap();
                    assert_eq!(stage_again.rows_done, stage.rows_done);
                    assert_eq!((stage.rows_done, std::fs::metadata(&path).unwrap().len()), (2, ends[2]));
                }
                Ok(None) => panic!("byte {at}: acknowledged rows were removed"),
                Err(error) => {
                    let frame = ends.iter().rev().find(|end| **end <= at as u64).unwrap_or(&0);
                    assert!(error.to_string().contains(&format!("offset=`{frame}`")), "byte {at}: {error}");
                    assert_eq!(
                        std::fs::read(&path).unwrap(),
                        bytes,
                        "byte {at}: a refused file stays as it is"
                    );
                }
            }
        }
    }

    #[test]
    fn stages_of_done_loads_and_begun_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for load_id in ["done", "open"] {
            let space = SpaceName::new("audio").unwrap();
            let header =
                StageHeader { load_id: load_id.into(), space, generation: GenerationId::STATIC, dim: 1 };
            Stage::create(folder.path(), header).unwrap();
        }
        std::fs::write(Stage::path(folder.path(), "begun"), b"SG").unwrap();
        let removed = Stage::clean(folder.path(), |load_id| load_id == "done").unwrap();
        assert_eq!(removed.len(), 2, "{removed:?}");
        assert_eq!(Stage::all(folder.path()).unwrap(), [Stage::path(folder.path(), "open")]);
    }
}
