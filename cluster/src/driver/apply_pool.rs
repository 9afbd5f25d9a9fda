//! Threads that run state machines, away from the Raft thread.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Sender, unbounded};

use super::alarm::Bell;
use super::mailbox::Event;
use crate::env;
use crate::group::apply::ApplyJob;
use crate::metrics::Metrics;
use crate::net::links::Links;

/// A pool of apply threads. They end when the job sender is dropped, after the jobs they have.
pub(crate) struct ApplyPool {
    pub threads: Vec<JoinHandle<()>>,
    /// Not bounded by a capacity: a group has at most one job under way.
    pub jobs: Sender<ApplyJob>,
}

impl ApplyPool {
    /// Starts `threads` threads that report to `events`, and send answers through `links`.
    ///
    /// # Errors
    /// The operating system's, when a thread cannot be started.
    pub fn start(
        threads: usize,
        events: &Bell<Event>,
        links: &Arc<Links>,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Self> {
        let (jobs, queue) = unbounded::<ApplyJob>();
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (queue, events, links) = (queue.clone(), events.clone(), links.clone());
            let metrics = metrics.clone();
            let body = move || {
                for job in queue {
                    let start = Instant::now();
                    let done = job.run();
                    metrics.apply.record(start.elapsed());
                    // To other nodes, whose proposals were among what was applied.
                    links.send_answers();
                    // Without a Raft thread the node is stopping: the machine is dropped with the event.
                    let _ = events.send(Event::Applied(done));
                }
            };
            handles.push(env::spawn(&format!("segue-apply-{number}"), body)?);
        }
        Ok(Self { threads: handles, jobs })
    }
}
