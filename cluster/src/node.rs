//! A node: one data directory, one log, many groups.
//!
//! ```text
//! DIR/lock        held while the directory is open
//! DIR/identity    who the directory is, which groups it runs
//! DIR/raft/       the log of all groups
//! DIR/closed      mark of an orderly shutdown
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::closed;
use crate::config::NodeConfig;
use crate::driver::alarm::Bell;
use crate::driver::apply_pool::ApplyPool;
use crate::driver::collector::Collector;
use crate::driver::mailbox::{Event, FromPeers, Mailbox, MailboxEnds, NewGroup, Request, mailbox};
use crate::driver::raft_thread::{RaftThread, State};
use crate::driver::transfer_thread::{TransferJob, TransferThread};
use crate::driver::writer::Writer;
use crate::env::{self, Env, Room};
use crate::error::{GroupError, OpenError};
use crate::files::{self, DirLock};
use crate::group::handle::GroupHandle;
use crate::group::shared::GroupShared;
use crate::identity::{GroupMark, Identity, IdentityFile};
use crate::ids::{GroupId, PeerId};
use crate::log::engine_log::EngineLog;
use crate::log::recover::Recovered;
use crate::log::store::{BOOTSTRAP, GroupWrite, LogStore};
use crate::metrics::{Beside, Metrics, MetricsSnapshot};
use crate::net::frame::Local;
use crate::net::links::Links;
use crate::net::network::Reach;
use crate::open::{CLOSED, OpenReport, RAFT, open_files};
use crate::replica_start::{FirstState, first_state, has_left, load_apart};
use crate::state_machine::StateMachine;

/// A running node. Dropping it stops it without waiting for what is under way; nothing acknowledged is
/// lost either way.
pub struct ClusterNode {
    dir: PathBuf,
    config: NodeConfig,
    env: Env,
    report: OpenReport,
    identity: Mutex<IdentityFile>,
    handles: Arc<Mutex<BTreeMap<GroupId, GroupHandle>>>,
    mailbox: Mailbox,
    events: Bell<Event>,
    peers: Bell<FromPeers>,
    transfers: Sender<TransferJob>,
    links: Arc<Links>,
    metrics: Arc<Metrics>,
    log: Arc<EngineLog>,
    threads: Vec<JoinHandle<()>>,
    // Last: the lock is given up when everything else is gone.
    lock: Option<DirLock>,
}

impl ClusterNode {
    /// Opens the directory `dir`, creating it if need be, and starts the node's threads. No group runs
    /// until it is added.
    ///
    /// Cost: reads the whole log once.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do. A refused directory is left as it was.
    pub fn open(dir: impl AsRef<Path>, config: NodeConfig) -> Result<Self, OpenError> {
        Self::open_with(dir, config, Env::real())
    }

    /// Opens a directory in other surroundings, for tests and simulation.
    ///
    /// # Errors
    /// As [`ClusterNode::open`].
    pub fn open_with(dir: impl AsRef<Path>, config: NodeConfig, env: Env) -> Result<Self, OpenError> {
        config.validate()?;
        let dir = dir.as_ref().to_owned();
        fs::create_dir_all(&dir).map_err(|source| OpenError::Io {
            action: "create data directory",
            path: dir.clone(),
            source,
        })?;
        let lock = files::lock_dir(&dir)?;
        let (log, identity, report) = open_files(&dir, &config, &env)?;
        let log = Arc::new(log);
        let metrics = Arc::new(Metrics::default());
        let links = Arc::new(Links::default());
        let error = |source| OpenError::Io { action: "start a thread", path: dir.clone(), source };
        let MailboxEnds { mailbox, events, peers, inbox } =
            mailbox(config.mailbox_requests_max).map_err(error)?;
        let pool = ApplyPool::start(config.apply_threads, &events, &links, &metrics).map_err(error)?;
        let collector = Collector::start(log.clone(), metrics.clone(), events.clone()).map_err(error)?;
        let transfer = TransferThread::start(
            links.clone(),
            events.clone(),
            config.tick,
            config.snapshot_bytes_per_second,
            metrics.clone(),
        )
        .map_err(error)?;
        let raft_thread = RaftThread {
            inbox,
            writer: Writer {
                store: log.clone(),
                env: env.clone(),
                dir: dir.clone(),
                disk_reserve_bytes: config.disk_reserve_bytes,
                metrics: metrics.clone(),
                collect: collector.trigger,
                collect_after_bytes: config.log_file_bytes,
                bytes_since_collection: 0,
            },
            jobs: pool.jobs,
            limits: config.group_limits(),
            entry_bytes_max: config.entry_bytes_max,
            tick: config.tick,
            links: links.clone(),
            transfers: transfer.jobs.clone(),
            state: State::default(),
        };
        let mut threads = vec![env::spawn("segue-raft", || raft_thread.run()).map_err(error)?];
        threads.push(collector.thread);
        threads.push(transfer.thread);
        threads.extend(pool.threads);
        Ok(Self {
            dir,
            config,
            env,
            report,
            identity: Mutex::new(identity),
            handles: Arc::default(),
            mailbox,
            events,
            peers,
            transfers: transfer.jobs,
            links,
            metrics,
            log,
            threads,
            lock: Some(lock),
        })
    }

