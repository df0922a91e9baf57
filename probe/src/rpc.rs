//! The generated gRPC stubs of `mesh/v1/agent.proto`, for both ends.

#![allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::pedantic,
    reason = "generated code"
)]

tonic::include_proto!("mesh.v1");
