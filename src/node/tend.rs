//! The threads that look after shards: bring them here and away as the cluster's map says (`place`), go on with splits, hear of
//! those on other nodes.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::warn;

use super::engine::Inner;
use super::stop_points::{SHARDS_TEND, hold_point};
use crate::error::{Error, Result};

/// Pause between two looks.
const PERIOD: Duration = Duration::from_millis(200);
/// Pause between two looks at shards elsewhere.
const FAR_PERIOD: Duration = Duration::from_millis(500);
/// Pause between two looks at a split.
const SPLIT_PERIOD: Duration = Duration::from_millis(100);

/// The threads that look after shards here and elsewhere.
pub(super) struct Tenders {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Tenders {
    /// Starts them; they end by themselves when the node is gone.
    pub(super) fn start(node: &Weak<Inner>, in_cluster: bool) -> Result<Self> {
        let mut tenders = Self { stop: Vec::new(), threads: Vec::new() };
        tenders.spawn("segue-split", SPLIT_PERIOD, node, Inner::go_on_with_splits)?;
        if in_cluster {
            tenders.spawn("segue-shards", PERIOD, node, Inner::tend)?;
            tenders.spawn("segue-far", FAR_PERIOD, node, Inner::look_far)?;
            tenders.spawn("segue-far-track", FAR_PERIOD, node, Inner::look_at_far_tracks)?;
            tenders.spawn("segue-entries", PERIOD, node, Inner::ask_for_entries)?;
        }
        Ok(tenders)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        period: Duration,
        node: &Weak<Inner>,
        work: fn(&Inner) -> Result<()>,
    ) -> Result<()> {
        let (stop, stopped) = bounded(1);
        let node = Weak::clone(node);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread
            .spawn(move || run(&node, period, &stopped, work))
            .map_err(|source| Error::Io { action: "starting a thread".into(), path: name.into(), source })?;
        self.stop.push(stop);
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until they have finished what they are at.
    pub(super) fn stop(self) {
        // A full channel means that it has been told already.
        for stop in &self.stop {
            let _ = stop.try_send(());
        }
        for thread in self.threads {
            if thread.join().is_err() {
                warn!("a thread that looks after shards had panicked");
            }
        }
    }
}

fn run(node: &Weak<Inner>, period: Duration, stopped: &Receiver<()>, work: fn(&Inner) -> Result<()>) {
    loop {
        match stopped.recv_timeout(period) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            _ => return,
        }
        let Some(node) = node.upgrade() else { return };
        if node.closing.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = work(&node) {
            warn!(%error, "shards could not be looked after; it is tried again");
        }
    }
}

impl Inner {
    /// Hears how much there is elsewhere.
    fn look_far(&self) -> Result<()> {
        if let Some(far) = &self.far {
            far.look_at(self.users.shards.elsewhere().take_while(|_| !self.closing.load(Ordering::Acquire)));
        }
        Ok(())
    }

    /// Takes every shard one step towards what the map says.
    fn tend(&self) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let cluster = peers.cluster()?;
        hold_point(SHARDS_TEND);
        self.bring_track_shards()?;
        self.tend_tracks(cluster);
        self.tend_users(cluster);
        Ok(())
    }
}
