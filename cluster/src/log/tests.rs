//! The engine's log against the same log in memory: any history of writes and reopenings gives the
//! same contents; any damage to the files is refused or reported.

#![expect(clippy::unwrap_used, reason = "tests")]

mod begun;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use raft::eraftpb::{Entry, HardState};
use raft::{GetEntriesContext, Storage as _};

use super::engine_log::EngineLog;
use super::group_log::GroupLog;
use super::header::{self, Header};
use super::memory_log::MemoryLog;
use super::recover::recover;
use super::scan::{TornTail, check_bytes, scan, survey};
use super::store::{BOOTSTRAP, GroupWrite, Install, LogStore, Truncated};
use crate::env::Env;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::members::Members;
use crate::state_machine::AppliedState;

const FILE_BYTES: u64 = 4 << 10;
const DISK_BYTES: u64 = 16 << 10;
const PEER: PeerId = PeerId(11);
const GROUPS: Range<u64> = 1..4;

#[derive(Clone, Debug)]
enum Step {
    /// Appends `count` entries of `bytes` bytes, replacing the last `overwrite` ones by a higher term.
    Append {
        group: u64,
        overwrite: u64,
        count: u64,
        bytes: usize,
    },
    /// Drops this part (in 1/8) of the entries.
    Compact {
        group: u64,
        eighths: u64,
    },
    /// Becomes a snapshot, this many entries behind (or before) the last entry, after its intent was noted.
    Reset {
        group: u64,
        behind: i64,
    },
    /// Destroys the group and creates it anew.
    Recreate {
        group: u64,
    },
    Collect,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (GROUPS, 0_u64..4, 1_u64..6, 0_usize..400)
            .prop_map(|(group, overwrite, count, bytes)| Step::Append { group, overwrite, count, bytes }),
        3 => (GROUPS, 0_u64..9).prop_map(|(group, eighths)| Step::Compact { group, eighths }),
        2 => (GROUPS, -5_i64..6).prop_map(|(group, behind)| Step::Reset { group, behind }),
        1 => GROUPS.prop_map(|group| Step::Recreate { group }),
        2 => Just(Step::Collect),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// Seed of the random tests: `SEED` from the environment, or a fixed one.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_101);
    println!("SEED={seed}");
    seed
}

fn runner(cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, rng)
}

fn open(dir: &Path) -> EngineLog {
    assert_eq!(scan(dir).unwrap(), []);
    EngineLog::open(dir, FILE_BYTES, DISK_BYTES, Env::real().disk).unwrap()
}

/// Both stores, with one view of each group.
struct Pair {
    dir: PathBuf,
    engine: Arc<EngineLog>,
    model: Arc<MemoryLog>,
    views: BTreeMap<u64, GroupLog>,
    term: u64,
}

impl Pair {
    fn new(dir: &Path) -> Self {
        let mut pair = Self {
            dir: dir.to_owned(),
            engine: Arc::new(open(dir)),
            model: Arc::default(),
            views: BTreeMap::new(),
            term: BOOTSTRAP.term,
        };
        GROUPS.for_each(|group| pair.create(group));
        pair
    }

    fn create(&mut self, group: u64) {
        let write = GroupWrite::bootstrap(GroupId(group), PEER, &[(PEER, StoreId(5))]);
        let view = GroupLog::created(self.engine.clone(), &write);
        self.views.insert(group, view);
        self.write(write);
    }

    fn write(&mut self, write: GroupWrite) {
        let batch = [write];
        self.engine.write(&batch).unwrap();
        self.model.write(&batch).unwrap();
        let [write] = batch;
        if !write.destroy {
            self.views.get_mut(&write.group.0).unwrap().written(write);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { group, overwrite, count, bytes } => self.append(group, overwrite, count, bytes),
            Step::Compact { group, eighths } => {
                let view = &self.views[&group];
                let index = view.truncated().index + (view.last() - view.truncated().index) * eighths / 8;
                let term = view.term_of(index).unwrap();
                let truncate = Some(Truncated { index, term });
                // Only what is committed is ever dropped.
                let hard_state = Some(HardState { commit: index, ..view.hard_state().clone() });
                self.write(GroupWrite { truncate, hard_state, ..GroupWrite::new(GroupId(group)) });
            }
            Step::Reset { group, behind } => self.reset(group, behind),
            Step::Recreate { group } => {
                self.write(GroupWrite { destroy: true, ..GroupWrite::new(GroupId(group)) });
                self.create(group);
            }
            Step::Collect => {
                self.engine.collect().unwrap();
            }
            Step::Reopen => self.reopen(),
        }
    }

    fn reset(&mut self, group: u64, behind: i64) {
        let view = &self.views[&group];
        let index = view.last().saturating_add_signed(behind).max(view.truncated().index + 1);
        self.term += 1;
        let at = Truncated { index, term: self.term };
        let members = Members::bootstrap(index, &[(PEER, StoreId(6)), (PeerId(12), StoreId(7))]);
        let intent = Install { at, members: members.clone() };
        self.write(GroupWrite { install: Some(intent), ..GroupWrite::new(GroupId(group)) });
        self.write(GroupWrite {
            peer: Some(PEER),
            members: Some(members),
            hard_state: Some(HardState { term: self.term, commit: index, ..HardState::default() }),
            truncate: Some(at),
            reset: true,
            ..GroupWrite::new(GroupId(group))
        });
    }

