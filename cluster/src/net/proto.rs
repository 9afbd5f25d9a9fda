//! Types generated from `proto/segue/cluster/v1`.
#![allow(missing_docs, reason = "generated")]

tonic::include_proto!("segue.cluster.v1");
