//! What all nodes have counted of an experiment: each is asked for its own, and one adds them up.

use std::time::Duration;

use bytes::Bytes;
use segue_cluster::{Call, StoreId};

use super::engine::Inner;
use super::everyone::ask_each;
use super::tally::{Counted, Listeners};
use crate::error::Result;
use crate::pipeline::experiment::{Experiment, ExperimentReport};
use crate::storage::codec;
use crate::types::Surface;

/// The call between nodes, and the version of what it carries.
pub(super) const COUNTED: u32 = 9;
const VERSION: u16 = 1;
/// How long another node may take; then it is named as one that is missing.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Counts on the wire: requests by arm; level of the sample, keys and arms of listeners; lists, dropped, failed and same of the
/// shadow; sums of both overlaps.
type Words = (Vec<u64>, (u32, Vec<(u64, u8)>), [u64; 4], [f64; 2]);

fn words(counted: Counted) -> Words {
    let Counted { requests, listeners, lists, dropped, failed, same, overlap, rank_biased_overlap } = counted;
    let listeners = (listeners.level, listeners.arms.into_iter().collect());
    (requests, listeners, [lists, dropped, failed, same], [overlap, rank_biased_overlap])
}

fn counted((requests, (level, arms), counts, sums): Words) -> Counted {
    let listeners = Listeners { level, arms: arms.into_iter().collect() };
    let ([lists, dropped, failed, same], [overlap, rank_biased_overlap]) = (counts, sums);
    Counted { requests, listeners, lists, dropped, failed, same, overlap, rank_biased_overlap }
}

impl Inner {
    /// Answers another node.
    pub(super) fn answer_counted(&self, request: &[u8]) -> Result<Bytes> {
        let (surface, version): (String, u32) = codec::decode(VERSION, request)?;
        let own = self.tallies.counted(&Surface::new(surface)?, version);
        Ok(codec::encode(VERSION, &words(own))?.into())
    }

    /// What all nodes have counted of an experiment. Those that do not answer are named, and left out.
    pub(super) fn count_everywhere(
        &self,
        experiment: Experiment,
        is_running: bool,
    ) -> Result<ExperimentReport> {
        let mut sum = self.tallies.counted(&experiment.surface, experiment.version);
        let mut missing = Vec::new();
        if let Some(peers) = self.peers.as_deref() {
            let cluster = peers.cluster()?;
            let map = cluster.map();
            let others: Vec<StoreId> =
                map.nodes.keys().copied().filter(|store| *store != cluster.store()).collect();
            let key = (experiment.surface.as_str().to_owned(), experiment.version);
            let request = Bytes::from(codec::encode(VERSION, &key)?);
            let ask = |to: StoreId| -> std::result::Result<Counted, String> {
                let call = Call { to, topic: COUNTED, request: request.clone(), timeout: TIMEOUT };
                let reply = cluster.call(call)?;
                codec::decode(VERSION, &reply).map(counted).map_err(|error| error.to_string())
            };
            for (store, said) in others.iter().zip(ask_each(&others, ask)) {
                match said {
                    Ok(counted) => sum.add(&counted),
                    Err(reason) => missing.push(format!("{store}: {reason}")),
                }
            }
        }
        Ok(sum.report(experiment, is_running, missing))
    }
}
