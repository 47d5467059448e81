//! `weir`: the story of the process.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::runtime::{Builder, Runtime};
use weir_cli::{
    points::{self, Category, Filter, Format, GatewayAddress},
    script,
};
use weir_runtime::stop;

/// Watches what weir sees.
#[derive(Parser)]
#[command(name = "weir", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the live stream of flows, until interrupted.
    Flows(Stream),
    /// Prints the live stream of flows, spans, metric data points or log records, until interrupted.
    Points {
        /// The kind of signal; all but `network` come over OTLP.
        #[arg(short, long)]
        category: Signal,
        #[command(flatten)]
        stream: Stream,
    },
    /// Programs that edit Points: try one here, or see and change those of a gateway.
    #[command(subcommand)]
    Script(script::Command),
}

#[derive(Args)]
struct Stream {
    /// A table for people, or one JSON object a line.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// Only Points whose tag KEY has this VALUE; all of several must match. `name` is the Point's name, and
    /// `resource.KEY` an attribute of its resource.
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<Filter>,
    /// Where the gateway listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4319")]
    gateway: GatewayAddress,
}

#[derive(Clone, Copy, ValueEnum)]
enum Signal {
    Network,
    Metric,
    Tracing,
    Logging,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

impl From<Signal> for Category {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Network => Self::Network,
            Signal::Metric => Self::Metric,
            Signal::Tracing => Self::Tracing,
            Signal::Logging => Self::Logging,
        }
    }
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => run(&runtime, command).map_or_else(
            |error| fail(&error),
            |()| {
                // A write that nobody reads must not keep the process.
                runtime.shutdown_background();
                ExitCode::SUCCESS
            },
        ),
        Err(error) => fail(&anyhow::Error::new(error).context("cannot start the runtime")),
    }
}

fn run(runtime: &Runtime, command: Command) -> anyhow::Result<()> {
    let (category, stream) = match command {
        Command::Flows(stream) => (Category::Network, stream),
        Command::Points { category, stream } => (category.into(), stream),
        Command::Script(command) => {
            return Ok(runtime.block_on(script::run(command, &mut io::stdout()))?);
        }
    };
    let Stream {
        output,
        filters,
        gateway,
    } = stream;
    let format = match output {
        Output::Json => Format::Json,
        Output::Table => Format::Table {
            repeat_header: io::stdout().is_terminal(),
        },
    };
    runtime.block_on(async {
        tokio::select! {
            result = points::watch(gateway, category, filters, format, io::stdout()) => Ok(result?),
            _ = stop::requested() => Ok(()),
        }
    })
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // What lies between repeats itself, for connections at least.
    let (text, cause) = (error.to_string(), error.root_cause().to_string());
    let line = if text == cause {
        text
    } else {
        format!("{text}: {cause}")
    };
    // Nothing is left to be done if even this cannot be written.
    drop(writeln!(io::stderr(), "weir: {line}"));
    ExitCode::FAILURE
}
