//! Programs that say exactly what they sent and received.
//!
//! `weir-traffic` is copied under another name for each role, so that a story can tell one executable
//! from another.

use std::{fs, path::PathBuf, process::Command, sync::Arc};

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::{netns::Netns, process::Running, program};

/// An executable that makes traffic, named by the story.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    folder: Arc<TempDir>,
}

/// What one side of the traffic says of itself, as it counted its own reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Process id.
    pub pid: u32,
    /// Payload bytes read.
    pub read: u64,
    /// Payload bytes written.
    pub written: u64,
    /// Connections that were established.
    pub connections: u64,
    /// Connects that failed.
    pub failed: u64,
    /// UDP datagrams read.
    pub datagrams_read: u64,
    /// UDP datagrams written.
    pub datagrams_written: u64,
}

/// A running traffic program, with the folder that its executable is in.
#[derive(Debug)]
pub struct Traffic(
    Running,
    #[expect(dead_code, reason = "kept for its end")] Arc<TempDir>,
);

impl Program {
    /// A copy of the traffic program under `name`.
    ///
    /// # Errors
    /// If it is not built or cannot be copied.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let original = program("weir-traffic")?;
        let beside = original
            .parent()
            .context("the traffic program is in no folder")?;
        let folder = tempfile::tempdir_in(beside).context("failed to make a folder")?;
        let path = folder.path().join(name);
        // A link and not a copy: one that was just written is busy while another thread starts a program.
        fs::hard_link(&original, &path).with_context(|| format!("failed to link to {name}"))?;
        Ok(Self {
            path,
            folder: Arc::new(folder),
        })
    }

    /// Runs it with `arguments`, inside `netns` or in the story's own namespace.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(&self, netns: Option<&Netns>, arguments: &str) -> anyhow::Result<Traffic> {
        let mut command = match netns {
            Some(netns) => {
                let mut command = Command::new("ip");
                command
                    .args(["netns", "exec", netns.name()])
                    .arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        command.args(arguments.split_whitespace());
        Ok(Traffic(
            Running::start(arguments, &mut command)?,
            Arc::clone(&self.folder),
        ))
    }
}

impl Traffic {
    /// Waits until it listens, and gives the port.
    ///
    /// # Errors
    /// If it ends before.
    pub fn port(&mut self) -> anyhow::Result<u16> {
        self.0
            .line(|line| line.strip_prefix("listening ")?.parse().ok())
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Waits until it has done `step`, one of the lines it prints.
    ///
    /// # Errors
    /// If it ends before.
    pub fn step(&mut self, step: &str) -> anyhow::Result<()> {
        self.0.line(|line| (line == step).then_some(()))
    }

    /// Lets a program that holds its connections do its next step.
    ///
    /// # Errors
    /// If it is gone.
    pub fn go_on(&mut self) -> anyhow::Result<()> {
        self.0.tell("go on")
    }

    /// Waits for its end and returns what it said.
    ///
    /// # Errors
    /// If it fails.
    pub fn said(mut self) -> anyhow::Result<Said> {
        let status = self.0.ended()?;
        anyhow::ensure!(status.success(), "traffic failed: {:?}", self.0.stderr());
        let text = self
            .0
            .line(|line| line.starts_with('{').then(|| line.to_owned()))?;
        let value: Value = serde_json::from_str(&text)?;
        let number = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
        Ok(Said {
            pid: number("pid") as u32,
            read: number("read"),
            written: number("written"),
            connections: number("connections"),
            failed: number("failed"),
            datagrams_read: number("datagrams_read"),
            datagrams_written: number("datagrams_written"),
        })
    }
}
