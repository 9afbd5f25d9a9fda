//! The other nodes of a cluster: how this one comes to them, what it asks of them, and what it answers.
//!
//! Segment files are built by one node. Before their log entry is proposed, a majority has fetched them; a replica that lacks
//! them when the entry comes fetches them then, and its applying waits meanwhile (`awaited_files`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use segue_cluster::{
    Call, Cluster, ClusterNode, ClusterOptions, ClusterStartError, Entry, NetworkConfig, StoreId, TlsFiles,
};

use super::ask_tracks::{ASK_TRACKS, REST_OF_TRACKS};
use super::compare::DIGEST;
use super::counts::COUNTED;
use super::engine::Inner;
use super::entries::ENTRIES;
use super::far::ASK;
use super::forward::FORWARD;
use super::group::Group;
use super::progress::{PLACES, PLACES_OF_TRACKS};
use super::segment_files::{GONE, READ_FILE, READ_FILE_OF, SegmentFetch, Throttle, WantedPiece};
use super::stop_points::{FETCH_PLACED, FETCH_WHOLE, stop_point};
use crate::error::{Error, Result};
use crate::storage::codec;
use crate::storage::error::describe;
use crate::storage::track_shard::TrackShard;
use crate::storage::track_shard::command::NewSegment;
use crate::types::ShardId;

/// How a database takes part in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// Not at all; a directory that is in a cluster is refused.
    Alone,
    /// As the directory says: alone, or in the cluster it is in.
    Kept(Ports),
    /// As the first node of a new cluster, unless it is in one already.
    First(Ports),
    /// By asking the nodes at these `HOST:PORT`, in turn until one answers, unless it is in a cluster already.
    Join(Ports, Vec<String>),
}

/// Where a node of a cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Where other nodes are listened to.
    pub cluster: SocketAddr,
    /// `HOST:PORT` other nodes reach it at; `None`: where it listens.
    pub advertise: Option<String>,
    /// `HOST:PORT` of the public port.
    pub api: String,
    /// Certificates, if nodes shall know each other by them.
    pub tls: Option<TlsFiles>,
    /// How long a voter may be silent before its vote goes to a spare node; `None`: for ever.
    pub replace_after: Option<Duration>,
    /// How many replicas of a group vote, of a cluster that this node creates.
    pub voters: usize,
}

/// Calls between nodes.
const STAGE: u32 = 2;
/// The same of another than the first track shard, whose number comes before.
const STAGE_OF: u32 = 8;
/// Version of what they carry.
const VERSION: u16 = 1;
/// How long another node may take to fetch the files of one entry.
const STAGE_TIMEOUT: Duration = Duration::from_secs(600);

/// The other nodes.
pub struct Peers {
    cluster: OnceLock<Arc<Cluster>>,
    /// The track shards whose files are given to others.
    shards: RwLock<BTreeMap<u16, Arc<TrackShard>>>,
    node: OnceLock<Weak<Inner>>,
    /// Held by whoever compares all replicas: each comparison reads everything on every node.
    pub(super) comparing: Mutex<()>,
    pub(super) stopping: AtomicBool,
    /// What this node gives of segment files.
    giving: Throttle,
}

