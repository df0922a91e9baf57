//! Compiles the wire's messages without protoc. The service itself is generated in `mesh-probe`: its stubs need
//! tokio, which this crate must not know.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=wire");
    let files = protox::compile(["mesh/v1/agent.proto"], ["wire"])?;
    prost_build::Config::new()
        // It would make every answer as large as the largest.
        .boxed(".mesh.v1.Answer.seen.probe")
        .compile_fds(files)?;
    Ok(())
}
