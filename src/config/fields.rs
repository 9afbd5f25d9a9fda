//! The table of all settings: what each means, its unit, its range and its trade-off.

use toml::{Table, Value};

/// The values a setting may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Whole numbers from the first to the second, both included.
    Whole(u64, u64),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any number of texts; in a flag or variable with commas between them.
    List,
    /// Any text; the type says more.
    Text,
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Dotted path in the file, such as `limits.k_max`.
    pub path: &'static str,
    /// Unit of the value; empty for switches and words.
    pub unit: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it does and what a larger or smaller value costs.
    pub about: &'static str,
}

impl Field {
    /// The environment variable that sets it: `limits.k_max` is `SEGUE_LIMITS_K_MAX`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{}{}", super::ENVIRONMENT_PREFIX, self.path.replace('.', "_").to_uppercase())
    }

    /// The field's value in a table of settings.
    #[must_use]
    pub fn find<'a>(&self, table: &'a Table) -> Option<&'a Value> {
        let (parents, leaf) = self.split();
        let mut table = table;
        for parent in parents {
            table = table.get(parent)?.as_table()?;
        }
        table.get(leaf)
    }

    /// The tables on the way to the field, and its own name.
    pub(super) fn split(&self) -> (Vec<&'static str>, &'static str) {
        let mut parts: Vec<&str> = self.path.split('.').collect();
        let leaf = parts.pop().unwrap_or(self.path);
        (parts, leaf)
    }
}

/// What is wrong with a field's value, if anything.
pub(super) fn check(field: &Field, table: &Table) -> Option<String> {
    let value = field.find(table)?;
    match (field.range, value) {
        (Range::Whole(min, max), Value::Integer(number)) => {
            let inside = u64::try_from(*number).is_ok_and(|number| (min..=max).contains(&number));
            (!inside)
                .then(|| format!("{}: must be {min} to {max} {}. {0}=`{number}`", field.path, field.unit))
        }
        (Range::OneOf(words), Value::String(word)) => (!words.contains(&word.as_str()))
            .then(|| format!("{}: must be one of {}", field.path, words.join(", "))),
        _ => None,
    }
}

const fn whole(path: &'static str, unit: &'static str, min: u64, max: u64, about: &'static str) -> Field {
    Field { path, unit, range: Range::Whole(min, max), about }
}

const fn text(path: &'static str, unit: &'static str, about: &'static str) -> Field {
    Field { path, unit, range: Range::Text, about }
}

const GIB: u64 = 1 << 30;