    fn append(&mut self, group: u64, overwrite: u64, count: u64, bytes: usize) {
        let view = &self.views[&group];
        let first = (view.last() + 1 - overwrite.min(view.len())).max(view.truncated().index + 1);
        self.term += u64::from(overwrite > 0);
        let term = self.term;
        let entry = |index| Entry { index, term, data: vec![index as u8; bytes].into(), ..Entry::default() };
        let hard_state = HardState { term, commit: view.truncated().index, ..HardState::default() };
        self.write(GroupWrite {
            entries: (first..first + count).map(entry).collect(),
            hard_state: Some(hard_state),
            ..GroupWrite::new(GroupId(group))
        });
    }

    fn reopen(&mut self) {
        self.close();
        self.engine = Arc::new(open(&self.dir));
        self.resume();
    }

    /// Leaves another log in the place of this one.
    fn close(&mut self) {
        self.views.clear();
        let placeholder = tempfile::tempdir().unwrap();
        self.engine = Arc::new(open(placeholder.path()));
    }

    /// Takes the groups of an engine that was just opened, which must be those of the model.
    fn resume(&mut self) {
        for group in GROUPS {
            let stored = self.engine.load(GroupId(group)).unwrap().unwrap();
            assert_eq!(stored, self.model.load(GroupId(group)).unwrap().unwrap());
            let state = AppliedState { index: stored.truncated.index, term: stored.truncated.term };
            let recovered = recover(GroupId(group), self.engine.clone(), stored, &state).unwrap();
            assert_eq!(recovered.peer, PEER);
            self.views.insert(group, recovered.log);
        }
    }

    /// Compares everything Raft may ask for.
    fn compare(&self) {
        for group in GROUPS {
            let (id, view) = (GroupId(group), &self.views[&group]);
            let stored = self.model.load(id).unwrap().unwrap();
            let (first, last) =
                stored.entries.unwrap_or((stored.truncated.index + 1, stored.truncated.index));
            assert_eq!(view.first_index().unwrap(), first);
            assert_eq!(view.last_index().unwrap(), last);
            let state = view.initial_state().unwrap();
            assert_eq!(
                (&state.hard_state.term, &state.conf_state),
                (&stored.hard_state.term, &stored.members.conf_state)
            );
            if last < first {
                continue;
            }
            let expected = self.model.read(id, first, last + 1, u64::MAX).unwrap();
            let context = || GetEntriesContext::empty(false);
            assert_eq!(view.entries(first, last + 1, None, context()).unwrap(), expected);
            assert_eq!(self.engine.read(id, first, last + 1, u64::MAX).unwrap(), expected);
            for entry in &expected {
                assert_eq!(view.term(entry.index).unwrap(), entry.term);
            }
            assert!(view.term(stored.truncated.index.wrapping_sub(1)).is_err());
            assert!(view.term(last + 1).is_err());
            assert!(view.entries(first, last + 2, None, context()).is_err());
            let one = view.entries(first, last + 1, Some(0), context()).unwrap();
            assert_eq!(one, expected[..1]);
        }
    }
}

#[test]
fn any_history_of_writes_and_reopenings_reads_as_its_model() {
    let result = runner(24).run(&steps(), |steps| {
        // A thread for each case: the engine caches blocks by thread.
        thread::spawn(move || {
            let dir = tempfile::tempdir().unwrap();
            let mut pair = Pair::new(dir.path());
            for step in &steps {
                pair.step(step);
                pair.compare();
            }
            pair.reopen();
            pair.compare();
        })
        .join()
        .map_err(|panic| TestCaseError::fail(crate::panic::message(panic.as_ref())))
    });
    result.unwrap();
}

/// A directory with several files in both queues and three groups, closed.
fn small_log(dir: &Path) {
    small_history(&mut Pair::new(dir));
}

fn small_history(pair: &mut Pair) {
    for round in 0..24 {
        let group = 1 + round % 3;
        pair.step(&Step::Append { group, overwrite: round % 2, count: 3, bytes: 100 });
        if round % 6 == 5 {
            pair.step(&Step::Compact { group, eighths: 7 });
            pair.step(&Step::Collect);
        }
    }
}

fn log_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|item| item.unwrap().path()).collect();
    files.retain(|file| fs::metadata(file).unwrap().len() > 0);
    files.sort();
    files
}

#[test]
fn every_flipped_byte_of_the_log_is_refused_or_reported() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let files = log_files(dir.path());
    assert!(files.iter().any(|file| file.extension().is_some_and(|name| name == "rewrite")));
    assert!(files.len() >= 4, "{files:?}");
    let (mut refused, mut reported) = (0, 0);
    for file in &files {
        let number = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let is_last = !files.iter().any(|other| other.extension() == file.extension() && other > file);
        let mut bytes = fs::read(file).unwrap();
        for position in 0..bytes.len() {
            bytes[position] ^= 1 << (position % 8);
            match check_bytes(file, &bytes, number, is_last) {
                Err(_) => refused += 1,
                Ok(Some(_)) => reported += 1,
                Ok(None) => panic!("byte {position} of {} went unnoticed", file.display()),
            }
            bytes[position] ^= 1 << (position % 8);
        }
        assert_eq!(check_bytes(file, &bytes, number, is_last).unwrap(), None);
    }
    println!("refused={refused} reported={reported}");
    assert!(reported > 0 && refused > 10 * reported, "only a last record may look torn");
}

#[test]
fn a_file_missing_between_others_is_named() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let appended: Vec<_> =
        log_files(dir.path()).into_iter().filter(|file| file.extension().unwrap() == "raftlog").collect();
    assert!(appended.len() >= 3, "{appended:?}");
    fs::remove_file(&appended[1]).unwrap();
    let error = scan(dir.path()).unwrap_err();
    assert!(matches!(&error, crate::LogError::MissingFile { file } if *file == appended[1]), "{error}");
}
