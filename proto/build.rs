//! Compiles the contracts in pure Rust: no `protoc` on the machine.

use anyhow::Context as _;

const FILES: [&str; 3] = [
    "weir/flow/v1/flow.proto",
    "weir/observe/v1/observe.proto",
    "weir/observe/v1/scripts.proto",
];

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=weir");
    let descriptors =
        protox::compile(FILES, ["."]).context("failed to compile the .proto files")?;
    tonic_prost_build::configure()
        .compile_fds(descriptors)
        .context("failed to generate code from the .proto files")
}
