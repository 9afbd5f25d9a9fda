//! Checks a shard's files and rows: every checksum, and every row against the rows and tracks it names.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use segue_storage_format::{Damage, VerifyReport};

use super::{
    decisions,
    engine::{self, Snapshot},
    error::{Result, UserShardError},
    history::decode_part,
    keys,
    rows::{
        GenerationRow, PendingEvent, ShardRow, UserRecord, decode_count, decode_load, decode_search,
        decode_vector,
    },
    served::decode_served,
    shard::UserShard,
    split::SplitState,
    value::open,
    vectors,
};
use crate::types::{Slot, TrackRef, UserId, slot_of};

/// Problems that are told; more say no more.
const PROBLEMS_MAX: usize = 1_000;

type Problem = std::result::Result<(), String>;

impl UserShard {
    /// Checks the files in `dir`, which must not be open, without changing them.
    pub fn check_files(dir: &Path, report: &mut VerifyReport) {
        match engine::tree_of(dir) {
            Ok(tree) => engine::check_tree(&tree, report),
            Err(error) => {
                let (file, what) = (dir.to_path_buf(), error.to_string());
                report.damage.push(Damage { file, offset: None, what });
            }
        }
    }

    /// The tables of the shard in `dir` with their checksums; none when that cannot be read.
    #[must_use]
    pub fn tables(dir: &Path) -> Vec<(u64, u128)> {
        engine::tree_of(dir).map(|tree| engine::tables(&tree)).unwrap_or_default()
    }

    /// Makes a shard in `target` that has the rows of the one in `dir` and shares its files; opening it and writing to it
    /// leaves `dir` as it is.
    ///
    /// # Errors
    /// I/O.
    pub fn overlay(dir: &Path, target: &Path) -> Result<()> {
        engine::overlay(&engine::tree_of(dir)?, &target.join("tree"))
            .map_err(|error| UserShardError::io("prepare a copy of the user store", target, error))
    }

