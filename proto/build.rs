//! Compiles `proto/segue/v1` with protox (no protoc) into client and server code and a descriptor set for reflection.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 9] = [
    "segue/v1/types.proto",
    "segue/v1/recommender.proto",
    "segue/v1/feedback.proto",
    "segue/v1/catalog.proto",
    "segue/v1/loads.proto",
    "segue/v1/recipes.proto",
    "segue/v1/experiments.proto",
    "segue/v1/generations.proto",
    "segue/v1/cluster.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/segue/v1");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("segue.v1.descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().build_transport(true).compile_fds(descriptors)?;
    Ok(())
}
