//! Noticing that the configuration was changed, or that somebody asks to read it again.

use std::{
    fs,
    future::pending,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// How often the file is looked at. Asking the kernel to tell costs less, but it tells of directories that were
/// there when it was asked: not of a link on the way that is swapped, which is how Kubernetes changes a file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file that is being written looks different after this time.
const SETTLES_WITHIN: Duration = Duration::from_millis(200);

/// Watches one configuration file, and for SIGHUP.
#[derive(Debug)]
pub struct Reload {
    file: PathBuf,
    seen: Option<Stamp>,
    hangup: Option<Signal>,
}

/// Why the configuration is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The file is another one, or has other content, or has gone.
    File,
    /// SIGHUP came.
    Signal,
}

/// What became of a configuration that was read while the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is in force.
    Applied,
    /// It is in force, but for what needs a restart of the process.
    Partly,
    /// It has mistakes; the one before stays in force.
    Invalid,
    /// A part of it did not start; that part runs as before.
    Failed,
}

/// What changes when a file is written, replaced by another, or reached by another link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Reload {
    /// Watches `file`. What changes from now on is noticed, so this comes before the file is read first.
    ///
    /// # Errors
    /// SIGHUP cannot be waited for.
    pub fn watch(file: &Path) -> io::Result<Self> {
        Ok(Self {
            hangup: Some(signal(SignalKind::hangup())?),
            ..Self::of_file(file)
        })
    }

    fn of_file(file: &Path) -> Self {
        Self {
            seen: stamp(file),
            file: file.to_owned(),
            hangup: None,
        }
    }

    /// Waits until the configuration is to be read again. A file that is still being written is waited for. May be
    /// dropped and called again at any time; nothing is missed by it.
    pub async fn requested(&mut self) -> Trigger {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        let (trigger, seen) = tokio::select! {
            _ = hangup => (Trigger::Signal, stamp(&self.file)),
            seen = changed(&self.file, self.seen) => (Trigger::File, seen),
        };
        self.seen = seen;
        trigger
    }
}

impl Trigger {
    /// As it stands in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "SIGHUP",
        }
    }
}

impl Outcome {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Applied, Self::Partly, Self::Invalid, Self::Failed];

    /// As it stands in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Partly => "partly",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

/// Waits until the file looks otherwise than `seen`, and then stays as it is for a moment; how it then looks.
async fn changed(file: &Path, seen: Option<Stamp>) -> Option<Stamp> {
    loop {
        sleep(LOOK_EVERY).await;
        let mut now = stamp(file);
        if now == seen {
            continue;
        }
        loop {
            sleep(SETTLES_WITHIN).await;
            let later = stamp(file);
            if later == now {
                break;
            }
            now = later;
        }
        if now != seen {
            return now;
        }
    }
}

/// `None` if there is no such file.
fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests;