impl Peers {
    /// Starts the network of a node that takes part in a cluster; `None` when it does not.
    ///
    /// * `copy_bytes_per_second`: what it gives of segment files, to all others together.
    ///
    /// # Errors
    /// `Conflict` for a member that is opened alone; the port; a damaged map.
    pub(super) fn start(
        node: &ClusterNode,
        dir: &Path,
        membership: Membership,
        copy_bytes_per_second: u64,
    ) -> Result<Option<Arc<Self>>> {
        let (ports, entry) = match membership {
            Membership::Alone if Cluster::is_member(node) => {
                return Err(Error::Conflict(format!(
                    "the directory is a node of a cluster: start it with `segue serve` and ask its port. path=`{}`",
                    dir.display()
                )));
            }
            Membership::Kept(ports) if Cluster::is_member(node) => (ports, Entry::Member),
            Membership::Alone | Membership::Kept(_) => return Ok(None),
            Membership::First(ports) => (ports, Entry::First),
            Membership::Join(ports, addresses) => (ports, Entry::Join(addresses)),
        };
        let peers = Arc::new(Self {
            cluster: OnceLock::new(),
            shards: RwLock::default(),
            node: OnceLock::new(),
            comparing: Mutex::new(()),
            stopping: false.into(),
            giving: Throttle::new(copy_bytes_per_second),
        });
        let Ports { cluster: listen, advertise, api, tls, replace_after, voters } = ports;
        let network = NetworkConfig { listen, advertise, tls };
        let options = ClusterOptions { network, api, entry, replace_after, voters };
        let weak = Arc::downgrade(&peers);
        let answer = move |from: StoreId, topic: u32, request: Bytes| {
            let peers = weak.upgrade().ok_or("the node is stopping")?;
            peers.answer(from, topic, &request).map_err(|error| describe(&error))
        };
        let cluster = Cluster::start(node, dir, options, Box::new(answer)).map_err(start_error)?;
        peers.cluster.get_or_init(|| Arc::new(cluster));
        Ok(Some(peers))
    }

    /// The cluster.
    ///
    /// # Errors
    /// `Internal` before the start has ended.
    pub(super) fn cluster(&self) -> Result<&Arc<Cluster>> {
        self.cluster.get().ok_or_else(|| Error::Internal("the cluster has not started".to_owned()))
    }

    /// Has the files of a shard given and fetched.
    pub(super) fn serve_shard(self: &Arc<Self>, shard: &Arc<TrackShard>) {
        self.shards.write().insert(shard.shard.0, Arc::clone(shard));
        let weak = Arc::downgrade(self);
        shard.set_fetch(Box::new(move |shard, new| match weak.upgrade() {
            Some(peers) => peers.fetch_from_any(shard, new),
            None => Err(Error::Unavailable("the node is stopping".to_owned())),
        }));
    }

    /// Has them given and fetched no more.
    pub(super) fn serve_shard_no_more(&self, shard: u16) {
        self.shards.write().remove(&shard);
    }

    /// Tells who answers calls of other nodes.
    pub(super) fn serve_calls(&self, node: Weak<Inner>) {
        self.node.get_or_init(|| node);
    }

    /// Comes into the cluster.
    ///
    /// # Errors
    /// When the cluster refuses the node.
    pub(super) fn enter(&self) -> Result<()> {
        self.cluster()?.enter().map_err(start_error)
    }