    /// Checks every row: that it can be read, that it is where it belongs (listeners of other slots than the shard's own,
    /// `is_own`, belong to another shard), that the tracks it names exist (`exists`), that counts are right. Says what is
    /// wrong, row by row.
    ///
    /// # Errors
    /// Damage below the rows, I/O.
    pub fn check_rows(
        &self,
        exists: &dyn Fn(TrackRef) -> bool,
        is_own: &dyn Fn(Slot) -> bool,
    ) -> Result<Vec<String>> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let split = SplitState::read(&snapshot)?;
        let generations = vectors::generations(&snapshot)?;
        let generations = generations.into_iter().map(|(space, id, row)| ((space.to_string(), id), row));
        let mut check = Check {
            snapshot: &snapshot,
            exists,
            is_own,
            is_importing: split.is_importing(),
            generations: generations.collect(),
            users: 0,
            vectors: BTreeMap::new(),
        };
        let mut problems = Vec::new();
        snapshot.scan_prefix(&[], |key, value| {
            // Rows of slots that were given away mean nothing, and go a few at a time.
            let is_gone = keys::slot_of_row(key).is_some_and(|slot| slot.0 >= split.end);
            if !is_gone && let Err(what) = check.row(key, value) {
                problems.push(format!("{}: {what}", keys::describe(key)));
            }
            Ok(if problems.len() < PROBLEMS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if problems.is_empty() {
            check.totals(self.row(), &mut problems);
        }
        Ok(problems)
    }
}

struct Check<'a> {
    snapshot: &'a Snapshot<'a>,
    exists: &'a dyn Fn(TrackRef) -> bool,
    is_own: &'a dyn Fn(Slot) -> bool,
    /// Rows are being taken in: those that belong together need not be there together.
    is_importing: bool,
    generations: BTreeMap<(String, u32), GenerationRow>,
    users: u64,
    /// Vectors found, by space and generation.
    vectors: BTreeMap<(String, u32), u64>,
}

impl Check<'_> {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Problem {
        match *key.first().ok_or("key is empty")? {
            first if first < keys::USERS_END[0] => self.user_row(key, value),
            keys::WAITING => self.waiting(key, value),
            keys::VECTOR => self.vector(key, value),
            keys::DAY_PLAYS | keys::TOTAL_PLAYS => {
                decode_count(value)?;
                self.track(keys::track_suffix(key).ok_or("key is malformed")?)
            }
            first if [first] == keys::SHARD => Ok(ShardRow::decode(value).map(drop)?),
            // What the bytes mean is for the pipeline to say.
            first if [first] == keys::STATISTICS => Ok(open(value).map(drop)?),
            keys::LOAD => Ok(decode_load(value).map(drop)?),
            first if [first] == keys::SPLIT => Ok(SplitState::decode(value).map(drop)?),
            keys::NOTE => keys::noted_key(key).map(drop).ok_or_else(|| "names no row".to_owned()),
            // Read when the check began.
            keys::GENERATION => Ok(()),
            _ => Err("row of an unknown kind".to_owned()),
        }
    }

    fn user_row(&mut self, key: &[u8], value: &[u8]) -> Problem {
        let user = keys::user_id_of(key).ok_or("key names no user")?;
        let prefix = keys::user(&user);
        if !key.starts_with(&prefix) {
            return Err(format!(
                "row lies in another slot than its user. slot=`{}`",
                slot_of(user.as_str()).0
            ));
        }
        self.own(&user)?;
        match *key.get(prefix.len()).ok_or("key ends early")? {
            keys::RECORD => {
                self.users += 1;
                let record = UserRecord::decode(value)?;
                if record.user.user_id != user {
                    return Err(format!("record of another user. found=`{}`", record.user.user_id));
                }
                record.hidden.iter().try_for_each(|(_, track)| self.track(*track))
            }
            keys::HISTORY => {
                keys::history_day(key).ok_or("key is malformed")?;
                let (_, mut rows) = decode_part(value)?;
                rows.try_for_each(|row| row?.track.map_or(Ok(()), |track| self.track(track)))
            }
            keys::SERVED => {
                keys::timed_suffix(key).ok_or("key is malformed")?;
                decode_served(value)?.list.tracks.iter().try_for_each(|served| self.track(served.track))
            }
            keys::SEARCH => Ok(decode_search(value).map(drop)?),
            keys::DECISION => Ok(decisions::decode(value).map(drop)?),
            keys::PENDING => {
                PendingEvent::decode(value)?;
                let track = keys::pending_track(&prefix, key).ok_or("key is malformed")?;
                let waiting =
                    self.snapshot.get(&keys::waiting(track, &prefix)).map_err(|error| error.to_string())?;
                if self.is_importing {
                    return Ok(());
                }
                waiting.map(drop).ok_or_else(|| "nobody is listed as waiting for its track".to_owned())
            }
            _ => Err("row of an unknown kind".to_owned()),
        }
    }

    fn own(&self, user: &UserId) -> Problem {
        let slot = slot_of(user.as_str());
        if (self.is_own)(slot) {
            Ok(())
        } else {
            Err(format!("belongs to another user shard. slot=`{slot}`"))
        }
    }

    fn track(&self, track: TrackRef) -> Problem {
        if (self.exists)(track) {
            return Ok(());
        }
        let (shard, ordinal) = (track.shard.0, track.ordinal.0);
        Err(format!("names a track that does not exist. shard=`{shard}`, ordinal=`{ordinal}`"))
    }

    fn waiting(&self, key: &[u8], value: &[u8]) -> Problem {
        let track = keys::waiting_track(key).ok_or("key is malformed")?;
        let prefix = keys::waiting_user(&keys::waiting_of_track(track.as_str().as_bytes()), key);
        let prefix = prefix.filter(|prefix| keys::user_id_of(prefix).is_some()).ok_or("key names no user")?;
        if !value.is_empty() {
            return Err("has a value".to_owned());
        }
        let mut found = false;
        let scan = self.snapshot.scan_prefix(&keys::pending_of_track(&prefix, &track), |_, _| {
            found = true;
            Ok(ControlFlow::Break(()))
        });
        scan.map_err(|error| error.to_string())?;
        if found || self.is_importing {
            Ok(())
        } else {
            Err("no event of the user waits for the track".to_owned())
        }
    }

    fn vector(&mut self, key: &[u8], value: &[u8]) -> Problem {
        let (space, generation) = keys::vector_generation(key).ok_or("key is malformed")?;
        let id = (space, generation);
        let row = self.generations.get(&id).ok_or("vector of a generation that there is not")?;
        if row.dropped {
            // Removed bit by bit; nobody reads it.
            return Ok(());
        }
        let user = keys::vectors_user(key).ok_or("key names no user")?;
        self.own(&user)?;
        let dim = decode_vector(value)?.len();
        if dim as u64 != u64::from(row.dim) {
            return Err(format!("vector has a wrong dimension. found=`{dim}`, expected=`{}`", row.dim));
        }
        *self.vectors.entry(id).or_default() += 1;
        Ok(())
    }

    fn totals(&self, shard: ShardRow, problems: &mut Vec<String>) {
        if shard.users != self.users {
            problems.push(format!("shard: counts `{}` users and has `{}`", shard.users, self.users));
        }
        for ((space, generation), row) in self.generations.iter().filter(|(_, row)| !row.dropped) {
            let found = self.vectors.get(&(space.clone(), *generation)).copied().unwrap_or(0);
            if row.rows != found {
                problems.push(format!(
                    "generation of {space}, {generation}: counts `{}` vectors and has `{found}`",
                    row.rows
                ));
            }
        }
    }
}
