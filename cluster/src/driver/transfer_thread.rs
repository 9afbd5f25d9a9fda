//! The thread that reads and writes snapshot files, so that the Raft thread never does.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::alarm::Bell;
use super::mailbox::Event;
use crate::env;
use crate::group::snapshots::FetchOrder;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::metrics::Metrics;
use crate::net::links::Links;
use crate::snapshot::packet::{CHUNK_BYTES, Chunk, Fetch, Outgoing, Packet};
use crate::snapshot::transfer::{Progress, Transfers};
use crate::snapshot::{SnapshotFiles, Staging};

/// Jobs that wait; more are dropped, and asked for again by whoever misses them.
const JOBS_MAX: usize = 1_024;
/// Requests that wait for the next tick's budget.
const DEFERRED_MAX: usize = 256;

/// Something to do with files.
pub(crate) enum TransferJob {
    /// Gather the files of an order.
    Receive {
        group: GroupId,
        order: FetchOrder,
        staging: Arc<dyn Staging>,
    },
    /// Answer a request for a piece.
    Serve(Serve),
    /// A piece that came.
    Chunk {
        group: GroupId,
        chunk: Chunk,
    },
    /// The group is gone.
    Forget(GroupId),
    Stop,
}

/// A request for a piece, with the files it is of.
pub(crate) struct Serve {
    pub group: GroupId,
    pub fetch: Fetch,
    /// `None`: no longer pinned.
    pub files: Option<Arc<dyn SnapshotFiles>>,
    /// This replica.
    pub from: PeerId,
    /// Who asked.
    pub to: PeerId,
    pub to_store: StoreId,
}

impl Serve {
    /// Whether both are the same request of the same replica.
    fn asks_as(&self, other: &Self) -> bool {
        (self.group, self.to) == (other.group, other.to) && self.fetch == other.fetch
    }
}

/// The running thread. It ends when it is told to.
pub(crate) struct TransferThread {
    pub thread: JoinHandle<()>,
    pub jobs: Sender<TransferJob>,
}

impl TransferThread {
    /// Starts it.
    ///
    /// * `bytes_per_second`: what may be sent.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(
        links: Arc<Links>,
        events: Bell<Event>,
        tick: Duration,
        bytes_per_second: u64,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let (jobs, queue) = bounded(JOBS_MAX);
        let per_tick = (bytes_per_second as f64 * tick.as_secs_f64()) as u64;
        let worker = Worker {
            // Pieces as small as what may be sent a tick keep a low rate, too.
            transfers: Transfers::new(CHUNK_BYTES.min(per_tick), per_tick.max(1)),
            deferred: VecDeque::new(),
            links,
            events,
            metrics,
        };
        let thread = env::spawn("segue-transfer", move || worker.run(&queue, tick))?;
        Ok(Self { thread, jobs })
    }
}

struct Worker {
    transfers: Transfers,
    /// Asked when the budget was used up.
    deferred: VecDeque<Serve>,
    links: Arc<Links>,
    events: Bell<Event>,
    metrics: Arc<Metrics>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<TransferJob>, tick: Duration) {
        let mut next_tick = Instant::now() + tick;
        loop {
            match jobs.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok(TransferJob::Stop) => return,
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + tick;
                let progress = self.transfers.tick();
                self.pass_on(progress);
                for serve in std::mem::take(&mut self.deferred) {
                    self.serve(serve);
                }
            }
        }
    }

    fn take(&mut self, job: TransferJob) {
        match job {
            TransferJob::Receive { group, order, staging } => {
                let progress = self.transfers.fetch(group, order, staging);
                self.pass_on(progress);
            }
            TransferJob::Chunk { group, chunk } => {
                Metrics::add(&self.metrics.snapshot_received_bytes, chunk.bytes());
                let progress = self.transfers.take(group, &chunk);
                self.pass_on(progress);
            }
            TransferJob::Serve(serve) => self.serve(serve),
            TransferJob::Forget(group) => self.transfers.forget(group),
            TransferJob::Stop => {}
        }
    }

    fn serve(&mut self, serve: Serve) {
        match self.transfers.serve(serve.fetch.clone(), serve.files.as_deref()) {
            Some(chunk) => {
                Metrics::add(&self.metrics.snapshot_sent_bytes, chunk.bytes());
                let Serve { group, from, to, to_store, .. } = serve;
                self.links.send_packet(&Outgoing { group, from, to, to_store, packet: Packet::Chunk(chunk) });
            }
            // Whoever asks again for what still waits would have it sent twice.
            None if self.deferred.len() < DEFERRED_MAX
                && !self.deferred.iter().any(|it| it.asks_as(&serve)) =>
            {
                self.deferred.push_back(serve);
            }
            None => {}
        }
    }

    fn pass_on(&self, progress: Progress) {
        for what in &progress.out {
            self.links.send_packet(what);
        }
        for done in progress.done {
            // Without a Raft thread the node is stopping.
            let _ = self.events.send(Event::Fetched(done));
        }
    }
}