/// Every setting, in the order of the file.
pub const FIELDS: &[Field] = &[
    text(
        "data",
        "path",
        "The data directory; created when it does not exist. One process at a time may have it open.",
    ),
    text(
        "listen",
        "address:port",
        "Where gRPC is served. Port 0 takes any free port and logs it. An address other than loopback lets the network in: \
         there is no authentication yet, so put it behind a private network.",
    ),
    text("http", "address:port", "Where `/metrics`, `/livez` and `/readyz` are served over HTTP/1.1."),
    whole(
        "shutdown_timeout_ms",
        "milliseconds",
        0,
        3_600_000,
        "How long a stopping server waits for requests in flight before it drops them. Keep it below the patience of \
         whatever stops the process (systemd: 90 s, Kubernetes: 30 s). Acknowledged writes are durable either way.",
    ),
    whole(
        "limits.message_bytes_max",
        "bytes",
        64 << 10,
        GIB,
        "Largest gRPC message in either direction. A larger one admits larger batches and lets one caller hold more memory.",
    ),
    whole(
        "limits.batch_rows_max",
        "rows",
        1,
        1_000_000,
        "Rows in one write or one piece of a bulk load. Larger batches share more work and make everybody else wait longer.",
    ),
    whole(
        "limits.k_max",
        "tracks",
        1,
        100_000,
        "Longest list a query may ask for. The cost of a query grows with it.",
    ),
    whole(
        "limits.filter_terms_max",
        "values",
        0,
        1_000_000,
        "Values in one filter, all its lists together. Each costs one look-up in the postings of every segment.",
    ),
    whole(
        "limits.concurrent_requests_max",
        "queries",
        0,
        4_096,
        "Queries computed at the same time; 0 = one a processor. More than processors adds waiting, not work done.",
    ),
    whole(
        "limits.concurrent_writes_max",
        "writes",
        1,
        4_096,
        "Writes in progress at the same time. Writes that wait for the disk together share one fsync, so more of them \
         raise throughput; each holds its batch in memory.",
    ),
    whole(
        "limits.concurrent_loads_max",
        "loads",
        1,
        64,
        "Bulk loads in progress at the same time. Each holds a batch in memory and takes processor time from queries.",
    ),
    whole(
        "limits.queue_max",
        "requests",
        0,
        1_000_000,
        "Requests of one kind (queries, writes, loads) that may wait for their turn; the next is refused with \
         RESOURCE_EXHAUSTED and a hint when to retry. A longer queue smooths bursts and lengthens the worst wait.",
    ),
    whole(
        "limits.request_timeout_ms",
        "milliseconds",
        1,
        3_600_000,
        "Deadline of a request that brings none (`grpc-timeout`). Streams and bulk loads have none.",
    ),
    whole(
        "storage.seal_rows",
        "rows",
        1_000,
        10_000_000,
        "Rows the growing segment of a shard holds before it is sealed and indexed. The growing segment is searched \
         exactly: larger means fewer, larger graphs but slower queries until the seal.",
    ),
    whole(
        "storage.disk_reserve_bytes",
        "bytes",
        0,
        1 << 50,
        "Free disk below which writes are refused while reads go on. It is the room that sealing, merging and recovery need.",
    ),
    Field {
        path: "storage.verify_on_open",
        unit: "",
        range: Range::Switch,
        about: "Whether all files are read and checked against their checksums in the background after a start. What a request needs \
                before is checked when it is first used, so that nothing damaged is part of an answer either way; without it damage in what \
                nobody uses is found by `segue verify`. A node that has found damage stops and names the file.",
    },
    Field {
        path: "storage.index_in_memory",
        unit: "",
        range: Range::Switch,
        about: "Whether codes and graphs are read into memory of the process, on huge pages where the system has them, \
                which makes searches faster: codes at start, graphs in the background after it. Switch it off where they are larger than memory: then they are mapped, and \
                the kernel keeps of them what it has room for. Full-precision vectors are always mapped.",
    },
    whole(
        "storage.track_shards",
        "shards",
        0,
        crate::types::TRACK_SHARDS_MAX as u64,
        "Track shards of a new database, each with a log, segments and indexes of its own, for catalogues whose largest segments \
         would take too long to build or merge. 0 = one, or what the database has. Another number than it was made with is refused; \
         more are made by `segue cluster split-shard`. Exact answers do not depend on it. A search walks the graphs of every shard, so more shards cost more time.",
    ),
    whole(
        "storage.user_shards",
        "shards",
        0,
        crate::types::USER_SHARDS_MAX as u64,
        "User shards of a new database, each with a log and a store of its own: writes about listeners go on in several at \
         the same time. 0 = one, or what the database has. Another number than it was made with is refused; more are made by \
         `segue cluster split-shard`. Lists do not depend on it. Each takes two threads; more than eight take more memory than one, up to 10 MiB each.",
    ),
    whole(
        "storage.user_cache_bytes",
        "bytes",
        1 << 20,
        1 << 44,
        "Memory for user state that is read again and again. Enough for the active listeners saves a disk read a request.",
    ),
    whole(
        "storage.log_entries_max",
        "entries",
        16,
        100_000_000,
        "Entries a group's log may hold before it is cut behind what is in files. A node that was away for less is brought \
         up to date by the log, one that was away for more by files; for one that is still heard of, the log grows to four \
         times as much.",
    ),
    whole(
        "storage.background_threads",
        "threads",
        0,
        1_024,
        "Threads that seal, index and merge in the background; 0 = one a processor. Fewer leave more to queries and \
         let unsealed rows pile up under heavy writes.",
    ),
    text(
        "cluster.listen",
        "address:port",
        "Where other nodes of the cluster are listened to; a database that is alone does not bind it. Port 0 takes any free \
         port. Without `cluster.tls` whoever reaches it can read and change everything: keep it in a private network.",
    ),
    text(
        "cluster.advertise",
        "host:port",
        "How other nodes reach this one; empty: where it listens. Set it when `cluster.listen` is 0.0.0.0 or behind a \
         translated address.",
    ),
    Field {
        path: "cluster.join",
        unit: "host:port",
        range: Range::List,
        about: "Cluster ports of nodes whose cluster this one joins when its directory is empty, each asked until one answers; the same as \
                `--join`, which wins. All nodes may have the same list, their own address included; the first one is started with \
                `--cluster-init`, which wins over both. A directory that is in a cluster asks them only \
                when it has moved and nobody it knows answers.",
    },
    whole(
        "cluster.replace_after_ms",
        "milliseconds",
        0,
        86_400_000,
        "How long a voting node may be silent before its vote goes to a node that only follows, if there is one; 0 = for \
         ever. Shorter repairs sooner; longer than a restart or a repair of the network takes spares needless moves.",
    ),
    whole(
        "cluster.voters",
        "nodes",
        1,
        9,
        "How many nodes vote in each group, once there are so many, and how many hold a shard that is placed: an odd number. Only \
         the first node of a new cluster is asked (`--cluster-init`); it stays so. 3 bears the loss of one node, 5 of two at \
         the price of two more copies; 1 keeps no copy.",
    ),
    whole(
        "cluster.copy_bytes_per_second",
        "bytes",
        65_536,
        100_000_000_000,
        "What this node sends a second, to all others together, of shards that a node takes in or has fallen too far behind in; \
         and as much again of new segments that it has built. More makes a new replica, or loaded rows, ready sooner, and searches on \
         this node slower.",
    ),
    text(
        "cluster.tls.ca",
        "path",
        "PEM file of the authority whose certificates the cluster's nodes show each other; empty: no certificates. The three \
         files of `cluster.tls` go together, and all nodes have them or none. A node of another authority is refused.",
    ),
    text(
        "cluster.tls.cert",
        "path",
        "PEM file of this node's certificate; it must name the host of its `cluster.advertise`.",
    ),
    text(
        "cluster.tls.key",
        "path",
        "PEM file of the private key of `cluster.tls.cert`. Read once, at the start.",
    ),
    text(
        "log.filter",
        "",
        "Level by module (error, warn, info, debug, trace), such as `info,segue::api=debug`.",
    ),
    Field {
        path: "log.format",
        unit: "",
        range: Range::OneOf(&["text", "json"]),
        about: "`text` for people, `json` for log collectors: one object a line. Logs go to standard error.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn leaves(prefix: &str, table: &Table, into: &mut Vec<String>) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value.as_table() {
                Some(inner) => leaves(&path, inner, into),
                None => into.push(path),
            }
        }
    }

    #[test]
    fn the_table_lists_every_setting_and_no_other() {
        let defaults = Table::try_from(Settings::default()).expect("settings are a table");
        let mut settings = Vec::new();
        leaves("", &defaults, &mut settings);
        let mut listed: Vec<String> = FIELDS.iter().map(|field| field.path.to_owned()).collect();
        settings.sort();
        listed.sort();
        assert_eq!(listed, settings);
    }

    #[test]
    fn every_number_has_a_range_and_the_defaults_are_inside() {
        let defaults = Table::try_from(Settings::default()).expect("settings are a table");
        for field in FIELDS {
            let number = field.find(&defaults).is_some_and(Value::is_integer);
            assert_eq!(number, matches!(field.range, Range::Whole(..)), "{}", field.path);
        }
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        let mut settings = Settings::default();
        settings.limits.k_max = 0;
        settings.storage.seal_rows = 1;
        settings.http = settings.listen;
        let problems = settings.validate().expect_err("three fields are wrong");
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(problems[0], "limits.k_max: must be 1 to 100000 tracks. limits.k_max=`0`");
    }
}