    /// Gives up what waits for other nodes, and the network.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(cluster) = self.cluster.get() {
            cluster.stop();
        }
    }

    /// Has a majority of a group's voters fetch the files of segments that were built here.
    ///
    /// # Errors
    /// `Unavailable` when too few have them; it is tried again with the next seal or merge.
    pub(super) fn spread(&self, group: &Group, shard: ShardId, segments: &[NewSegment]) -> Result<()> {
        let cluster = self.cluster()?;
        let members = group.status()?.members;
        let voters: Vec<StoreId> =
            members.iter().filter(|member| member.votes).filter_map(|member| member.store).collect();
        let have = voters.iter().filter(|store| **store == cluster.store()).count();
        let needed = voters.len() / 2 + 1;
        // Of the first shard as programs say it that know of one.
        let (topic, request) = match shard.0 {
            0 => (STAGE, codec::encode(VERSION, &segments.to_vec())?),
            number => (STAGE_OF, codec::encode(VERSION, &(number, segments.to_vec()))?),
        };
        let request = Bytes::from(request);
        let mut others = cluster.map().holders(group.id());
        others.retain(|store| *store != cluster.store());
        let ask = |to: StoreId| {
            let call = Call { to, topic, request: request.clone(), timeout: STAGE_TIMEOUT };
            let outcome = cluster.call(call);
            if let Err(reason) = &outcome {
                tracing::warn!(store = %to, reason, "a node did not take new segment files; it fetches them later");
            }
            outcome.is_ok() && voters.contains(&to)
        };
        let fetched = thread::scope(|scope| {
            let threads: Vec<_> = others.iter().map(|to| scope.spawn(|| ask(*to))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|fetched| *fetched).count()
        });
        if have + fetched >= needed {
            return Ok(());
        }
        Err(Error::Unavailable(format!(
            "too few nodes have the new segment files. have=`{}`, needed=`{needed}`",
            have + fetched
        )))
    }

    fn node(&self) -> Result<Arc<Inner>> {
        let node = self.node.get().and_then(Weak::upgrade);
        node.ok_or_else(|| Error::Unavailable("the data directory is being opened".to_owned()))
    }

    fn answer(&self, from: StoreId, topic: u32, request: &[u8]) -> Result<Bytes> {
        match topic {
            READ_FILE | READ_FILE_OF => {
                let wanted = WantedPiece::decode(topic, request)?;
                wanted.read(&*self.shard(wanted.shard)?, &self.giving)
            }
            STAGE => self.take(0, &codec::decode::<Vec<NewSegment>>(VERSION, request)?, from),
            STAGE_OF => {
                let (number, segments): (u16, Vec<NewSegment>) = codec::decode(VERSION, request)?;
                self.take(number, &segments, from)
            }
            DIGEST => self.node()?.answer_digest(request),
            ASK => self.node()?.answer_question(request),
            ASK_TRACKS => self.node()?.answer_track_question(request),
            REST_OF_TRACKS => self.node()?.answer_rest(request),
            PLACES_OF_TRACKS => self.node()?.answer_track_progress(),
            FORWARD => self.node()?.answer_forwarded(request),
            PLACES => self.node()?.answer_progress(),
            ENTRIES => Inner::answer_entries(),
            COUNTED => self.node()?.answer_counted(request),
            _ => Err(Error::Unavailable(format!("a call this version does not know. topic=`{topic}`"))),
        }
    }

    fn shard(&self, number: u16) -> Result<Arc<TrackShard>> {
        let shard = self.shards.read().get(&number).cloned();
        shard.ok_or_else(|| match self.node() {
            // Whoever looks for files looks elsewhere.
            Ok(_) => Error::Unavailable(format!("{GONE}: the shard is on other nodes. shard=`{number}`")),
            Err(opening) => opening,
        })
    }

    /// Takes new segments of a shard from the node that has built them.
    fn take(&self, number: u16, segments: &[NewSegment], from: StoreId) -> Result<Bytes> {
        let shard = &*self.shard(number)?;
        for new in segments {
            shard.while_fetching(new.entry.id, || {
                if shard.is_live(new.entry.id) {
                    // A late word of a node that leads no more: what is live stays as it is.
                    return Err(Error::Conflict("the segment is live already".to_owned()));
                }
                if !shard.holds(new) {
                    let workshop = shard.workshop()?;
                    SegmentFetch::new(shard, &workshop, new).from(self.cluster()?, from, &mut || {})?;
                    stop_point(FETCH_WHOLE);
                    if !shard.place_ahead(&workshop, &new.entry)? {
                        return Err(Error::Conflict("the segment is live already".to_owned()));
                    }
                }
                shard.stage(new)
            })?;
            stop_point(FETCH_PLACED);
        }
        Ok(Bytes::new())
    }
}

pub(super) fn start_error(error: ClusterStartError) -> Error {
    let text = describe(&error);
    match error {
        ClusterStartError::Network(segue_cluster::NetworkError::OtherCluster { .. }) => Error::Conflict(text),
        ClusterStartError::Network(_) => Error::Unavailable(text),
        ClusterStartError::Open(error) => super::open::open_error(error),
        ClusterStartError::Group(_) => Error::Corrupt(text),
        ClusterStartError::NotJoined | ClusterStartError::Refused { .. } => Error::Conflict(text),
    }
}
