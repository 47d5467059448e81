//! Settings of what is read above TLS.

use weir_runtime::config::{ByteSize, Scalar, Section};

/// Hexadecimal digits of a container id that are enough to tell it from others.
const SHORTEST_ID: usize = 8;

/// Whose HTTP is read above TLS. Nobody's unless asked for: every call of such a process into its TLS library costs
/// microseconds more.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Names of executables; `*` stands for any characters, `?` for one.
    pub processes: Vec<String>,
    /// Paths of executables as the process sees them, likewise; `*` stands for slashes too.
    pub paths: Vec<String>,
    /// Beginnings of container ids.
    pub containers: Vec<String>,
    /// Who else is stopped by the probes.
    pub scope: Scope,
    /// Connections that the kernel remembers; the one that was used longest ago goes first.
    pub max_connections: u32,
    /// Size of the ring for plaintext; a power of two.
    pub ring: ByteSize,
}

/// In whose memory probes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Only the chosen processes', each of its own: nobody else pays. A new process is read some milliseconds after it
    /// has begun.
    Process,
    /// Everybody's who uses the same library: a new process is read from its first call.
    File,
}

impl Scalar for Scope {
    const WHAT: &'static str = "process or file";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "process" => Ok(Self::Process),
            "file" => Ok(Self::File),
            _ => Err(format!("`{text}` is none of them")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Process => "process",
            Self::File => "file",
        }
        .to_owned()
    }
}

impl Tls {
    /// Reads the section. Mistakes are noted in it.
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let tls = Self {
            processes: section.list("processes"),
            paths: section.list("paths"),
            containers: section.list("containers"),
            scope: section.or("scope", Scope::Process),
            max_connections: section.or("max_connections", 16_384),
            ring: section.or("ring", ByteSize(4 << 20)),
        };
        if !tls.paths.iter().all(|path| path.starts_with(['/', '*'])) {
            section.mistake("paths", "must begin with `/` or `*`");
        }
        let is_id = |id: &String| {
            id.len() >= SHORTEST_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if !tls.containers.iter().all(is_id) {
            section.mistake(
                "containers",
                "must be ids, or at least the first 8 hexadecimal digits of them",
            );
        }
        if tls.max_connections == 0 {
            section.mistake("max_connections", "must be at least 1");
        }
        let ring = tls.ring.0;
        if !ring.is_power_of_two() || !(64 << 10..=1 << 30).contains(&ring) {
            section.mistake("ring", "must be a power of two between 64KiB and 1GiB");
        }
        tls
    }

    /// Whether anybody is chosen.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        [&self.processes, &self.paths, &self.containers]
            .iter()
            .any(|list| !list.is_empty())
    }
}
