//! A server: both ports, the engine behind them, and an orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use super::catalog::CatalogService;
use super::cluster::ClusterService;
use super::core::Core;
use super::experiments::ExperimentsService;
use super::feedback::FeedbackService;
use super::generations::GenerationsService;
use super::loads::LoadsService;
use super::observe::Observer;
use super::proto as pb;
use super::recipes::RecipesService;
use super::recommender::RecommenderService;
use super::{admission::Admission, http};
use crate::config::{ClusterTls, Limits, Settings};
use crate::error::{Error, Result};
use crate::node::{Membership, OpenReport, Ports, Segue, TlsFiles};
use crate::telemetry;

/// Streams one connection may have open: many queries share one connection.
const STREAMS_MAX: u32 = 1_024;
/// What may be sent on one stream before it is read: a large batch of a bulk load.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for a connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// How often a silent connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often histograms are folded, so that an unread `/metrics` does not grow.
const UPKEEP: Duration = Duration::from_secs(5);
/// How often it is asked whether damage was found.
const DAMAGE_LOOK: Duration = Duration::from_millis(100);
/// How long finished replies get to leave the machine when the server stops.
const FLUSH: Duration = Duration::from_millis(100);

/// The services whose health is reported; the empty name stands for all.
const HEALTH_NAMES: [&str; 9] = [
    "",
    pb::recommender_server::RecommenderServer::<RecommenderService>::NAME,
    pb::feedback_server::FeedbackServer::<FeedbackService>::NAME,
    pb::catalog_server::CatalogServer::<CatalogService>::NAME,
    pb::loads_server::LoadsServer::<LoadsService>::NAME,
    pb::recipes_server::RecipesServer::<RecipesService>::NAME,
    pb::experiments_server::ExperimentsServer::<ExperimentsService>::NAME,
    pb::generations_server::GenerationsServer::<GenerationsService>::NAME,
    pb::cluster_server::ClusterServer::<ClusterService>::NAME,
];

/// How a server comes to its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterEntry {
    /// As the data directory says: alone, or in the cluster it is in.
    Kept,
    /// As the first node, unless it is in one already.
    First,
    /// By asking the nodes at these `HOST:PORT`, in turn until one answers, unless it is in one already.
    Join(Vec<String>),
}

/// A running server.
pub struct Server {
    settings: Settings,
    core: Core,
    observer: Observer,
    health: HealthReporter,
    grpc: (SocketAddr, JoinHandle<std::result::Result<(), tonic::transport::Error>>),
    http: (SocketAddr, JoinHandle<std::io::Result<()>>),
    upkeep: JoinHandle<()>,
}

impl Server {
    /// Blocking threads a runtime needs for a server with these limits: one for each admitted request and a few for files.
    #[must_use]
    pub fn blocking_threads(limits: &Limits) -> usize {
        Admission::threads_max(limits) + 8
    }

