//! Generates the gRPC stubs without protoc. The messages are those of `mesh-proto`, which must not know tokio.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../proto/wire");
    let files = protox::compile(["mesh/v1/agent.proto"], ["../proto/wire"])?;
    tonic_prost_build::configure()
        .extern_path(".mesh.v1", "::mesh_proto::wire::v1")
        .compile_fds(files)?;
    Ok(())
}