    /// Returns what was found when the directory was opened.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Returns who the directory is.
    pub fn identity(&self) -> Identity {
        self.identity.lock().identity.clone()
    }

    /// Returns the groups this directory holds, running or not, ascending.
    pub fn stored_groups(&self) -> Vec<GroupId> {
        self.identity.lock().groups.keys().copied().collect()
    }

    /// Returns the handles of the running groups, ascending by id.
    pub fn groups(&self) -> Vec<GroupHandle> {
        self.handles.lock().values().cloned().collect()
    }

    /// Returns the handle of a running group.
    pub fn group(&self, group: GroupId) -> Option<GroupHandle> {
        self.handles.lock().get(&group).cloned()
    }

    /// Returns the node's counters.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.metrics.snapshot(Beside {
            mailbox_requests: self.mailbox.len(),
            log_disk_bytes: self.log.disk_bytes(),
            log_segments: self.log.segments(),
            refused_messages: self.links.refused(),
            tick: self.config.tick,
        })
    }

    /// Runs a group: a new one, or one this directory holds, with its state machine as it was recovered.
    ///
    /// A group of one leads at once. Entries that the machine lacks are applied in the background; a
    /// read or [`GroupHandle::barrier`] waits for them.
    ///
    /// Cost: reads the group's log once.
    ///
    /// # Errors
    /// See [`GroupError`]. Other groups are not affected.
    pub fn add_group(
        &self,
        group: GroupId,
        machine: Box<dyn StateMachine>,
    ) -> Result<GroupHandle, GroupError> {
        self.run_group(group, machine, FirstState::Alone)
    }

    /// Runs a replica of a group that exists on other nodes: a new one, which waits to be added there and for its first
    /// snapshot, or one this directory holds.
    ///
    /// # Errors
    /// As [`ClusterNode::add_group`].
    pub(crate) fn join_group(
        &self,
        group: GroupId,
        machine: Box<dyn StateMachine>,
    ) -> Result<GroupHandle, GroupError> {
        self.run_group(group, machine, FirstState::Waiting)
    }

    fn run_group(
        &self,
        group: GroupId,
        machine: Box<dyn StateMachine>,
        first: FirstState,
    ) -> Result<GroupHandle, GroupError> {
        if group.0 == 0 {
            return Err(GroupError::Reserved { group });
        }
        // Held throughout, so that a group is not added twice at a time.
        let mut handles = self.handles.lock();
        let running = |handle: &GroupHandle| handle.is_up();
        if handles.get(&group).is_some_and(running) {
            return Err(GroupError::Exists { group });
        }
        let recovered = self.recover_group(group, machine.as_ref(), first)?;
        let life = self.draw(group, "draw a random number")?;
        let shared = GroupShared::new(group, recovered.peer, self.config.inflight_bytes_max);
        let (reply, answer) = bounded(1);
        let new = NewGroup { shared: shared.clone(), recovered, life, machine, reply };
        self.ask(Request::Add(Box::new(new)), &answer)?;
        self.mark(group, Some(GroupMark::Present))?;
        let handle = GroupHandle::new(shared, self.mailbox.clone(), self.config.entry_bytes_max);
        handles.insert(group, handle.clone());
        Ok(handle)
    }

    /// Stops a group and drops its state machine; its log stays, and it can be added again.
    ///
    /// # Errors
    /// `Unknown` when it does not run.
    pub fn stop_group(&self, group: GroupId) -> Result<(), GroupError> {
        let mut handles = self.handles.lock();
        self.ask_remove(group, false)?;
        handles.remove(&group);
        Ok(())
    }

    /// Stops a group, drops its state machine and destroys its log. What the machine keeps in its own
    /// files is the caller's to remove, after this.
    ///
    /// # Errors
    /// `Unknown` when it does not run; `Log` and `Record` when the removal could not be finished: it is
    /// finished at the next start.
    pub fn remove_group(&self, group: GroupId) -> Result<(), GroupError> {
        let mut handles = self.handles.lock();
        if !handles.contains_key(&group) {
            return Err(GroupError::Unknown { group });
        }
        self.mark(group, Some(GroupMark::Leaving))?;
        self.ask_remove(group, true)?;
        handles.remove(&group);
        self.mark(group, None)
    }

    /// Destroys the log of a group that does not run here and has gone on without the replica this directory holds; whether it
    /// was such a one. What the machine keeps in its own files is the caller's to remove, after this.
    ///
    /// # Errors
    /// `Log` and `Record`; a removal that could not be finished is finished at the next start.
    pub fn forget_left(&self, group: GroupId) -> Result<bool, GroupError> {
        let handles = self.handles.lock();
        if handles.contains_key(&group) || !has_left(group, &self.log)? {
            return Ok(false);
        }
        self.mark(group, Some(GroupMark::Leaving))?;
        let write = GroupWrite { destroy: true, ..GroupWrite::new(group) };
        self.log.write(&[write]).map_err(|source| GroupError::Log { group, source })?;
        self.mark(group, None)?;
        Ok(true)
    }

    /// Stops the node: takes no more requests, finishes what was accepted (for at most ten seconds),
    /// ends the threads and marks the directory as closed.
    ///
    /// # Errors
    /// When the mark cannot be written. Nothing is lost then; the next start just knows less.
    pub fn shutdown(mut self) -> Result<(), OpenError> {
        self.stop(true);
        let (dir, failed) = (self.dir.clone(), self.log.failed());
        // Held until the mark is there.
        let lock = self.lock.take();
        // The last owner of the log cuts its files to their used length.
        drop(self);
        if failed {
            return Ok(());
        }
        closed::write(&dir.join(CLOSED), &dir.join(RAFT))?;
        drop(lock);
        Ok(())
    }

    /// Returns what the network needs of the node.
    pub(crate) fn reach(&self) -> Reach {
        let Identity { cluster, store, .. } = self.identity();
        Reach {
            local: Local { cluster, store },
            links: self.links.clone(),
            peers: self.peers.clone(),
            transfers: self.transfers.clone(),
            groups: self.handles.clone(),
            metrics: self.metrics.clone(),
            room: Room {
                disk: self.env.disk.clone(),
                dir: self.dir.clone(),
                reserve_bytes: self.config.disk_reserve_bytes,
            },
        }
    }

    /// Ends all threads.
    fn stop(&mut self, drain: bool) {
        // Without a Raft thread there is nobody left to stop.
        let _ = self.events.send(Event::Stop { drain });
        let _ = self.transfers.send(TransferJob::Stop);
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or("unnamed").to_owned();
            if let Err(panic) = thread.join() {
                tracing::error!(
                    thread = name,
                    reason = crate::panic::message(panic.as_ref()),
                    "thread panicked"
                );
            }
        }
    }

    /// Reads what the log holds of a group, or makes the first state of a new one.
    fn recover_group(
        &self,
        group: GroupId,
        machine: &dyn StateMachine,
        first: FirstState,
    ) -> Result<Recovered, GroupError> {
        let state = machine.recovered();
        let store: Arc<dyn LogStore> = self.log.clone();
        let loaded = load_apart(group, &store, &state)?;
        if let Some(recovered) = loaded {
            return Ok(recovered);
        }
        let known = self.identity.lock().groups.contains_key(&group);
        if known || state.index > BOOTSTRAP.index {
            return Err(GroupError::LogMissing { group, state_index: state.index });
        }
        let peer = PeerId(self.draw(group, "draw a random peer id")?.max(1));
        Ok(first_state(group, (peer, self.identity().store), store, first))
    }

    fn draw(&self, group: GroupId, action: &'static str) -> Result<u64, GroupError> {
        let io = |source| OpenError::Io { action, path: self.dir.clone(), source };
        self.env.entropy.next_u64().map_err(|source| GroupError::Record { group, source: io(source) })
    }

    /// Sends a request that the Raft thread answers, and waits for the answer.
    fn ask(&self, request: Request, answer: &Receiver<Result<(), GroupError>>) -> Result<(), GroupError> {
        let gone = || GroupError::NotRunning { reason: "its Raft thread has ended".into() };
        self.mailbox.send(request).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    fn ask_remove(&self, group: GroupId, destroy: bool) -> Result<(), GroupError> {
        let (reply, answer) = bounded(1);
        self.ask(Request::Remove { group, destroy, reply }, &answer)
    }

    fn mark(&self, group: GroupId, mark: Option<GroupMark>) -> Result<(), GroupError> {
        self.identity.lock().mark(group, mark).map_err(|source| GroupError::Record { group, source })
    }
}

impl Drop for ClusterNode {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.stop(false);
        }
    }
}
