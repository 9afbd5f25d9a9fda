//! What a start leaves for later: a node serves from mapped files, each part of which is checked when it is first used, while one
//! thread of low priority reads all of them, checks them, and brings graphs into memory (docs/adr/0023).
//!
//! What is damaged is found by whoever is first, this thread or a request; the node answers nothing from then on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use metrics::gauge;
use parking_lot::Mutex;
use segue_storage_format::{Residence, SegmentFile};
use tracing::{error, info, warn};

use super::engine::Inner;
use crate::error::{Error, Result};
use crate::maintenance::{Background, give_way};
use crate::storage::error::damaged;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::segment::{SealedTracks, TrackBody};
use crate::storage::track_shard::vectors::{SealedVectors, VectorBody};
use crate::types::Metric;

/// Reading what the start has left.
#[derive(Default)]
pub(super) struct WarmUp {
    /// Bytes still to be read.
    left: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One file to be read. Segments that are merged away meanwhile are not held.
enum Job {
    Graph(Arc<TrackView>, Weak<SealedVectors>, Metric),
    Vectors(Weak<SealedVectors>),
    Tracks(Weak<SealedTracks>),
}

impl WarmUp {
    /// Starts the thread, if there is anything for it to do; it ends by itself when the node is gone.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub(super) fn start(&self, node: &Arc<Inner>) -> Result<()> {
        let jobs = jobs(node);
        let bytes = jobs.iter().map(|(_, bytes)| bytes).sum();
        gauge!("segue_warm_up_left_bytes").set(bytes as f64);
        if jobs.is_empty() {
            return Ok(());
        }
        self.left.store(bytes, Ordering::Release);
        let (node, left) = (Arc::downgrade(node), Arc::clone(&self.left));
        let thread = std::thread::Builder::new().name("segue-warm-up".to_owned());
        let thread = thread.spawn(move || {
            give_way(Background::Reading);
            run(&node, jobs, &left);
            left.store(0, Ordering::Release);
            gauge!("segue_warm_up_left_bytes").set(0.0);
        });
        let thread = thread.map_err(|source| Error::io("starting a thread", "segue-warm-up", source))?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Bytes still to be read.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }

    /// Waits for the thread; it stops at the next piece of a node that is closing.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            warn!("the thread that reads files after a start had panicked");
        }
    }
}

/// Everything to be read, with its bytes: graphs first, since searches gain most from them.
fn jobs(node: &Inner) -> Vec<(Job, u64)> {
    let storage = &node.settings.storage;
    let (mut graphs, mut rest) = (Vec::new(), Vec::new());
    for view in node.tracks.all_views() {
        for segment in view.sets.values().flat_map(|set| &set.segments) {
            let VectorBody::Sealed(sealed) = &segment.body else { continue };
            for files in sealed.indexes.iter().filter(|files| !files.is_sound()) {
                let job = Job::Graph(Arc::clone(&view), Arc::downgrade(sealed), files.metric);
                graphs.push((job, files.graph.file().len()));
            }
            let file = sealed.vectors.file();
            if !file.is_whole() {
                rest.push((Job::Vectors(Arc::downgrade(sealed)), file.len()));
            }
        }
        for segment in &view.segments {
            let TrackBody::Sealed(sealed) = &segment.body else { continue };
            let file = sealed.columns_file();
            if !file.is_whole() {
                rest.push((Job::Tracks(Arc::downgrade(sealed)), file.len()));
            }
        }
    }
    if !storage.verify_on_open {
        rest.clear();
        graphs.retain(|_| storage.index_in_memory);
    }
    graphs.extend(rest);
    graphs
}

fn run(node: &Weak<Inner>, jobs: Vec<(Job, u64)>, left: &AtomicU64) {
    let start = Instant::now();
    let bytes: u64 = jobs.iter().map(|(_, bytes)| bytes).sum();
    info!(files = jobs.len(), bytes, "serving while files are read and checked");
    for (job, bytes) in jobs {
        let Some(node) = node.upgrade() else { return };
        let left_then = left.load(Ordering::Acquire).saturating_sub(bytes);
        let mut goes_on = |bytes: u64| {
            let before = left.fetch_sub(bytes, Ordering::AcqRel);
            gauge!("segue_warm_up_left_bytes").set(before.saturating_sub(bytes) as f64);
            !node.closing.load(Ordering::Acquire)
        };
        if let Err(error) = node.bring_in(&job, &mut goes_on) {
            error!(%error, "a file cannot be used");
        }
        if node.closing.load(Ordering::Acquire) {
            return;
        }
        left.store(left_then, Ordering::Release);
    }
    let seconds = start.elapsed().as_secs_f64();
    info!(bytes, seconds, "all files were read");
}

impl Inner {
    fn bring_in(&self, job: &Job, goes_on: &mut dyn FnMut(u64) -> bool) -> Result<()> {
        match job {
            Job::Graph(view, sealed, metric) => match sealed.upgrade() {
                Some(sealed) => self.bring_graph_in(view, &sealed, *metric, goes_on),
                None => Ok(()),
            },
            Job::Vectors(sealed) => sealed.upgrade().map_or(Ok(()), |it| read(it.vectors.file(), goes_on)),
            Job::Tracks(sealed) => sealed.upgrade().map_or(Ok(()), |it| read(it.columns_file(), goes_on)),
        }
    }

    fn bring_graph_in(
        &self,
        view: &TrackView,
        sealed: &SealedVectors,
        metric: Metric,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<()> {
        let Some(files) = sealed.indexes.iter().find(|files| files.metric == metric) else { return Ok(()) };
        let kept = if self.settings.storage.index_in_memory { Residence::Memory } else { Residence::Mapped };
        let whole = match files.graph.bring_in(kept, goes_on) {
            // Searches use the mapped file then.
            Err(error) if self.health.damage().is_none() => {
                warn!(%error, "a graph stays mapped");
                files.graph.bring_in(Residence::Mapped, &mut |_| !self.closing.load(Ordering::Acquire))
            }
            outcome => outcome,
        };
        if whole.map_err(damaged)? {
            self.index_choice.install(|| self.caches.heads.check_links(view, sealed, files))?;
        }
        Ok(())
    }
}

fn read(file: &SegmentFile, goes_on: &mut dyn FnMut(u64) -> bool) -> Result<()> {
    file.bring_in(Residence::Mapped, goes_on).map(drop).map_err(damaged)
}
