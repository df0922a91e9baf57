//! Compiles the wire's messages without protoc. The service itself is generated in `mesh-probe`: its stubs need
//! tokio, which this crate must not know.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=wire");
    let files = protox::compile(["mesh/v1/agent.proto"], ["wire"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
