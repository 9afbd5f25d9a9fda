//! What a cluster tells of its replicas, and waiting until it tells what is wanted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use segue::api::Client;
use segue::node::{ClusterReport, ReplicaReport};

use crate::Outcome;

/// Voters of a group whose cluster was made without another number.
pub const VOTERS: usize = 3;
const LOOK: Duration = Duration::from_millis(200);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Looks at the cluster until it is as wanted; how long some group had fewer than three voters meanwhile.
pub fn until(client: &Client, is_done: impl Fn(&ClusterReport) -> bool) -> Outcome<Duration> {
    let start = Instant::now();
    let mut under = Duration::ZERO;
    loop {
        let looked = Instant::now();
        let report = client.cluster_status()?;
        if is_done(&report) {
            return Ok(under);
        }
        if start.elapsed() > PATIENCE {
            return Err(
                format!("the cluster is not where it should be after {PATIENCE:?}: {report:?}").into()
            );
        }
        std::thread::sleep(LOOK);
        if groups(&report).any(|replicas| replicas.iter().filter(|it| it.votes).count() < VOTERS) {
            under += looked.elapsed();
        }
    }
}

/// Whether a node has so many replicas of shards of a kind, or more, that have caught up.
pub fn holds(report: &ClusterReport, node: &str, kind: &str, shards: usize) -> bool {
    let own = report.replicas.iter().filter(|it| it.node == *node && it.group.starts_with(kind));
    own.filter(|it| it.lag == Some(0) && it.moving.is_empty()).count() >= shards
}

/// Whether no replica comes or goes and no members change.
pub fn is_calm(report: &ClusterReport) -> bool {
    report.replicas.iter().all(|it| it.moving.is_empty() && !it.changing)
        && groups(report).all(|replicas| replicas.iter().filter(|it| it.votes).count() == VOTERS)
}

/// The replicas of each group.
fn groups(report: &ClusterReport) -> impl Iterator<Item = Vec<&ReplicaReport>> {
    let names: BTreeSet<&str> = report.replicas.iter().map(|it| it.group.as_str()).collect();
    names.into_iter().map(|group| report.replicas.iter().filter(|it| it.group == *group).collect())
}

/// Whether every group has as many voters, and a leader, and nobody is behind.
pub fn is_settled(report: &ClusterReport, voters: usize) -> bool {
    groups(report).all(|replicas| {
        replicas.iter().filter(|it| it.votes).count() == voters
            && replicas.iter().any(|it| it.role == "leader")
            && replicas.iter().all(|it| it.lag == Some(0) && !it.changing)
    })
}
