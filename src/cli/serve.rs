//! `segue serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::output::print;
use crate::api::{ClusterEntry, Server};
use crate::config::{self, Settings};
use crate::error::{Error, Result};
use crate::telemetry;

const EXAMPLES: &str = "\
Settings come from defaults, the file, SEGUE_* variables and flags, each over the one before (docs/CONFIG.md).
SIGTERM and SIGINT stop in order: no new requests, those in flight finish, then the database closes.

Examples:
  segue serve --data ./segue-data
  segue serve --config segue.toml --set limits.k_max=500
  segue serve --data ./segue-data --user-shards 4
  segue serve --data ./node1 --cluster-init
  segue serve --data ./node2 --listen 127.0.0.1:7710 --http 127.0.0.1:7711 --cluster-listen 127.0.0.1:7712 \\
    --join 127.0.0.1:7702
  segue serve --data ./segue-data --print-config > segue.toml";

/// Serve a database over gRPC.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// The data directory; created when it does not exist
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where gRPC is served [default: 127.0.0.1:7700]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Where /metrics, /livez and /readyz are served [default: 127.0.0.1:7701]
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<SocketAddr>,
    /// Where other nodes of a cluster are listened to [default: 127.0.0.1:7702]
    #[arg(long, value_name = "HOST:PORT")]
    cluster_listen: Option<SocketAddr>,
    /// Become the first node of a cluster, with the data that is there; does nothing in one that is in a cluster
    #[arg(long, conflicts_with = "join")]
    cluster_init: bool,
    /// Join the cluster of the node whose cluster port this is, with an empty directory; does nothing in one that has. Several
    /// are asked until one answers (repeatable, or with commas)
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    join: Vec<String>,
    /// User shards of a new database, 1 to 64 [default: 1]; one that exists keeps its number and refuses another
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    user_shards: Option<u16>,
    /// Track shards of a new database, 1 to 64 [default: 1]; one that exists keeps its number and refuses another
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    track_shards: Option<u16>,
    /// A TOML file of settings
    #[arg(long, value_name = "FILE", env = "SEGUE_CONFIG")]
    config: Option<PathBuf>,
    /// One setting, such as limits.k_max=500 (repeatable)
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Print the settings that would be used, as a TOML file, and stop
    #[arg(long)]
    print_config: bool,
}

fn assignment(text: &str) -> std::result::Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("expected PATH=VALUE, such as limits.k_max=500")?;
    Ok((path.trim().to_owned(), value.trim().to_owned()))
}

impl ServeArgs {
    /// Flags as settings, the special ones over `--set`.
    fn overrides(&self) -> config::Overrides {
        let mut overrides = self.set.clone();
        let mut flag = |path: &str, value: Option<String>| {
            overrides.extend(value.map(|value| (path.to_owned(), value)));
        };
        flag("data", self.data.as_ref().map(|dir| dir.display().to_string()));
        flag("listen", self.listen.map(|address| address.to_string()));
        flag("http", self.http.map(|address| address.to_string()));
        flag("storage.track_shards", self.track_shards.map(|count| count.to_string()));
        flag("storage.user_shards", self.user_shards.map(|count| count.to_string()));
        flag("cluster.join", (!self.join.is_empty()).then(|| self.join.join(",")));
        flag("cluster.listen", self.cluster_listen.map(|address| address.to_string()));
        overrides
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Wrong settings, a port in use, a directory that cannot be opened.
    pub fn run(self) -> Result<()> {
        let loaded = config::load(self.config.as_deref(), std::env::vars(), &self.overrides())?;
        let text = toml::to_string_pretty(&loaded.settings)
            .map_err(|error| Error::Internal(format!("settings cannot be printed: {error}")))?;
        if self.print_config {
            return print(&text);
        }
        telemetry::init_logs(&loaded.settings.log)?;
        for variable in &loaded.ignored_variables {
            warn!(variable, "ignored: no such setting");
        }
        info!(settings = %text.replace('\n', " "), "effective settings");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("segue-api")
            .max_blocking_threads(Server::blocking_threads(&loaded.settings.limits))
            .build()
            .map_err(|source| Error::io("start the server's threads", "tokio", source))?;
        let join = &loaded.settings.cluster.join;
        let entry = match (self.cluster_init, join.is_empty()) {
            (true, _) => ClusterEntry::First,
            (false, false) => ClusterEntry::Join(join.clone()),
            (false, true) => ClusterEntry::Kept,
        };
        let outcome = runtime.block_on(serve(loaded.settings, entry));
        // A client's stream or a timed-out call must not keep the process.
        runtime.shutdown_background();
        outcome
    }
}

async fn serve(settings: Settings, entry: ClusterEntry) -> Result<()> {
    let data = settings.data.clone();
    let mut server = Server::start(settings).await?;
    info!(grpc = %server.grpc_address(), http = %server.http_address(), "listening");
    let mut stop = std::pin::pin!(stop_signal());
    let opened = tokio::select! {
        report = server.open(entry) => Some(report),
        signal = &mut stop => { signal?; None }
    };
    match opened {
        // Opening goes on behind a stop; the process ends and the next start repairs what is to repair.
        None => return server.stop().await,
        Some(Err(error)) => {
            server.stop().await?;
            return Err(error);
        }
        Some(Ok(report)) => {
            for repair in &report.repairs {
                warn!(repair, "repaired at start");
            }
            info!(data = %data.display(), "ready");
        }
    }
    let damaged = server.damaged();
    let outcome = tokio::select! {
        error = server.failed() => Err(error),
        error = damaged => Err(error),
        signal = &mut stop => signal,
    };
    let stopped = server.stop().await;
    info!("stopped");
    outcome.and(stopped)
}

/// Returns at SIGTERM or SIGINT.
async fn stop_signal() -> Result<()> {
    let failed = |source| Error::io("listen for signals", "SIGTERM", source);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
