//! The node agent: from its start to its end.

use std::{path::PathBuf, pin::pin, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use weir_agent::agent::Agent;
use weir_runtime::{logging, reload::Reload, stop};

/// Watches this host's networking with eBPF and streams flow events to a gateway.
#[derive(Parser)]
#[command(name = "weir-agent", version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread is enough: the collectors have their own, and the uplink sends a few batches a period.
#[tokio::main(flavor = "current_thread")]
async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut reload = Reload::watch(&arguments.config).context("cannot wait for SIGHUP")?;
    let mut agent = Agent::start(&arguments.config)?;
    let mut stop = pin!(stop::requested());
    let signal = loop {
        tokio::select! {
            signal = &mut stop => break signal,
            trigger = reload.requested() => agent.reload(trigger).await,
            settings = agent.settings() => agent.take(settings).await,
        }
    };
    tracing::info!(signal, "stopping");
    agent.stop().await;
    Ok(())
}
