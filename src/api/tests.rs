//! The border without an engine behind it: refusals, readiness, hostile bytes, an orderly end.

use std::net::{Ipv4Addr, SocketAddr};

use ::http::Request;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::body::Body;
use tower::Service;

use super::core::Core;
use super::server::routes;
use super::{Client, Server, proto};
use crate::config::{Limits, Settings};
use crate::error::{Error, ErrorKind};
use crate::pipeline::request::RecommendRequest;
use crate::types::{SplitMix64, Surface, UserId};

fn settings() -> Settings {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings { listen: any_port, http: any_port, shutdown_timeout_ms: 2_000, ..Settings::default() }
}

async fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the port answers");
    let request = format!("GET {path} HTTP/1.1\r\nhost: segue\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("text");
    reply
}

fn request(n: Option<u32>) -> RecommendRequest {
    let (user, surface) = (UserId::new("u").expect("valid"), Surface::new("radio").expect("valid"));
    RecommendRequest { n, ..RecommendRequest::new(user, surface) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_opening_says_so_and_stops_in_order() {
    let server = Server::start(settings()).await.expect("both ports are free");
    let (grpc, http) = (server.grpc_address(), server.http_address());
    assert!(http_get(http, "/livez").await.starts_with("HTTP/1.1 200"));
    let ready = http_get(http, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("being opened"), "{ready}");

    let (wrong, early) = tokio::task::spawn_blocking(move || {
        let client = Client::connect(&format!("http://{grpc}")).expect("the port answers");
        (client.recommend(request(Some(0))), client.recommend(request(None)))
    })
    .await
    .expect("no panic");
    match wrong {
        Err(Error::InvalidField { field, .. }) => assert_eq!(field, "n"),
        other => panic!("expected a refusal of n, got {other:?}"),
    }
    assert_eq!(early.map_err(|error| error.kind()), Err(ErrorKind::Unavailable));

    let metrics = http_get(http, "/metrics").await;
    let line =
        "segue_grpc_requests_total{service=\"Recommender\",method=\"Recommend\",code=\"invalid_argument\"}";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains("segue_grpc_request_duration_seconds_bucket"), "{metrics}");
    server.stop().await.expect("an engine that is not open needs no stop");
    assert!(tokio::net::TcpStream::connect(grpc).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = Server::start(settings()).await.expect("both ports are free");
    let taken = Settings { listen: server.grpc_address(), ..settings() };
    let error = Server::start(taken).await.map(|_| ()).expect_err("the port is taken").to_string();
    assert!(error.contains(&server.grpc_address().to_string()), "{error}");
    server.stop().await.expect("stops");
}

/// Every method gets random bytes, framed well and badly: an answer each time, never a panic.
#[tokio::test]
async fn hostile_bytes_get_an_answer_from_every_method() {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5e90e);
    println!("SEED={seed}");
    let mut rng = SplitMix64::new(seed);
    let served = super::bad_input_tests::Served::new();
    for core in [Core::new(Limits::default()), served.core.clone()] {
        assault(&core, &mut rng).await;
    }
    let user = UserId::new("u").expect("valid");
    assert!(served.engine.user(&user).is_ok_and(|kept| kept.user_id == user), "the database still answers");
    let list =
        served.engine.recommend(RecommendRequest { user_id: user, ..request(None) }).expect("answered");
    assert_eq!(list.tracks.len(), 10);
}

/// Sends every method of the services random bytes.
async fn assault(core: &Core, rng: &mut SplitMix64) {
    let (_health, routes) = routes(core).expect("the descriptors are valid");
    let mut service = routes.prepare();
    let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).expect("valid").file;
    let mut methods = 0;
    for service_proto in files.iter().flat_map(|file| &file.service) {
        for method in &service_proto.method {
            methods += 1;
            for _ in 0..40 {
                let path = format!("/segue.v1.{}/{}", service_proto.name(), method.name());
                let request = Request::post(path)
                    .header("content-type", "application/grpc")
                    .body(Body::new(http_body_util::Full::new(hostile(rng).into())))
                    .expect("a request");
                let response = service.call(request).await.expect("services are infallible");
                assert_eq!(response.status(), 200);
                drain(response.into_body()).await;
            }
        }
    }
    assert_eq!(methods, 47);
}

fn hostile(rng: &mut SplitMix64) -> Vec<u8> {
    let len = rng.below(120) as usize;
    let mut payload: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
    if rng.below(2) == 0 {
        // Plausible: small field numbers with short lengths, so that decoding gets somewhere.
        payload = (0..rng.below(8)).flat_map(|_| field(rng)).collect();
    }
    let declared = if rng.below(4) == 0 { rng.next_u64() as u32 } else { payload.len() as u32 };
    let mut frame = vec![u8::from(rng.below(8) == 0)];
    frame.extend(declared.to_be_bytes());
    frame.extend(payload);
    frame
}

fn field(rng: &mut SplitMix64) -> Vec<u8> {
    let number = 1 + rng.below(14) as u8;
    match rng.below(4) {
        0 => vec![number << 3, rng.next_u64() as u8 & 0x7f],
        1 => [vec![number << 3 | 1], rng.next_u64().to_le_bytes().to_vec()].concat(),
        2 => vec![number << 3 | 2, 3, b'a', b'b', rng.next_u64() as u8 & 0x7f],
        _ => [vec![number << 3 | 5], (rng.next_u64() as u32).to_le_bytes().to_vec()].concat(),
    }
}

async fn drain(mut body: Body) {
    use http_body::Body as _;
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        if frame.is_err() {
            break;
        }
    }
}
