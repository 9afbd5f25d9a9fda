//! Files of a segment whose log entry has come before them: fetched from whoever has them, while applying waits.
//!
//! What comes later in the log cannot go first: an upsert has to know whether the segment has its track. A replica that waits
//! must not lead, though, since its group would wait with it: it hands over to the node that gives it the files.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use segue_cluster::{Cluster, GroupId, StoreId};

use super::open_tracks::group_id;
use super::peers::Peers;
use super::segment_files::SegmentFetch;
use crate::error::{Error, Result};
use crate::storage::track_shard::TrackShard;
use crate::storage::track_shard::command::NewSegment;

/// Rounds in which every other node says that it has no such file before it is believed.
const GONE_ROUNDS: u32 = 5;
const ROUND_PAUSE: Duration = Duration::from_millis(200);
/// How long a leader may fetch before it hands over, and how long it waits before it tries once more.
const LEAD_PATIENCE: Duration = Duration::from_millis(500);

impl Peers {
    /// Fetches the files of a segment from whoever has them; waits as long as somebody might.
    pub(super) fn fetch_from_any(&self, shard: &TrackShard, new: &NewSegment) -> Result<()> {
        let cluster = self.cluster()?;
        let workshop = shard.workshop()?;
        let mut fetch = SegmentFetch::new(shard, &workshop, new);
        let mut lead = Lead { group: group_id(shard.shard.0), tried: Instant::now() };
        let mut gone_rounds = 0;
        loop {
            let others = cluster.others();
            if others.is_empty() {
                return Err(Error::not_found("segment", new.entry.id));
            }
            let mut gone = 0;
            for store in &others {
                match fetch.from(cluster, *store, &mut || lead.give_away(cluster, *store)) {
                    Ok(()) => return shard.place_for_entry(&workshop, &new.entry),
                    Err(Error::NotFound { .. }) => gone += 1,
                    Err(error) => {
                        tracing::debug!(%error, segment = new.entry.id, %store, "segment files cannot be had there");
                    }
                }
            }
            gone_rounds = if gone == others.len() { gone_rounds + 1 } else { 0 };
            if gone_rounds >= GONE_ROUNDS {
                return Err(Error::Unavailable(format!(
                    "no node has the files of a segment any more: remove this node, and join with an empty directory. segment=`{}`",
                    new.entry.id
                )));
            }
            if self.stopping.load(Ordering::Acquire) {
                return Err(Error::Unavailable("the node is stopping".to_owned()));
            }
            thread::sleep(ROUND_PAUSE);
        }
    }
}

/// The lead of a group whose entries this node cannot apply.
struct Lead {
    group: GroupId,
    tried: Instant,
}

impl Lead {
    /// Hands it over to a node that has the files, if it is here and was for too long.
    fn give_away(&mut self, cluster: &Cluster, to: StoreId) {
        if self.tried.elapsed() < LEAD_PATIENCE {
            return;
        }
        self.tried = Instant::now();
        match cluster.hand_over(self.group, to) {
            Ok(false) => {}
            Ok(true) => tracing::info!(group = self.group.0, %to, "a leader that waits for files hands over"),
            Err(reason) => {
                tracing::debug!(reason, group = self.group.0, %to, "nobody takes over the lead yet");
            }
        }
    }
}
