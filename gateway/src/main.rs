//! `weir-gateway`: the story of the process.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use tracing::{error, info};
use weir_gateway::{Config, Gateway};
use weir_runtime::{logging, stop};

/// Takes flow events from weir agents and hands them on as Prometheus metrics, as OTLP
/// and as a live stream.
#[derive(Parser)]
#[command(name = "weir-gateway", version)]
struct Arguments {
    /// The configuration file (YAML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    // Two workers: one can render or convert while the other serves. More would cost
    // memory and gain little, as no request waits for a disk.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let gateway = Gateway::start(config).await?;
            let signal = stop::requested().await;
            info!(signal, "stopping");
            gateway.stop().await;
            Ok(())
        })
}
