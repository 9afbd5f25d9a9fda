//! How groups come to the Raft thread and leave it, in good order or by a failure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::mailbox::NewGroup;
use super::raft_thread::RaftThread;
use super::transfer_thread::TransferJob;
use crate::error::{ClusterError, GroupError, LogError};
use crate::group::core::GroupCore;
use crate::group::shared::GroupShared;
use crate::ids::GroupId;
use crate::log::recover::Recovered;
use crate::log::store::GroupWrite;
use crate::metrics::Metrics;
use crate::state_machine::StateMachine;

/// A removal under way.
pub(super) struct Leaving {
    pub destroy: bool,
    pub reply: Sender<Result<(), GroupError>>,
}

impl RaftThread {
    /// Starts a group and answers whoever asked for it.
    pub(super) fn add(&mut self, new: NewGroup) {
        let NewGroup { shared, recovered, life, machine, reply } = new;
        let group = shared.id;
        let answer = self.start_group(shared, recovered, life, machine);
        if answer.is_ok() {
            self.state.dirty.insert(group);
        }
        // Whoever asked may have gone; the group runs all the same.
        let _ = reply.send(answer);
    }

    fn start_group(
        &mut self,
        shared: Arc<GroupShared>,
        mut recovered: Recovered,
        life: u64,
        machine: Box<dyn StateMachine>,
    ) -> Result<(), GroupError> {
        let group = shared.id;
        if let Some(reason) = &self.state.failed {
            return Err(GroupError::NotRunning { reason: reason.clone() });
        }
        if self.state.cores.contains_key(&group) {
            return Err(GroupError::Exists { group });
        }
        if self.state.orphans.contains(&group) || self.state.leaving.contains_key(&group) {
            return Err(GroupError::Stopping { group });
        }
        if let Some(write) = recovered.first_write.take() {
            let result = self.writer.write(&[write]);
            if let Err(source) = result {
                if !matches!(source, LogError::NoSpace { .. }) {
                    self.fail(&source);
                }
                return Err(GroupError::Log { group, source });
            }
        }
        let (limits, staging) = (self.limits, machine.staging());
        let core =
            catch_unwind(AssertUnwindSafe(|| GroupCore::new(shared, recovered, machine, limits, life)))
                .unwrap_or_else(|panic| Err(crate::panic::message(panic.as_ref())))
                .map_err(|reason| GroupError::Failed { group, reason: reason.into() })?;
        self.state.quarantined.remove(&group);
        self.state.cores.insert(group, core);
        self.state.stagings.extend(staging.map(|staging| (group, staging)));
        Ok(())
    }

    /// Stops a group; its removal is finished once no batch of it is under way.
    pub(super) fn remove(&mut self, group: GroupId, leaving: Leaving) {
        self.state.stagings.remove(&group);
        drop(self.transfers.try_send(TransferJob::Forget(group)));
        match self.state.cores.remove(&group) {
            Some(core) => {
                core.shared().take_down(ClusterError::Stopped { group });
                if core.is_applying() {
                    self.state.leaving.insert(group, leaving);
                    return;
                }
            }
            None if self.state.quarantined.remove(&group) => {
                if self.state.orphans.contains(&group) {
                    self.state.leaving.insert(group, leaving);
                    return;
                }
            }
            None => {
                let _ = leaving.reply.send(Err(GroupError::Unknown { group }));
                return;
            }
        }
        self.finish_removal(group, leaving);
    }

    pub(super) fn finish_removal(&mut self, group: GroupId, leaving: Leaving) {
        let mut result = Ok(());
        if leaving.destroy {
            let write = GroupWrite { destroy: true, ..GroupWrite::new(group) };
            result = self.writer.write(&[write]);
        }
        if let Err(error) = &result
            && !matches!(error, LogError::NoSpace { .. })
        {
            self.fail(error);
        }
        let _ = leaving.reply.send(result.map_err(|source| GroupError::Log { group, source }));
    }

    /// Takes one group out of service.
    pub(super) fn quarantine(&mut self, group: GroupId, reason: &str) {
        let Some(core) = self.state.cores.remove(&group) else {
            return;
        };
        tracing::error!(%group, reason, "replica is out of service");
        Metrics::add(&self.writer.metrics.quarantined, 1);
        core.shared().take_down(ClusterError::Quarantined { group, reason: reason.into() });
        self.state.quarantined.insert(group);
        if core.is_applying() {
            self.state.orphans.insert(group);
        }
        drop_quietly(core);
    }

    /// Takes the whole node out of service.
    pub(super) fn fail(&mut self, error: &LogError) {
        if self.state.failed.is_some() {
            return;
        }
        tracing::error!(%error, "the log failed, the node stops acknowledging");
        let reason: Arc<str> = error.to_string().into();
        for core in std::mem::take(&mut self.state.cores).into_values() {
            core.shared().take_down(ClusterError::NodeFailed { reason: reason.clone() });
            drop_quietly(core);
        }
        self.state.failed = Some(reason);
        self.state.stopped |= self.state.drain_until.is_some();
    }
}

/// Drops a replica that may be broken.
fn drop_quietly(core: GroupCore) {
    let group = core.id();
    if catch_unwind(AssertUnwindSafe(|| drop(core))).is_err() {
        tracing::error!(%group, "replica panicked while it was dropped");
    }
}
