//! The settings themselves and their defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::fields::{FIELDS, check};

/// Everything that can be set. Precedence: flag, then environment, then file, then default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The data directory; created when it does not exist. One process at a time may have it open.
    pub data: PathBuf,
    /// Where gRPC is served. Port 0 takes any free port (it is logged).
    pub listen: SocketAddr,
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    pub http: SocketAddr,
    /// How long a stopping server waits for requests in flight, in milliseconds.
    pub shutdown_timeout_ms: u64,
    /// What one request may ask for and how many run at once.
    pub limits: Limits,
    /// Segments, the disk and memory.
    pub storage: Storage,
    /// Other nodes.
    pub cluster: Cluster,
    /// What is logged, and how.
    pub log: Log,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("segue-data"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7700)),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 7701)),
            shutdown_timeout_ms: 30_000,
            limits: Limits::default(),
            storage: Storage::default(),
            cluster: Cluster::default(),
            log: Log::default(),
        }
    }
}

impl Settings {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// All that is wrong, one sentence a field.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let table = toml::Table::try_from(self).map_err(|error| vec![error.to_string()])?;
        let mut problems: Vec<String> = FIELDS.iter().filter_map(|field| check(field, &table)).collect();
        if self.data.as_os_str().is_empty() {
            problems.push("data: must not be empty; give the directory that holds the database".to_owned());
        }
        if self.listen == self.http && self.listen.port() != 0 {
            problems.push(format!("http: must differ from listen. http=`{}`", self.http));
        }
        if self.cluster.voters.is_multiple_of(2) {
            problems.push(format!(
                "cluster.voters: must be odd; an even number bears no more failures. voters=`{}`",
                self.cluster.voters
            ));
        }
        problems.extend(self.cluster.tls.missing());
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// What one request may ask for and how many run at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest gRPC message, in bytes, in either direction.
    pub message_bytes_max: u64,
    /// Rows in one write or one piece of a bulk load.
    pub batch_rows_max: u32,
    /// Longest list a query may ask for.
    pub k_max: u32,
    /// Values in one filter, all its lists together.
    pub filter_terms_max: u32,
    /// Queries computed at the same time; 0 = one a processor.
    pub concurrent_requests_max: u32,
    /// Writes in progress at the same time.
    pub concurrent_writes_max: u32,
    /// Bulk loads in progress at the same time.
    pub concurrent_loads_max: u32,
    /// Requests of one kind that may wait for their turn.
    pub queue_max: u32,
    /// Deadline of a request that brings none, in milliseconds; streams and bulk loads have none.
    pub request_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 32 << 20,
            batch_rows_max: 20_000,
            k_max: 1_000,
            filter_terms_max: 10_000,
            concurrent_requests_max: 0,
            concurrent_writes_max: 64,
            concurrent_loads_max: 4,
            queue_max: 1_024,
            request_timeout_ms: 10_000,
        }
    }
}

/// Segments, the disk and memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Rows the growing segment of a shard holds before it is sealed and indexed.
    pub seal_rows: u32,
    /// Bytes of free disk below which writes are refused while reads go on.
    pub disk_reserve_bytes: u64,
    /// Whether all files are read and checked against their checksums in the background after a start.
    pub verify_on_open: bool,
    /// Whether codes and graphs are read into memory, on huge pages, instead of mapped.
    pub index_in_memory: bool,
    /// Track shards of a new database; 0 = one, or what the database has.
    pub track_shards: u16,
    /// User shards of a new database; 0 = one, or what the database has.
    pub user_shards: u16,
    /// Memory for user state read again and again, in bytes.
    pub user_cache_bytes: u64,
    /// Entries a group's log may hold before it is cut behind what is in files.
    pub log_entries_max: u64,
    /// Threads that seal, index and merge in the background; 0 = one a processor.
    pub background_threads: u32,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            seal_rows: 65_536,
            disk_reserve_bytes: 512 << 20,
            verify_on_open: true,
            index_in_memory: true,
            track_shards: 0,
            user_shards: 0,
            user_cache_bytes: 256 << 20,
            log_entries_max: 50_000,
            background_threads: 0,
        }
    }
}

/// Other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Where other nodes of the cluster are listened to; not bound by a database that is alone.
    pub listen: SocketAddr,
    /// `HOST:PORT` other nodes reach this one at; empty: where it listens.
    pub advertise: String,
    /// `HOST:PORT` of the cluster ports of nodes whose cluster an empty directory joins; its own may be among them.
    pub join: Vec<String>,
    /// How long a voter may be silent before its vote goes to a spare node, in milliseconds; 0 = for ever.
    pub replace_after_ms: u64,
    /// How many replicas of a group vote, of a cluster that this node creates; an odd number.
    pub voters: u8,
    /// Bytes of copies of shards that this node sends to other nodes a second, all together.
    pub copy_bytes_per_second: u64,
    /// Certificates of nodes.
    pub tls: ClusterTls,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7702)),
            advertise: String::new(),
            join: Vec::new(),
            replace_after_ms: 600_000,
            voters: 3,
            copy_bytes_per_second: 100_000_000,
            tls: ClusterTls::default(),
        }
    }
}

/// The PEM files by which nodes know each other: all three, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterTls {
    /// Certificates of the authority all nodes are of.
    pub ca: PathBuf,
    /// This node's certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ClusterTls {
    /// Each file with the setting that names it.
    fn files(&self) -> [(&'static str, &PathBuf); 3] {
        [("cluster.tls.ca", &self.ca), ("cluster.tls.cert", &self.cert), ("cluster.tls.key", &self.key)]
    }

    /// Whether nodes know each other by certificates.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.files().iter().any(|(_, file)| !file.as_os_str().is_empty())
    }

    fn missing(&self) -> impl Iterator<Item = String> {
        let is_set = self.is_set();
        let empty = self.files().into_iter().filter(move |(_, file)| is_set && file.as_os_str().is_empty());
        empty.map(|(path, _)| format!("{path}: must be set, too: cluster.tls takes all three files or none"))
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Level by module, such as `info,segue::api=debug`.
    pub filter: String,
    /// The form of a log line.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}
