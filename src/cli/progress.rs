//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::{count, note};

/// How often progress is told where no bar can be drawn.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Steps of a bar that shows a share.
const SHARE_STEPS: u64 = 1_000;

/// One piece of work under way. Dropping it takes the bar away.
pub struct Progress {
    bar: ProgressBar,
    label: String,
    told: parking_lot::Mutex<Instant>,
}

impl Progress {
    /// Work that is counted in rows.
    #[must_use]
    pub fn rows(label: &str, rows: u64) -> Self {
        Self::with(label, rows, "{msg:>12} {bar:24} {human_pos}/{human_len} rows {per_sec} {eta} left")
    }

    /// Work that knows the share of it that is done.
    #[must_use]
    pub fn indexing(label: &str) -> Self {
        Self::with(label, SHARE_STEPS, "{msg:>12} {bar:24} {percent} % indexed {eta} left")
    }

    /// Files that are read before the work can go on as fast as it will.
    #[must_use]
    pub fn reading(label: &str) -> Self {
        Self::with(label, SHARE_STEPS, "{msg:>12} {bar:24} {percent} % of the files read {eta} left")
    }

    /// Lists, whose number [`Progress::at_list`] brings.
    #[must_use]
    pub fn lists(label: &str) -> Self {
        Self::with(label, 0, "{msg:>12} {bar:24} {human_pos}/{human_len} lists {per_sec} {eta} left")
    }

    /// Files of lists that are written one after the other.
    #[must_use]
    pub fn files(label: &str, files: u16) -> Self {
        Self::with(label, u64::from(files), "{msg:>12} {bar:24} {pos}/{len} files {prefix} {eta} left")
    }

    /// Passes over the data.
    #[must_use]
    pub fn sweeps(label: &str, sweeps: u32) -> Self {
        Self::with(label, u64::from(sweeps), "{msg:>12} {bar:24} sweep {pos}/{len} {eta} left")
    }

    fn with(label: &str, length: u64, template: &str) -> Self {
        let bar = ProgressBar::new(length).with_message(label.to_owned());
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        // The first sweep may take long: a bar that stands at nothing says that work has begun.
        bar.tick();
        Self { bar, label: label.to_owned(), told: parking_lot::Mutex::new(Instant::now()) }
    }

    /// So many rows are done.
    pub fn at_row(&self, rows: u64) {
        self.bar.set_position(rows);
        let total = self.bar.length().unwrap_or(rows);
        self.tell(|| {
            format!("{} of {} rows, {} rows/s", count(rows), count(total), count(self.bar.per_sec() as u64))
        });
    }

    /// This share is done, 0 to 1.
    pub fn at_share(&self, share: f64) {
        self.bar.set_position((share * SHARE_STEPS as f64) as u64);
        self.tell(|| format!("{:.0} % indexed", 100.0 * share));
    }

    /// This share of the files is read, 0 to 1.
    pub fn at_read(&self, share: f64) {
        self.bar.set_position((share * SHARE_STEPS as f64) as u64);
        self.tell(|| format!("{:.0} % of the files read", 100.0 * share));
    }

    /// So many sweeps are done.
    pub fn at_sweep(&self, sweep: u32) {
        self.bar.set_position(u64::from(sweep));
        let total = self.bar.length().unwrap_or_default();
        self.tell(|| format!("sweep {sweep} of {total}"));
    }

    /// So many files are done.
    pub fn at_file(&self, files: u16) {
        self.bar.set_position(u64::from(files));
    }

    /// So many lists are made, for files of them.
    pub fn made(&self, lists: u64) {
        let rate = lists as f64 / self.bar.elapsed().as_secs_f64().max(1e-3);
        let made = format!("{} lists, {} lists/s", count(lists), count(rate as u64));
        let (files, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
        self.bar.set_prefix(made.clone());
        self.tell(|| format!("{files} of {total} files, {made}"));
    }

    /// So many lists of `total` are done.
    pub fn at_list(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.tell(|| format!("{} of {} lists", count(done), count(total)));
    }

    fn tell(&self, state: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            return;
        }
        let mut told = self.told.lock();
        if told.elapsed() >= TELL_EVERY {
            *told = Instant::now();
            note(&format!("{}: {}, {} s left", self.label, state(), self.bar.eta().as_secs()));
        }
    }

    /// A line above the bar.
    pub fn note(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
