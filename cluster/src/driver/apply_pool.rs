//! Threads that run state machines, away from the Raft thread.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};

use super::mailbox::Event;
use crate::env;
use crate::group::apply::ApplyJob;

/// A pool of apply threads. They end when the job sender is dropped, after the jobs they have.
pub(crate) struct ApplyPool {
    pub threads: Vec<JoinHandle<()>>,
    /// Not bounded by a capacity: a group has at most one job under way.
    pub jobs: Sender<ApplyJob>,
}

impl ApplyPool {
    /// Starts `threads` threads that report to `events`.
    ///
    /// # Errors
    /// The operating system's, when a thread cannot be started.
    pub fn start(threads: usize, events: &Sender<Event>) -> io::Result<Self> {
        let (jobs, queue) = unbounded::<ApplyJob>();
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (queue, events) = (queue.clone(), events.clone());
            let body = move || {
                for job in queue {
                    // Without a Raft thread the node is stopping: the machine is dropped with the event.
                    let _ = events.send(Event::Applied(job.run()));
                }
            };
            handles.push(env::spawn(&format!("segue-apply-{number}"), body)?);
        }
        Ok(Self { threads: handles, jobs })
    }
}
