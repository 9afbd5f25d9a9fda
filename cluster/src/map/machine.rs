//! The map behind its group: one small file, replaced whole with every change, and an immutable copy for readers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::encoding::NEWER;
use super::state::{MapCommand, MapState, NodeIntent};
use crate::codec::{Malformed, Reader, Writer};
use crate::error::OpenError;
use crate::files;
use crate::ids::StoreId;
use crate::snapshot::{NoFiles, SnapshotFiles, SnapshotManifest, Staging, Words};
use crate::state_machine::{AppliedState, ApplyError, CommittedEntry, StateMachine};

/// Folder and file in a data directory.
const FOLDER: &str = "cluster";
const FILE: &str = "map";

/// What others read.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapReader(Arc<RwLock<Arc<MapState>>>);

impl MapReader {
    /// Returns the map as of the last change applied here.
    pub fn map(&self) -> Arc<MapState> {
        self.0.read().clone()
    }

    fn set(&self, map: MapState) {
        *self.0.write() = Arc::new(map);
    }
}

/// The state machine.
pub(crate) struct MapMachine {
    path: PathBuf,
    state: MapState,
    at: AppliedState,
    reader: MapReader,
}

impl MapMachine {
    /// Opens the map of a data directory; an empty one when there is none.
    ///
    /// # Errors
    /// `MapDamaged` when the file cannot be read, `MapNewer` when this program is too old for it; the operating system's.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let folder = dir.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|source| OpenError::Io {
            action: "create folder",
            path: folder.clone(),
            source,
        })?;
        let path = folder.join(FILE);
        let (state, at) = match files::read(&path)? {
            None => (MapState::default(), AppliedState::default()),
            Some(bytes) => decode(&path, &bytes)?,
        };
        let reader = MapReader::default();
        reader.set(state.clone());
        Ok(Self { path, state, at, reader })
    }

    pub fn reader(&self) -> MapReader {
        self.reader.clone()
    }

    /// Marks all nodes but `own` as removed, at the place the map stands at: the cluster goes on without them. Every group is
    /// on every node again, until somebody places it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn leave_others(&mut self, own: StoreId) -> Result<(), OpenError> {
        let mut state = self.state.clone();
        for (store, node) in &mut state.nodes {
            node.intent = if *store == own { NodeIntent::Serving } else { NodeIntent::Removed };
        }
        state.placements.clear();
        if state != self.state {
            state.epoch += 1;
            files::publish(&self.path, &encode(&state, &self.at))?;
            self.reader.set(state.clone());
            self.state = state;
        }
        Ok(())
    }

    /// Takes over a state, durably, then visibly.
    fn put(&mut self, state: MapState, at: AppliedState) -> Result<(), ApplyError> {
        files::publish(&self.path, &encode(&state, &at))
            .map_err(|error| ApplyError::with_source("the cluster's map cannot be written", error))?;
        self.reader.set(state.clone());
        (self.state, self.at) = (state, at);
        Ok(())
    }
}

/// Reads the map of a data directory without making anything in it; an empty one when there is none.
///
/// # Errors
/// As [`MapMachine::open`].
pub(crate) fn read_map(dir: &Path) -> Result<MapState, OpenError> {
    let path = dir.join(FOLDER).join(FILE);
    match files::read(&path)? {
        None => Ok(MapState::default()),
        Some(bytes) => decode(&path, &bytes).map(|(map, _)| map),
    }
}

/// Opens the map of a data directory as a state machine, for a check of a directory that is not open: give it a copy.
///
/// # Errors
/// As for a start: `MapDamaged`, and the operating system's.
pub fn map_machine(dir: &Path) -> Result<Box<dyn StateMachine>, OpenError> {
    Ok(Box::new(MapMachine::open(dir)?))
}

