//! Progress of a build, and the wish to stop it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::IndexError;

/// Receives progress and carries the cancel flag of one build.
#[derive(Clone, Copy, Default)]
pub struct Progress<'a> {
    callback: Option<&'a (dyn Fn(usize, usize) + Sync)>,
    cancel: Option<&'a AtomicBool>,
}

impl<'a> Progress<'a> {
    /// Reports `(done, total)` steps to `callback` now and then, from one thread at a time.
    pub fn new(callback: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        Self { callback: Some(callback), cancel: None }
    }

    /// Makes the build stop soon after `flag` becomes true.
    pub fn with_cancel(mut self, flag: &'a AtomicBool) -> Self {
        self.cancel = Some(flag);
        self
    }

    /// Reports `done` of `total` steps.
    ///
    /// # Errors
    /// [`IndexError::Cancelled`] when the caller asked to stop.
    pub fn report(&self, done: usize, total: usize) -> Result<(), IndexError> {
        if self.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(IndexError::Cancelled);
        }
        if let Some(callback) = self.callback {
            callback(done, total);
        }
        Ok(())
    }
}
