//! The entries of a split, applied: a parent's and a child's side.

use std::collections::BTreeMap;

use super::{
    apply::Entry,
    command::UserReply,
    error::Result,
    garbage::Garbage,
    keys,
    rows::{GenerationRow, decode_vector},
    split::{Import, ImportPlace, Parting, PartingStage, SplitRole, SplitState, done, goes_with, refused},
    split_op::SplitOp,
    value::damaged,
};
use crate::types::{SLOTS, SpaceName};

impl Entry<'_> {
    /// Applies a step of a split. Each may come again, and does nothing then.
    pub(super) fn run_split(&mut self, step: SplitOp, garbage: &mut Garbage) -> Result<UserReply> {
        match step {
            SplitOp::BeginSplit { child, at } => Ok(self.begin_split(child, at)),
            SplitOp::FreezeSplit { child } => Ok(self.freeze_split(child)),
            SplitOp::HandOver { child, users, vectors } => Ok(self.hand_over(child, users, vectors)),
            SplitOp::ReleaseSplit { child } => self.release_split(child, garbage),
            SplitOp::BeginImport { parent, end } => Ok(self.begin_import(parent, end)),
            SplitOp::Import { step, rows, place } => self.import(step, rows, place, garbage),
            SplitOp::EndImport { step, newest_day } => Ok(self.end_import(step, newest_day)),
        }
    }

    fn begin_split(&mut self, child: u16, at: u16) -> UserReply {
        let split = &self.split;
        match &split.role {
            SplitRole::Parent(parting) if parting.child == child => return done(false),
            SplitRole::Whole if split.given_to == child && split.end < SLOTS => return done(false),
            SplitRole::Whole if at > 0 && at < split.end => {}
            SplitRole::Whole => return refused("these slots are not here", child),
            SplitRole::Parent(_) | SplitRole::Child(_) => {
                return refused("another split is under way", child);
            }
        }
        let parting = Parting { child, at, since: self.row.index, stage: PartingStage::Noting };
        self.set_split(SplitState { role: SplitRole::Parent(parting), ..SplitState::clone(&self.split) })
    }

    fn freeze_split(&mut self, child: u16) -> UserReply {
        self.set_stage(child, |stage| (*stage == PartingStage::Noting).then_some(PartingStage::Frozen))
    }

    fn hand_over(&mut self, child: u16, users: u64, vectors: Vec<(SpaceName, u32, u64)>) -> UserReply {
        let handed = PartingStage::HandedOver { users, vectors };
        match self.split.parting_with(child).map(|parting| &parting.stage) {
            Some(PartingStage::Noting) => refused("the slots still take writes", child),
            _ => self.set_stage(child, |stage| (*stage == PartingStage::Frozen).then_some(handed)),
        }
    }

    /// Rows of the slots that were given away mean nothing from here on.
    fn release_split(&mut self, child: u16, garbage: &mut Garbage) -> Result<UserReply> {
        let Some(Parting { at, stage, .. }) = self.split.parting_with(child).cloned() else {
            return Ok(self.nothing_to_do(child));
        };
        let PartingStage::HandedOver { users, vectors } = stage else {
            return Ok(refused("the child does not have everything", child));
        };
        self.row.users = self.row.users.saturating_sub(users);
        let generations = self.generations()?;
        for (space, generation, rows) in &vectors {
            let known = generations.iter().find(|(of, number, _)| of == space && number == generation);
            if let Some((.., row)) = known {
                let left = GenerationRow { rows: row.rows.saturating_sub(*rows), ..*row };
                self.writes.put(keys::generation(space, *generation), left.encode());
            }
        }
        garbage.give_up_slots(at, &generations, self.row.index);
        let split =
            SplitState { end: at, given_to: child, role: SplitRole::Whole, ..SplitState::clone(&self.split) };
        Ok(self.set_split(split))
    }

    fn begin_import(&mut self, parent: u16, end: u16) -> UserReply {
        let split = &self.split;
        if split.was_child || split.is_importing() {
            return done(false);
        }
        if **split != SplitState::default() || self.row.users > 0 || end > SLOTS {
            return UserReply::Refused(format!("the shard has rows of its own. parent=`users-{parent}`"));
        }
        let import = Import { parent, step: 0, place: ImportPlace::Rows(Vec::new()) };
        self.set_split(SplitState { end, role: SplitRole::Child(import), ..SplitState::default() })
    }

    fn import(
        &mut self,
        step: u64,
        rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        place: ImportPlace,
        garbage: &mut Garbage,
    ) -> Result<UserReply> {
        let SplitRole::Child(import) = &self.split.role else { return Ok(done(false)) };
        if import.step != step {
            return Ok(done(false));
        }
        let import = Import { parent: import.parent, step: step + 1, place };
        let role = SplitRole::Child(import);
        let mut importing = Importing { entry: self, generations: BTreeMap::new() };
        for (key, value) in rows {
            importing.row(key, value, garbage)?;
        }
        for (key, row) in importing.generations {
            self.writes.put(key, row.encode());
        }
        Ok(self.set_split(SplitState { role, ..SplitState::clone(&self.split) }))
    }

    fn end_import(&mut self, step: u64, newest_day: Option<i32>) -> UserReply {
        match &self.split.role {
            SplitRole::Child(import) if import.step == step => {}
            _ => return done(false),
        }
        self.row.newest_day = self.row.newest_day.max(newest_day);
        let whole = SplitState { was_child: true, role: SplitRole::Whole, ..SplitState::clone(&self.split) };
        self.set_split(whole)
    }

    fn set_stage(
        &mut self,
        child: u16,
        next: impl FnOnce(&PartingStage) -> Option<PartingStage>,
    ) -> UserReply {
        let Some(parting) = self.split.parting_with(child) else { return self.nothing_to_do(child) };
        let Some(stage) = next(&parting.stage) else { return done(false) };
        let role = SplitRole::Parent(Parting { stage, ..parting.clone() });
        self.set_split(SplitState { role, ..SplitState::clone(&self.split) })
    }

    /// The answer to a step of a split that is over, or of one that this shard is not in.
    fn nothing_to_do(&self, child: u16) -> UserReply {
        let is_over = self.split.given_to == child && self.split.end < SLOTS;
        if is_over { done(false) } else { refused("the shard gives no slots to this child", child) }
    }

    fn set_split(&mut self, split: SplitState) -> UserReply {
        self.writes.put(keys::SPLIT.to_vec(), split.encode());
        self.split = split.into();
        done(true)
    }

    /// Notes which keys an entry has changed that are given away.
    pub(super) fn note_changes(&mut self) {
        let Some(range) = self.split.noted() else { return };
        let changed = self.writes.keys().filter(|key| goes_with(key, range));
        let notes: Vec<Vec<u8>> = changed.map(|key| keys::note(self.row.index, key)).collect();
        for note in notes {
            self.writes.put(note, Vec::new());
        }
    }
}

