//! A child process whose output is read line by line, and which does not outlive its owner.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

type Lines = Arc<Mutex<Vec<String>>>;

/// A running child process.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

fn follow(stream: Option<impl Read + Send + 'static>) -> Lines {
    let lines = Lines::default();
    if let Some(stream) = stream {
        let to = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                to.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }
    lines
}

fn copy(lines: &Lines) -> Vec<String> {
    lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Running {
    /// Starts `command`; `what` names it in messages.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(what: &str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {what}: {command:?}"))?;
        let (stdout, stderr) = (follow(child.stdout.take()), follow(child.stderr.take()));
        Ok(Self {
            what: what.to_owned(),
            child,
            stdout,
            stderr,
        })
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed on standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        copy(&self.stdout)
    }

    /// What it printed on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> Vec<String> {
        copy(&self.stderr)
    }

    /// Waits for a line on either output that `pick` takes.
    ///
    /// # Errors
    /// If it ends before, or says nothing of the kind in time; with its standard error.
    pub fn line<T>(&mut self, pick: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        let what = self.what.clone();
        eventually(&what, || {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            let lines = [self.stdout(), self.stderr()].concat();
            match lines.iter().find_map(|line| pick(line)) {
                Some(value) => Ok(value),
                None => Err(format!("no such line (ended: {ended:?}) in {lines:#?}")),
            }
        })
    }

    /// Waits until `text` stands in `count` lines of its standard error.
    ///
    /// # Errors
    /// If it does not come to that.
    pub fn said(&self, text: &str, count: usize) -> anyhow::Result<()> {
        eventually(&self.what, || {
            let lines = self.stderr();
            let found = lines.iter().filter(|line| line.contains(text)).count();
            if found >= count {
                Ok(())
            } else {
                Err(format!("`{text}` {found} times in {lines:#?}"))
            }
        })
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// If it does not read any more.
    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("no standard input")?;
        writeln!(input, "{line}").with_context(|| format!("failed to write to {}", self.what))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")?;
        kill_process(pid, signal).with_context(|| format!("failed to signal {}", self.what))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let what = format!("end of {}", self.what);
        eventually(&what, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Asks it to stop (SIGTERM) and waits for an orderly end.
    ///
    /// # Errors
    /// If it does not end in time, or not with status 0.
    pub fn stop(mut self) -> anyhow::Result<Vec<String>> {
        self.signal(Signal::TERM)?;
        let status = self.ended()?;
        if !status.success() {
            bail!("{} ended with {status}: {:#?}", self.what, self.stderr());
        }
        Ok(self.stderr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to do about a process that has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