    /// Binds both ports and answers on them: not ready, until [`Server::open`] has returned.
    ///
    /// # Errors
    /// `Io` when a port cannot be bound; `Conflict` when the process has another metrics recorder.
    pub async fn start(settings: Settings) -> Result<Self> {
        let metrics = telemetry::metrics()?;
        let (grpc_listener, grpc_address) = bind(settings.listen).await?;
        let (http_listener, http_address) = bind(settings.http).await?;
        let core = Core::new(settings.limits.clone());
        let observer = Observer::new();
        let (health, routes) = routes(&core)?;
        for name in HEALTH_NAMES {
            health.set_service_status(name, ServingStatus::NotServing).await;
        }
        let stop = core.clone();
        let grpc = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .layer(observer.clone())
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(grpc_listener).with_nodelay(Some(true)),
                async move { stop.stopped().await },
            );
        let stop = core.clone();
        let app = http::routes(core.clone(), metrics.clone());
        let http =
            axum::serve(http_listener, app).with_graceful_shutdown(async move { stop.stopped().await });
        let upkeep = async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                metrics.run_upkeep();
            }
        };
        Ok(Self {
            settings,
            core,
            observer,
            health,
            grpc: (grpc_address, tokio::spawn(grpc)),
            http: (http_address, tokio::spawn(async { http.await })),
            upkeep: tokio::spawn(upkeep),
        })
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc.0
    }

    /// Where `/metrics`, `/livez` and `/readyz` are served.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http.0
    }

    /// Opens the data directory while the ports already answer, and serves from then on.
    ///
    /// # Errors
    /// Those of [`Segue::open_as`].
    pub async fn open(&self, entry: ClusterEntry) -> Result<OpenReport> {
        let settings = self.settings.clone();
        let ports = Ports {
            cluster: settings.cluster.listen,
            advertise: Some(settings.cluster.advertise.clone()).filter(|address| !address.is_empty()),
            api: self.grpc_address().to_string(),
            tls: tls_files(&settings.cluster.tls),
            replace_after: Some(settings.cluster.replace_after_ms)
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
            voters: usize::from(settings.cluster.voters),
        };
        let membership = match entry {
            ClusterEntry::Kept => Membership::Kept(ports),
            ClusterEntry::First => Membership::First(ports),
            ClusterEntry::Join(addresses) => Membership::Join(ports, addresses),
        };
        let open = move || Segue::open_as(&settings.data.clone(), settings, membership);
        let (engine, report) = blocking(open).await?;
        self.serve(engine).await;
        Ok(report)
    }

    /// Serves from an engine that is open already.
    pub async fn serve(&self, engine: Segue) {
        self.core.open(engine);
        for name in HEALTH_NAMES {
            self.health.set_service_status(name, ServingStatus::Serving).await;
        }
    }

    /// Returns when the engine has found damage in a file that it read since it was opened.
    pub fn damaged(&self) -> impl Future<Output = Error> + use<> {
        let core = self.core.clone();
        async move {
            loop {
                if let Some(damage) = core.engine().ok().and_then(Segue::damage) {
                    return damage;
                }
                tokio::time::sleep(DAMAGE_LOOK).await;
            }
        }
    }

    /// Returns when a port has stopped answering by itself.
    pub async fn failed(&mut self) -> Error {
        let text = tokio::select! {
            outcome = &mut self.grpc.1 => format!("the gRPC port stopped answering: {outcome:?}"),
            outcome = &mut self.http.1 => format!("the HTTP port stopped answering: {outcome:?}"),
        };
        Error::Internal(text)
    }

    /// Stops: no new requests, those in flight finish (for `shutdown_timeout_ms` at most), then the engine.
    ///
    /// # Errors
    /// Those of [`Segue::shutdown`].
    pub async fn stop(self) -> Result<()> {
        for name in HEALTH_NAMES {
            self.health.set_service_status(name, ServingStatus::NotServing).await;
        }
        self.core.stop();
        let limit = Duration::from_millis(self.settings.shutdown_timeout_ms);
        info!(in_flight = self.observer.in_flight(), "stopping");
        if tokio::time::timeout(limit, self.drained()).await.is_err() {
            warn!(
                in_flight = self.observer.in_flight(),
                "requests were dropped: shutdown_timeout_ms has passed"
            );
        }
        self.grpc.1.abort();
        self.http.1.abort();
        self.upkeep.abort();
        match self.core.engine().cloned() {
            Ok(engine) => blocking(move || engine.shutdown()).await,
            Err(_) => Ok(()),
        }
    }

    /// Health watchers hold their connections for ever, so the requests are what is waited for, not the connections.
    async fn drained(&self) {
        while self.observer.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(FLUSH).await;
    }
}

fn tls_files(tls: &ClusterTls) -> Option<TlsFiles> {
    let ClusterTls { ca, cert, key } = tls.clone();
    tls.is_set().then_some(TlsFiles { ca, cert, key })
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source| Error::io("bind the address", PathBuf::from(address.to_string()), source);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failure = |error| Error::Internal(format!("a background thread failed: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failure)?
}

/// All services of the gRPC port.
pub(super) fn routes(core: &Core) -> Result<(HealthReporter, Routes)> {
    use pb::catalog_server::CatalogServer;
    use pb::cluster_server::ClusterServer;
    use pb::experiments_server::ExperimentsServer;
    use pb::feedback_server::FeedbackServer;
    use pb::generations_server::GenerationsServer;
    use pb::loads_server::LoadsServer;
    use pb::recipes_server::RecipesServer;
    use pb::recommender_server::RecommenderServer;

    let max = usize::try_from(core.limits().message_bytes_max).unwrap_or(usize::MAX);
    let (health, health_service) = tonic_health::server::health_reporter();
    let failed = |error| Error::Internal(format!("the reflection service cannot be built: {error}"));
    let recommender = RecommenderServer::new(RecommenderService(core.clone()));
    let feedback = FeedbackServer::new(FeedbackService(core.clone()));
    let catalog = CatalogServer::new(CatalogService(core.clone()));
    let loads = LoadsServer::new(LoadsService(core.clone()));
    let recipes = RecipesServer::new(RecipesService(core.clone()));
    let experiments = ExperimentsServer::new(ExperimentsService(core.clone()));
    let generations = GenerationsServer::new(GenerationsService(core.clone()));
    let cluster = ClusterServer::new(ClusterService(core.clone()));
    // Compressed requests are bounded by the same limit after they are expanded.
    let routes = Routes::default()
        .add_service(health_service)
        .add_service(reflection().build_v1().map_err(failed)?)
        .add_service(reflection().build_v1alpha().map_err(failed)?)
        .add_service(recommender.max_decoding_message_size(max).accept_compressed(Gzip))
        .add_service(feedback.max_decoding_message_size(max).accept_compressed(Gzip))
        .add_service(catalog.max_decoding_message_size(max).accept_compressed(Gzip))
        .add_service(loads.max_decoding_message_size(max).accept_compressed(Gzip))
        .add_service(recipes.max_decoding_message_size(max).accept_compressed(Gzip))
        .add_service(experiments.max_decoding_message_size(max).accept_compressed(Gzip))
        .add_service(generations.max_decoding_message_size(max).accept_compressed(Gzip))
        .add_service(cluster.max_decoding_message_size(max).accept_compressed(Gzip));
    Ok((health, routes))
}

/// Tools such as grpcurl ask for v1alpha still, so both versions are served.
fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
