//! `weir-gateway`: the story of the process.

use std::{path::PathBuf, pin::pin, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use tracing::{error, info};
use weir_gateway::{Config, Gateway};
use weir_runtime::{logging, reload::Reload, stop};

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
    // Two workers: one can render or convert while the other serves. More would cost
    // memory and gain little, as no request waits for a disk.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let file = &arguments.config;
            let mut reload = Reload::watch(file).context("cannot wait for SIGHUP")?;
            let mut gateway = Gateway::start(Config::load(file)?).await?;
            let mut stop = pin!(stop::requested());
            let signal = loop {
                tokio::select! {
                    signal = &mut stop => break signal,
                    trigger = reload.requested() => gateway.reload(file, trigger).await,
                }
            };
            info!(signal, "stopping");
            gateway.stop().await;
            Ok(())
        })
}
