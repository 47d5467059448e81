//! The node agent: from its start to its end.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use weir_agent::{
    config::{Config, ENV_PREFIX},
    dnsflow,
    host::Identity,
    names::Names,
    netflow::{Collector, Outputs},
    privilege, self_telemetry,
    status::Status,
    uplink::{Queue, Uplink},
};
use weir_proto::flow::v1::Hook;
use weir_runtime::{
    config::Document,
    logging,
    stop::{self, Deadline},
};

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
    let config = Document::load(&arguments.config, ENV_PREFIX)?.read(Config::read)?;
    privilege::check(config.netflow.hook)?;

    let names = Arc::new(Names::new(&config.dnsflow.names));
    let mut collector =
        Collector::attach(&config.netflow, None).context("the netflow collector cannot run")?;
    if config.dnsflow.enabled {
        collector = collector.with_names(Arc::clone(&names));
    }
    let hooks = collector.hooks().to_vec();
    let identity = Identity::now(config.host.clone());
    for chosen in &hooks {
        tracing::info!(
            event = chosen.event,
            hook = chosen.hook,
            reason = chosen.reason,
            "observes"
        );
    }
    tracing::info!(
        host = identity.host,
        adopted = collector.adopted(),
        "netflow watches"
    );
    let hooks = hooks.into_iter().map(|chosen| Hook {
        event: chosen.event.to_owned(),
        hook: chosen.hook.to_owned(),
        reason: chosen.reason,
    });
    let status = Arc::new(Status::new(hooks.collect()));
    let telemetry = self_telemetry::start(config.telemetry.as_ref(), &identity.host, &status)?;
    let queue = Arc::new(Queue::new(config.uplink.buffer.0 as usize));
    let uplink = Uplink::new(
        &config.gateway,
        identity,
        Arc::clone(&queue),
        Arc::clone(&status),
    )?;

    let owners = Arc::default();
    let shared = dnsflow::Shared {
        queue: Arc::clone(&queue),
        status: Arc::clone(&status),
        owners: Arc::clone(&owners),
        names,
    };
    let dns = config
        .dnsflow
        .enabled
        .then(|| dnsflow::Collector::start(&config.dnsflow, shared))
        .transpose()
        .context("the dnsflow collector cannot run")?;
    let outputs = Outputs {
        queue: Arc::clone(&queue),
        status,
        owners: Some(owners),
    };
    let collecting = collector
        .spawn(outputs)
        .context("cannot start the netflow collector")?;
    let sending = tokio::spawn(uplink.run());

    let signal = stop::requested().await;
    let deadline = Deadline::after(config.stop_deadline);
    tracing::info!(signal, "stopping");
    // Collectors first: what they still report goes out before the uplink ends.
    tokio::task::spawn_blocking(move || {
        if let Some(dns) = dns {
            dns.stop();
        }
        collecting.stop();
    })
    .await?;
    queue.close();
    deadline.finish("uplink", sending).await;
    if let Some(telemetry) = telemetry {
        telemetry.stop(&deadline).await;
    }
    let tally = queue.tally();
    tracing::info!(
        rows = tally.rows,
        acked = tally.acked_rows,
        dropped = tally.dropped_rows,
        unsent = tally.queued_rows,
        "stopped"
    );
    Ok(())
}
