//! Who liked and disliked what, and how much: a sparse matrix with both orders of access.

use std::collections::HashMap;

use super::weight::{EventWeight, WeightParams};
use crate::error::{Error, Result};
use crate::types::{Play, Timestamp};

/// One observed pair, seen from its row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    /// The row of the other side.
    pub(super) other: u32,
    /// Interaction weight of a liked pair, dislike weight of a disliked one; at least 0.
    pub(super) weight: f32,
    /// Whether the pair is liked.
    pub(super) liked: bool,
}

/// Rows of entries, ascending by the other side's row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sparse {
    starts: Vec<usize>,
    entries: Vec<Entry>,
}

impl Sparse {
    pub(super) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn row(&self, row: usize) -> &[Entry] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }

    /// From `(row, entry)` sorted by row.
    fn from_sorted(rows: usize, cells: impl Iterator<Item = (u32, Entry)>) -> Self {
        let mut starts = vec![0; rows + 1];
        let mut entries = Vec::new();
        for (row, entry) in cells {
            starts[row as usize + 1] += 1;
            entries.push(entry);
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        Self { starts, entries }
    }

    fn transposed(&self, rows: usize) -> Self {
        let mut starts = vec![0; rows + 1];
        for entry in &self.entries {
            starts[entry.other as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry { other: 0, weight: 0.0, liked: true }; self.entries.len()];
        for row in 0..self.rows() {
            for entry in self.row(row) {
                let slot = &mut next[entry.other as usize];
                entries[*slot] = Entry { other: row as u32, ..*entry };
                *slot += 1;
            }
        }
        Self { starts, entries }
    }
}

/// Observed pairs of users and items, each with one weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    pub(super) users: Vec<String>,
    pub(super) items: Vec<String>,
    pub(super) by_user: Sparse,
    pub(super) by_item: Sparse,
    pub(super) params: WeightParams,
    pub(super) disliked: usize,
}

impl Interactions {
    /// Weighs listening events. `duration_ms` gives a track's length where it is known.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when no event is left to train on or `params` are wrong.
    pub fn from_plays<'a>(
        plays: impl IntoIterator<Item = &'a Play>,
        duration_ms: impl Fn(&str) -> Option<u32>,
        params: WeightParams,
    ) -> Result<Self> {
        let mut builder = InteractionsBuilder::new(params)?;
        for play in plays {
            builder.add_play(play, duration_ms(play.track_id.as_str()));
        }
        builder.build()
    }

    /// Ids of the users, ascending; row `r` of the model is `users()[r]`.
    #[must_use]
    pub fn users(&self) -> &[String] {
        &self.users
    }

    /// Ids of the items, ascending.
    #[must_use]
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Observed pairs.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.by_user.entries.len()
    }

    /// Observed pairs that are dislikes.
    #[must_use]
    pub fn disliked_pairs(&self) -> usize {
        self.disliked
    }

    /// The pairs that `keep(user row, item row)` keeps. Users and items without any are gone, and the rest is renumbered.
    ///
    /// # Errors
    /// [`Error::InvalidField`] (`plays`) when no liked pair is left.
    pub fn filtered(&self, keep: impl Fn(usize, usize) -> bool) -> Result<Self> {
        let keep = &keep;
        let kept =
            |user: usize| self.by_user.row(user).iter().filter(move |entry| keep(user, entry.other as usize));
        let mut item_used = vec![false; self.items.len()];
        let mut user_used = vec![false; self.users.len()];
        for (user, used) in user_used.iter_mut().enumerate() {
            for entry in kept(user) {
                *used = true;
                item_used[entry.other as usize] = true;
            }
        }
        let (users, user_rows) = renumbered(&self.users, &user_used);
        let (items, item_rows) = renumbered(&self.items, &item_used);
        let cells = (0..self.users.len()).flat_map(|user| {
            let (row, items) = (user_rows[user], &item_rows);
            kept(user).map(move |entry| (row, Entry { other: items[entry.other as usize], ..*entry }))
        });
        Self::new(users, items, cells, self.params)
    }

    /// The pairs of items with at least so many users.
    ///
    /// # Errors
    /// As [`Interactions::filtered`].
    pub fn with_listeners(&self, users_min: usize) -> Result<Self> {
        self.filtered(|_, item| self.by_item.row(item).len() >= users_min)
    }

    /// From pairs in order of user and item row.
    fn new(
        users: Vec<String>,
        items: Vec<String>,
        cells: impl Iterator<Item = (u32, Entry)>,
        params: WeightParams,
    ) -> Result<Self> {
        let by_user = Sparse::from_sorted(users.len(), cells);
        let disliked = by_user.entries.iter().filter(|entry| !entry.liked).count();
        if disliked == by_user.entries.len() {
            return Err(Error::invalid("plays", "nothing to train on: no track was played by anyone"));
        }
        let by_item = by_user.transposed(items.len());
        Ok(Self { users, items, by_user, by_item, params, disliked })
    }

    /// The items a user was observed with: `(item row, weight, liked)`, ascending by row.
    pub fn of_user(&self, user: usize) -> impl Iterator<Item = (usize, f64, bool)> + '_ {
        self.by_user
            .row(user)
            .iter()
            .map(|entry| (entry.other as usize, f64::from(entry.weight), entry.liked))
    }
}

