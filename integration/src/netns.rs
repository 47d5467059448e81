//! Network namespaces as hosts, joined by veth pairs.

use std::{
    fs::File,
    os::fd::AsFd as _,
    panic::resume_unwind,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context as _, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace with its loopback up; removed when dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

/// Runs a shell command line.
///
/// # Errors
/// If it fails, with what it printed.
pub fn sh(command: &str) -> anyhow::Result<String> {
    let output = Command::new("sh")
        .args(["-ec", command])
        .output()
        .context("failed to run sh")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!(
            "`{command}` failed: {}",
            String::from_utf8_lossy(&said).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Netns {
    /// A new namespace.
    ///
    /// # Errors
    /// Without root, or without `ip`.
    pub fn new(hint: &str) -> anyhow::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-{hint}-{}-{number}", std::process::id());
        sh(&format!(
            "ip netns add {name} && ip -n {name} link set lo up"
        ))?;
        Ok(Self { name })
    }

    /// Two hosts on one wire, as 10.99.0.1 / fd99::1 and 10.99.0.2 / fd99::2.
    ///
    /// # Errors
    /// As [`Netns::new`].
    pub fn pair() -> anyhow::Result<(Self, Self)> {
        let (left, right) = (Self::new("left")?, Self::new("right")?);
        let (a, b) = (&left.name, &right.name);
        sh(&format!(
            "ip link add wire netns {a} type veth peer name wire netns {b}"
        ))?;
        for (name, host) in [(a, 1), (b, 2)] {
            sh(&format!(
                "ip -n {name} addr add 10.99.0.{host}/24 dev wire;
                 ip -n {name} addr add fd99::{host}/64 dev wire nodad;
                 ip -n {name} link set wire up"
            ))?;
        }
        Ok((left, right))
    }

    /// Name, for `ip netns exec`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a shell command line inside.
    ///
    /// # Errors
    /// If it fails, with what it printed.
    pub fn sh(&self, command: &str) -> anyhow::Result<String> {
        sh(&format!("ip netns exec {} sh -ec '{command}'", self.name))
    }

    /// Runs `run` in a thread inside. Sockets that it makes stay inside.
    ///
    /// # Errors
    /// If the namespace cannot be entered, or with what `run` returned.
    pub fn inside<T: Send>(
        &self,
        run: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let file = File::open(format!("/run/netns/{}", self.name))
            .with_context(|| format!("failed to open the namespace {}", self.name))?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("failed to enter a namespace")?;
                run()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// A counter of the kernel's network statistics inside, for example `TcpRetransSegs`, as `nstat` prints it.
    ///
    /// # Errors
    /// If there is no such counter.
    pub fn nstat(&self, counter: &str) -> anyhow::Result<u64> {
        let text = self.sh(&format!("nstat -asz {counter}"))?;
        text.lines()
            .find_map(|line| {
                line.strip_prefix(counter)?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .with_context(|| format!("nstat does not know {counter}"))
    }

    /// Inode, as the `netns` tag has it.
    ///
    /// # Errors
    /// If the namespace is gone.
    pub fn inode(&self) -> anyhow::Result<String> {
        Ok(sh(&format!("stat -Lc %i /run/netns/{}", self.name))?
            .trim()
            .to_owned())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // What still runs inside keeps the namespace, but its name goes.
        let _gone = sh(&format!("ip netns del {}", self.name));
    }
}
