//! A child process whose output is read line by line, and which does not outlive its owner.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::eventually;

type Lines = Arc<Mutex<Vec<String>>>;

/// A running child process.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
    leads: bool,
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
            leads: false,
            stdout,
            stderr,
        })
    }

    /// Starts `command` as [`Running::start`] does, in a process group of its own: the processes that it starts end with it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_group(what: &str, command: &mut Command) -> anyhow::Result<Self> {
        let mut running = Self::start(what, command.process_group(0))?;
        running.leads = true;
        Ok(running)
    }

    fn id(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
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
        let pid = self.id().context("no process id")?;
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
        // Nothing to do about processes that have ended already. Once the leader is waited for, its number may be another's.
        let runs = matches!(self.child.try_wait(), Ok(None));
        if let Some(pid) = self.id().filter(|_| self.leads && runs) {
            let _ended = kill_process_group(pid, Signal::KILL);
        }
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// CPU time that the threads of a process have taken so far, as the scheduler counts it: the clock ticks of
/// `stat` are too coarse for a process that is hardly ever awake.
///
/// # Errors
/// If it has ended.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanoseconds: u64 = text
            .split_whitespace()
            .next()
            .context("schedstat is empty")?
            .parse()?;
        total += nanoseconds;
    }
    Ok(Duration::from_nanos(total))
}

/// CPU time of a child that is about to end, of all its threads: until it is waited for, the kernel keeps the sum.
///
/// # Errors
/// If it does not end.
pub fn cpu_at_end(pid: u32) -> anyhow::Result<Duration> {
    // `USER_HZ` is 100 on every architecture that we build for.
    const TICK: Duration = Duration::from_millis(10);
    eventually("the end of a child", || {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| e.to_string())?;
        // The name before may hold anything.
        let (_, rest) = text.rsplit_once(')').ok_or("no name")?;
        let words: Vec<_> = rest.split_whitespace().collect();
        let ticks = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
        match (words.first(), ticks(11), ticks(12)) {
            (Some(&"Z"), Some(user), Some(system)) => Ok(TICK * (user + system)),
            _ => Err(format!("still running: {text}")),
        }
    })
}
