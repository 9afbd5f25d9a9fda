//! A node that speaks a newer protocol is asked, and is refused with the reason.

#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

use super::frame::VERSION;
use super::network::cluster_of;
use super::proto::{self as pb, peers_server::Peers, peers_server::PeersServer};

/// Announces the next version, and does nothing else.
struct Newer;

fn nothing_else<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("told to do nothing else"))
}

#[tonic::async_trait]
impl Peers for Newer {
    async fn hello(&self, _: Request<pb::HelloRequest>) -> Result<Response<pb::HelloReply>, Status> {
        let cluster = Bytes::copy_from_slice(&7_u128.to_be_bytes());
        Ok(Response::new(pb::HelloReply { version: VERSION + 1, cluster, store: 9 }))
    }

    async fn raft(&self, _: Request<Streaming<pb::RaftFrame>>) -> Result<Response<pb::StreamEnd>, Status> {
        nothing_else()
    }

    async fn files(&self, _: Request<Streaming<pb::FilesFrame>>) -> Result<Response<pb::StreamEnd>, Status> {
        nothing_else()
    }

    async fn propose(&self, _: Request<pb::ProposeRequest>) -> Result<Response<pb::ProposeReply>, Status> {
        nothing_else()
    }

    async fn join(&self, _: Request<pb::JoinRequest>) -> Result<Response<pb::JoinReply>, Status> {
        nothing_else()
    }

    async fn call(&self, _: Request<pb::CallRequest>) -> Result<Response<pb::CallReply>, Status> {
        nothing_else()
    }
}

#[test]
fn a_node_that_announces_a_newer_protocol_is_not_joined_and_both_versions_are_named() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::builder().add_service(PeersServer::new(Newer));
    runtime.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let refused = cluster_of(&address, None).unwrap_err().to_string();
    assert!(refused.contains("another version of the protocol"), "{refused}");
    assert!(refused.contains(&format!("version=`{}`, known=`{VERSION}`", VERSION + 1)), "{refused}");
    runtime.shutdown_background();
}