/// The ids in use, and the row each old row has among them.
fn renumbered(ids: &[String], used: &[bool]) -> (Vec<String>, Vec<u32>) {
    let kept = ids.iter().zip(used).filter(|(_, used)| **used).map(|(id, _)| id.clone()).collect();
    let rows = used.iter().scan(0, |next, &used| {
        let row = *next;
        *next += u32::from(used);
        Some(row)
    });
    (kept, rows.collect())
}

/// Gives each id a number in order of arrival.
#[derive(Debug, Default)]
struct Numbers {
    of: HashMap<String, u32>,
}

impl Numbers {
    fn number(&mut self, id: &str) -> u32 {
        if let Some(&number) = self.of.get(id) {
            return number;
        }
        let number = u32::try_from(self.of.len()).expect("fewer than 2^32 ids fit into memory");
        self.of.insert(id.to_owned(), number);
        number
    }

    /// The ids in ascending order, and the place each number has there.
    fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut ids: Vec<(String, u32)> = self.of.into_iter().collect();
        ids.sort_unstable();
        let mut places = vec![0; ids.len()];
        for (place, (_, number)) in (0..).zip(&ids) {
            places[*number as usize] = place;
        }
        (ids.into_iter().map(|(id, _)| id).collect(), places)
    }
}

/// Collects events, counts or pairs and adds up what belongs to one (user, item) pair.
#[derive(Debug)]
pub struct InteractionsBuilder {
    params: WeightParams,
    users: Numbers,
    items: Numbers,
    cells: Vec<(u32, u32, f64, f64)>,
}

impl InteractionsBuilder {
    /// Starts empty.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when `params` are wrong.
    pub fn new(params: WeightParams) -> Result<Self> {
        params.validate()?;
        Ok(Self { params, users: Numbers::default(), items: Numbers::default(), cells: Vec::new() })
    }

    /// Adds one event. One that says nothing (0 ms heard) is left out.
    pub fn add_play(&mut self, play: &Play, duration_ms: Option<u32>) {
        let weight = self.params.weigh(play, duration_ms);
        if !weight.is_silent() {
            self.add(play.user_id.as_str(), play.track_id.as_str(), weight.liked, weight.disliked);
        }
    }

    /// Adds a liked pair whose strength is unknown: its confidence is 1 whatever α is.
    pub fn add_pair(&mut self, user: &str, item: &str) {
        self.add(user, item, 0.0, 0.0);
    }

    /// Adds a liked pair with an interaction weight, at least 0.
    pub fn add_liked(&mut self, user: &str, item: &str, weight: f64) {
        self.add(user, item, weight, 0.0);
    }

    fn add(&mut self, user: &str, item: &str, liked: f64, disliked: f64) {
        let cell = (self.users.number(user), self.items.number(item), liked, disliked);
        self.cells.push(cell);
    }

    /// The matrix. A pair with both likes and dislikes is what weighs more, with that weight; dislikes win only when
    /// they weigh more.
    ///
    /// # Errors
    /// [`Error::InvalidField`] (`plays`) when there is no liked pair.
    pub fn build(self) -> Result<Interactions> {
        let (users, user_places) = self.users.sorted();
        let (items, item_places) = self.items.sorted();
        let mut cells = self.cells;
        for cell in &mut cells {
            cell.0 = user_places[cell.0 as usize];
            cell.1 = item_places[cell.1 as usize];
        }
        // Sums must not depend on the order of the input, hence the weights in the key.
        cells.sort_unstable_by(|a, b| {
            (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)).then(a.3.total_cmp(&b.3))
        });
        let merged = cells.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(|cells| {
            let sums = EventWeight {
                liked: cells.iter().map(|cell| cell.2).sum(),
                disliked: cells.iter().map(|cell| cell.3).sum(),
            };
            let (weight, liked) = sums.verdict();
            (cells[0].0, Entry { other: cells[0].1, weight: weight as f32, liked })
        });
        Interactions::new(users, items, merged, self.params)
    }
}

impl WeightParams {
    /// For counts and pairs, which have no times: nothing decays, and every later event weighs in full.
    #[must_use]
    pub fn timeless() -> Self {
        Self { half_life_days: Self::HALF_LIFE_DAYS_DEFAULT, reference_time: Timestamp(0) }
    }
}
