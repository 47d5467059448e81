//! Checks weir on the kernel that it runs on, and makes the table of several kernels' results.
//!
//! Every line of a result begins with what it is: `kernel RELEASE`, `hook EVENT HOOK REASON`, `ok CASE`,
//! `FAIL CASE` with indented lines of detail, and at last `end`.

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

mod check;
mod table;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Checks weir on a kernel.
#[derive(Parser)]
#[command(name = "weir-kernel-check")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every case on this kernel.
    Check {
        /// In a network namespace of its own, so that nothing else on this machine is in the way.
        #[arg(long)]
        here: bool,
        /// Only cases whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Prints results as tables in Markdown; fails if a case failed.
    Table {
        /// Results, each with the heading of its column: `HEADING=FILE`.
        #[arg(required = true)]
        results: Vec<String>,
        /// A document that must have the same tables.
        #[arg(long)]
        document: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let good = match Arguments::parse().command {
        Task::Check { here: true, only } => return check::in_own_namespace(&only),
        Task::Check { only, .. } => check::run(&only)?,
        Task::Table { results, document } => {
            let document = document
                .map(|path| {
                    std::fs::read_to_string(&path)
                        .with_context(|| format!("failed to read {}", path.display()))
                })
                .transpose()?;
            table::print(&results, document.as_deref())?
        }
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
