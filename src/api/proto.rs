//! Types generated from `proto/segue/v1`. They stay inside `api`: `convert` turns them into domain types and back.

tonic::include_proto!("segue.v1");

/// All services and messages, for the reflection service and the list of known methods.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("segue.v1.descriptors");
