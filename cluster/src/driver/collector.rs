//! The thread that frees the log's old files, when the Raft thread has written enough to make it worth
//! a look.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::alarm::Bell;
use super::mailbox::Event;
use crate::env;
use crate::error::LogError;
use crate::log::engine_log::EngineLog;
use crate::metrics::Metrics;

/// The collecting thread. It ends when the trigger is dropped.
pub(crate) struct Collector {
    pub thread: JoinHandle<()>,
    /// Holds one trigger; more while it is taken mean the same.
    pub trigger: Sender<()>,
}

impl Collector {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, when it cannot be started.
    pub fn start(log: Arc<EngineLog>, metrics: Arc<Metrics>, events: Bell<Event>) -> io::Result<Self> {
        let (trigger, triggers) = bounded(1);
        let body = move || {
            for () in triggers {
                metrics.collections.fetch_add(1, Ordering::Relaxed);
                let news = match log.collect() {
                    Ok(groups) if groups.is_empty() => continue,
                    Ok(groups) => Event::Compact(groups),
                    Err(LogError::SyncFailed { detail }) => Event::LogFailed(detail),
                    Err(error) => {
                        // Old files stay for the next run; if the disk fills, writes are refused.
                        metrics.collection_failures.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(%error, "log files could not be collected");
                        continue;
                    }
                };
                if events.send(news).is_err() {
                    break;
                }
            }
        };
        Ok(Self { thread: env::spawn("segue-log-gc", body)?, trigger })
    }
}