impl StateMachine for MapMachine {
    fn recovered(&self) -> AppliedState {
        self.at.clone()
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        let mut state = self.state.clone();
        let mut replies = Vec::with_capacity(batch.len());
        for entry in batch {
            let command = MapCommand::decode(&entry.data)
                .map_err(|what| ApplyError::new(format!("an entry of the map: {what}")))?;
            replies.push(state.apply(command).encode().into());
        }
        let at = batch.last().map(|entry| AppliedState { index: entry.index, term: entry.term });
        self.put(state, at.unwrap_or_else(|| self.at.clone()))?;
        Ok(replies)
    }

    fn durable_index(&self) -> u64 {
        self.at.index
    }

    fn snapshot(&mut self) -> Result<Option<Arc<dyn SnapshotFiles>>, ApplyError> {
        let AppliedState { index, term } = self.at;
        let data = self.state.encode().into();
        Ok(Some(Arc::new(Words(SnapshotManifest { index, term, data, files: Vec::new() }))))
    }

    fn staging(&self) -> Option<Arc<dyn Staging>> {
        Some(Arc::new(NoFiles))
    }

    fn install(&mut self, snapshot: &SnapshotManifest) -> Result<(), ApplyError> {
        let state = MapState::decode(&snapshot.data)
            .map_err(|what| ApplyError::new(format!("a snapshot of the map: {what}")))?;
        self.put(state, AppliedState { index: snapshot.index, term: snapshot.term })
    }
}

fn encode(state: &MapState, at: &AppliedState) -> Vec<u8> {
    let mut out = Writer::default();
    out.u64(at.index);
    out.u64(at.term);
    out.bytes(&state.encode());
    let hash = blake3::hash(&out.0);
    out.0.extend(hash.as_bytes());
    out.0
}

fn decode(path: &Path, bytes: &[u8]) -> Result<(MapState, AppliedState), OpenError> {
    let damaged = || OpenError::MapDamaged { path: path.to_owned() };
    let (content, hash) = bytes.split_last_chunk::<32>().ok_or_else(damaged)?;
    if blake3::hash(content) != blake3::Hash::from_bytes(*hash) {
        return Err(damaged());
    }
    read_content(content).map_err(|error| match error {
        NEWER => OpenError::MapNewer { path: path.to_owned() },
        _ => damaged(),
    })
}

fn read_content(content: &[u8]) -> Result<(MapState, AppliedState), Malformed> {
    let mut reader = Reader(content);
    let at = AppliedState { index: reader.u64()?, term: reader.u64()? };
    let state = MapState::decode(reader.bytes()?)?;
    reader.end()?;
    Ok((state, at))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::state::KNOWN_LEVEL;
    use super::*;

    #[test]
    fn a_map_is_read_back_after_a_restart_and_any_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = MapMachine::open(dir.path()).unwrap();
        let command = MapCommand::PutNode {
            store: crate::StoreId(1),
            address: "h:1".into(),
            api: "h:2".into(),
            replicas: std::collections::BTreeMap::new(),
        };
        machine.apply(&[CommittedEntry { index: 7, term: 6, data: command.encode().into() }]).unwrap();
        let again = MapMachine::open(dir.path()).unwrap();
        assert_eq!((again.recovered(), again.reader().map()), (machine.recovered(), machine.reader().map()));
        let path = dir.path().join(FOLDER).join(FILE);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(MapMachine::open(dir.path()), Err(OpenError::MapDamaged { .. })), "byte {at}");
        }
    }

    #[test]
    fn a_map_of_a_newer_program_is_told_from_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let machine = MapMachine::open(dir.path()).unwrap();
        for state in [MapState { needs: KNOWN_LEVEL + 1, ..MapState::default() }, MapState::default()] {
            let mut bytes = encode(&state, &AppliedState::default());
            let content = bytes.len() - 32;
            let version = content - state.encode().len();
            if state.needs == 0 {
                bytes[version..version + 4].copy_from_slice(&99_u32.to_le_bytes());
            }
            let hash = blake3::hash(&bytes[..content]);
            bytes[content..].copy_from_slice(hash.as_bytes());
            fs::write(&machine.path, bytes).unwrap();
            assert!(matches!(MapMachine::open(dir.path()), Err(OpenError::MapNewer { .. })));
        }
    }
}
