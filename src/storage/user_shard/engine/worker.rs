//! Background threads of a store: one writes sealed memory to files, one merges files.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Sender, bounded};

/// A thread that runs one job whenever it is woken; wakes during a run are merged into one more run.
#[derive(Debug)]
pub(super) struct Worker {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. `job` must not block for ever: dropping the worker waits for it.
    pub(super) fn start(name: &str, job: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (wake, woken) = bounded::<()>(1);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while woken.recv().is_ok() {
                job();
            }
        })?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// A handle that wakes the thread.
    pub(super) fn waker(&self) -> Waker {
        Waker(self.wake.clone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A job that panicked has already been reported by the panic hook; nothing is left to undo.
            let _ = thread.join();
        }
    }
}

/// Wakes a [`Worker`].
#[derive(Debug, Clone)]
pub(super) struct Waker(Option<Sender<()>>);

impl Waker {
    /// Wakes nothing.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn wake(&self) {
        if let Some(sender) = &self.0 {
            // Full means a wake is already waiting; disconnected means the store is closing.
            let _ = sender.try_send(());
        }
    }
}

/// Keeps both workers of a store; dropped in order, flush first.
#[derive(Debug)]
pub(super) struct Workers {
    pub(super) flush: Worker,
    pub(super) merge: Worker,
}

/// Runs `job` on `shared` in a new worker.
pub(super) fn worker_on<T: Send + Sync + 'static>(
    name: &str,
    shared: &Arc<T>,
    job: fn(&T),
) -> std::io::Result<Worker> {
    let shared = Arc::clone(shared);
    Worker::start(name, move || job(&shared))
}
