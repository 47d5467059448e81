//! `weir script`: programs that edit Points, tried here or run by a gateway.

mod json;
mod lookups;
mod remote;
mod trial;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Subcommand, ValueEnum};
use tonic::{Status, transport};
use weir_proto::observe::v1 as wire;

use self::json::InvalidPoint;
pub use self::lookups::LookupArguments;
use crate::points::GatewayAddress;

const DEFAULT_GATEWAY: &str = "127.0.0.1:4319";

/// What can be done with scripts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a script on Points from a file and shows what it does to each; needs no gateway.
    Test {
        /// The script.
        #[arg(value_name = "FILE")]
        script: PathBuf,
        /// Points as `weir points -o json` prints them, one a line or in a list.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// The Points that must come out, in their order; of each only what is given is compared, tags and fields as a whole.
        #[arg(long, value_name = "FILE")]
        expect: Option<PathBuf>,
        /// What it can look up.
        #[command(flatten)]
        lookups: LookupArguments,
    },
    /// Lists the scripts of a gateway.
    List {
        /// Where the gateway listens.
        #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_GATEWAY)]
        gateway: GatewayAddress,
    },
    /// Loads a script into a gateway.
    Load {
        /// The script; its name without the extension is the name of the Points, or `default`.
        #[arg(value_name = "FILE")]
        script: PathBuf,
        /// Which Points it is for.
        #[arg(short, long)]
        category: Category,
        /// Another name than that of the file.
        #[arg(long)]
        name: Option<String>,
        /// Where the gateway listens.
        #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_GATEWAY)]
        gateway: GatewayAddress,
    },
    /// Removes a script that was loaded.
    Unload {
        /// Its name.
        name: String,
        /// Which Points it is for.
        #[arg(short, long)]
        category: Category,
        /// Where the gateway listens.
        #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_GATEWAY)]
        gateway: GatewayAddress,
    },
    /// Shows what the scripts of a gateway have done.
    Stats {
        /// Where the gateway listens.
        #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_GATEWAY)]
        gateway: GatewayAddress,
    },
}

/// A kind of signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Category {
    /// Flows.
    Network,
    /// Metric data points.
    Metric,
    /// Spans.
    Tracing,
    /// Log records.
    Logging,
}

impl From<Category> for wire::Category {
    fn from(category: Category) -> Self {
        match category {
            Category::Network => Self::Network,
            Category::Metric => Self::Metric,
            Category::Tracing => Self::Tracing,
            Category::Logging => Self::Logging,
        }
    }
}

/// The command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The script has mistakes.
    #[error("{} does not compile:\n{text}", file.display())]
    Mistake {
        /// The script.
        file: PathBuf,
        /// Every mistake with its place.
        text: String,
    },
    /// A file does not hold Points.
    #[error("{}: {problem}", file.display())]
    Points {
        /// The file.
        file: PathBuf,
        /// What is wrong in it.
        problem: InvalidPoint,
    },
    /// The script failed on Points, or other Points came out than were expected.
    #[error("{0}")]
    Failed(String),
    /// A script that is loaded needs a name.
    #[error("{} does not say what the script is called; use --name", file.display())]
    NoName {
        /// The script.
        file: PathBuf,
    },
    /// Nobody answers at the address.
    #[error("cannot reach a gateway at {gateway}")]
    Unreachable {
        /// The address.
        gateway: GatewayAddress,
        /// What the network said.
        source: transport::Error,
    },
    /// The gateway said no.
    #[error("the gateway at {gateway} refused: {}", status.message())]
    Refused {
        /// The address.
        gateway: GatewayAddress,
        /// What the gateway said.
        status: Box<Status>,
    },
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// Carry out `command`, and write what it shows to `out`.
///
/// # Errors
/// It could not be done, or the test of a script has failed.
pub async fn run(command: Command, out: &mut impl Write) -> Result<(), ScriptError> {
    match command {
        Command::Test {
            script,
            input,
            expect,
            lookups,
        } => trial::run(&script, &input, expect.as_deref(), &lookups, out),
        Command::List { gateway } => remote::list(gateway, out).await,
        Command::Load {
            script,
            category,
            name,
            gateway,
        } => remote::load(&script, category, name, gateway, out).await,
        Command::Unload {
            name,
            category,
            gateway,
        } => remote::unload(name, category, gateway, out).await,
        Command::Stats { gateway } => remote::stats(gateway, out).await,
    }
}

fn read(file: &Path) -> Result<String, ScriptError> {
    fs::read_to_string(file).map_err(|source| ScriptError::Unreadable {
        file: file.to_owned(),
        source,
    })
}

fn write(out: &mut impl Write, text: &str) -> Result<(), ScriptError> {
    out.write_all(text.as_bytes()).map_err(ScriptError::Output)
}

#[cfg(test)]
mod tests;