/// Rows of one import; counts are those of the rows that are here.
struct Importing<'a, 'b> {
    entry: &'a mut Entry<'b>,
    generations: BTreeMap<Vec<u8>, GenerationRow>,
}

impl Importing<'_, '_> {
    fn row(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, garbage: &mut Garbage) -> Result<()> {
        match key.first().copied() {
            Some(keys::GENERATION) => return self.generation_row(key, value.as_deref(), garbage),
            Some(keys::VECTOR) if !self.count_vector(&key, value.as_deref())? => return Ok(()),
            Some(keys::VECTOR) => {}
            Some(first) if first < keys::USERS_END[0] => {
                self.entry.touched.users.extend(keys::user_id_of(&key));
                if keys::is_record(&key) {
                    let users = &mut self.entry.row.users;
                    match (self.entry.engine.get(&key)?.is_some(), value.is_some()) {
                        (false, true) => *users += 1,
                        (true, false) => *users = users.saturating_sub(1),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        match value {
            Some(value) => self.entry.writes.put(key, value),
            None => self.entry.writes.delete(key),
        }
        Ok(())
    }

    /// Counts a vector that comes or goes; whether it is to be kept.
    fn count_vector(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<bool> {
        let malformed = || damaged(key, "key is malformed");
        let (space, generation) = keys::vector_generation(key).ok_or_else(malformed)?;
        let space = SpaceName::new(space).map_err(|_| malformed())?;
        let dim = match value {
            Some(value) => decode_vector(value).map_err(|what| damaged(key, what))?.len(),
            None => 0,
        };
        let was_there = self.entry.engine.get(key)?.is_some();
        let row = self.generation(keys::generation(&space, generation), dim)?;
        if row.dropped {
            return Ok(false);
        }
        match (was_there, value.is_some()) {
            (false, true) => row.rows += 1,
            (true, false) => row.rows = row.rows.saturating_sub(1),
            _ => {}
        }
        Ok(true)
    }

    /// What the parent says of a generation; how many vectors there are is for this shard to say.
    fn generation_row(&mut self, key: Vec<u8>, value: Option<&[u8]>, garbage: &mut Garbage) -> Result<()> {
        // A generation's row never goes.
        let Some(value) = value else { return Ok(()) };
        let told = GenerationRow::decode(value).map_err(|what| damaged(&key, what))?;
        let (space, number) =
            keys::parse_generation(&key).ok_or_else(|| damaged(&key, "key is malformed"))?;
        let row = self.generation(key, told.dim as usize)?;
        let is_new = told.dropped && !row.dropped;
        *row = GenerationRow { rows: if told.dropped { 0 } else { row.rows }, ..told };
        if is_new {
            garbage.drop_generation(&space, number);
        }
        Ok(())
    }

    fn generation(&mut self, key: Vec<u8>, dim: usize) -> Result<&mut GenerationRow> {
        if !self.generations.contains_key(&key) {
            let stored = self.entry.engine.get(&key)?;
            let dim = u32::try_from(dim).unwrap_or(u32::MAX);
            let row = stored.map_or(Ok(GenerationRow { dim, rows: 0, dropped: false }), |value| {
                GenerationRow::decode(&value)
            });
            self.generations.insert(key.clone(), row.map_err(|what| damaged(&key, what))?);
        }
        Ok(self.generations.get_mut(&key).expect("just inserted"))
    }
}
