//! One load: a reading thread, a sending thread, progress of both.

use std::path::Path;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::backend::Backend;
use super::progress::Progress;
use crate::api::Batch;
use crate::error::{Error, Result};
use crate::ingest::{RowError, RowOutcome};
use crate::node::{LoadKind, LoadProgress};
use crate::pipeline::request::WriteToken;

/// Batches read ahead of the one being sent.
const AHEAD: usize = 4;

/// A load to be done.
pub struct Job<'a> {
    /// Into which database.
    pub backend: &'a Backend,
    /// The file, for messages.
    pub path: &'a Path,
    /// The load's name.
    pub load_id: String,
    /// What is loaded, for people.
    pub label: String,
    /// What is loaded.
    pub kind: LoadKind,
    /// Rows of the file.
    pub total_rows: u64,
    /// Bad rows to leave out.
    pub bad_rows_max: u64,
    /// Columns of the file that are not read.
    pub unread_columns: Vec<String>,
}

/// What a load did.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// The load's name.
    pub load_id: String,
    /// What was loaded, for people.
    pub label: String,
    /// Good rows of the file.
    pub rows: u64,
    /// Of these, rows that were there from an earlier attempt.
    pub rows_before: u64,
    /// Rows left out.
    pub bad_rows: u64,
    /// Columns that were not read: nothing knows their names.
    pub unread_columns: Vec<String>,
    /// Whether the load was finished before.
    pub was_finished: bool,
    /// Time spent sending.
    pub sending_s: f64,
    /// Time spent sealing and indexing.
    pub indexing_s: f64,
    /// What later reads may demand to see.
    pub token: WriteToken,
}

/// Some rows of the file in order: the good ones, numbered among the good ones, and the bad ones.
struct Chunk<R> {
    first: u64,
    good: Vec<R>,
    bad: Vec<RowError>,
}

impl Job<'_> {
    /// Reads, sends, and finishes.
    ///
    /// # Errors
    /// Those of reading and of the database; `InvalidField` (`file`) when more rows are bad than allowed.
    pub fn run<R: Send>(
        self,
        next: impl FnMut() -> Result<Vec<RowOutcome<R>>> + Send,
        to_batch: impl Fn(Vec<R>) -> Batch,
    ) -> Result<Summary> {
        let done = self.backend.load_progress(&self.load_id)?;
        let mut summary = Summary {
            load_id: self.load_id.clone(),
            label: self.label.clone(),
            rows: done.rows_done,
            rows_before: done.rows_done,
            was_finished: done.finished,
            unread_columns: self.unread_columns.clone(),
            ..Summary::default()
        };
        if done.finished {
            return Ok(summary);
        }
        let start = Instant::now();
        let (sender, receiver) = bounded(AHEAD);
        std::thread::scope(|scope| {
            // The reader ends by itself when the receiver is gone.
            scope.spawn(move || read(next, &sender));
            self.send(done, receiver, to_batch, &mut summary)
        })?;
        summary.sending_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        summary.token = self.finish()?;
        summary.indexing_s = start.elapsed().as_secs_f64();
        Ok(summary)
    }

    fn send<R>(
        &self,
        done: LoadProgress,
        chunks: Receiver<Result<Chunk<R>>>,
        to_batch: impl Fn(Vec<R>) -> Batch,
        summary: &mut Summary,
    ) -> Result<()> {
        let bar = Progress::rows(&self.label, self.total_rows);
        let mut loading = self.backend.loading(&self.load_id, done);
        for chunk in chunks {
            let mut chunk = chunk?;
            self.reject(&chunk.bad, &bar, summary)?;
            let end = chunk.first + chunk.good.len() as u64;
            let known = done.rows_done.clamp(chunk.first, end) - chunk.first;
            let fresh = chunk.good.split_off(usize::try_from(known).unwrap_or(chunk.good.len()));
            if !fresh.is_empty() {
                loading.push(chunk.first + known, to_batch(fresh))?;
            }
            summary.rows = end;
            bar.at_row(end + summary.bad_rows);
        }
        loading.flush().map(drop)
    }

    /// Tells every bad row; stops when there are too many.
    fn reject(&self, bad: &[RowError], bar: &Progress, summary: &mut Summary) -> Result<()> {
        for row in bad {
            bar.note(&format!("{}: {row}", self.path.display()));
            summary.bad_rows += 1;
            if summary.bad_rows > self.bad_rows_max {
                let reason = format!(
                    "has more bad rows than --max-bad-rows allows; correct them or allow more. path=`{}`, max_bad_rows=`{}`",
                    self.path.display(),
                    self.bad_rows_max
                );
                return Err(Error::invalid("file", reason));
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<WriteToken> {
        let bar = Progress::indexing(&self.label);
        let (_, token) = self.backend.finish_load(&self.load_id, self.kind, &|share| bar.at_share(share))?;
        Ok(token)
    }
}

fn read<R>(mut next: impl FnMut() -> Result<Vec<RowOutcome<R>>>, sender: &Sender<Result<Chunk<R>>>) {
    let mut first = 0;
    loop {
        let rows = match next() {
            Ok(rows) if rows.is_empty() => return,
            Ok(rows) => rows,
            Err(error) => {
                // Nobody listens any more when sending has failed; its error is the one that is told.
                let _ = sender.send(Err(error));
                return;
            }
        };
        let mut chunk = Chunk { first, good: Vec::with_capacity(rows.len()), bad: Vec::new() };
        for (_, outcome) in rows {
            match outcome {
                Ok(row) => chunk.good.push(row),
                Err(bad) => chunk.bad.push(bad),
            }
        }
        first += chunk.good.len() as u64;
        if sender.send(Ok(chunk)).is_err() {
            return;
        }
    }
}
