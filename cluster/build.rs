//! Compiles `proto/segue/cluster/v1` with protox (no protoc).

use std::error::Error;

const PROTO: &str = "../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}/segue/cluster");
    let descriptors = protox::compile(["segue/cluster/v1/peers.proto"], [PROTO])?;
    tonic_prost_build::configure()
        .bytes(".segue.cluster.v1")
        .build_transport(true)
        .compile_fds(descriptors)?;
    Ok(())
}
