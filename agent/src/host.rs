//! Who this agent is.

use std::{fs, time::SystemTime};

/// Identity of one run of the agent.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Stable over restarts: the machine id, else the host name.
    pub agent_id: String,
    /// This run: its start, in nanoseconds since the Unix epoch.
    pub epoch: u64,
    /// Node name.
    pub host: String,
}

impl Identity {
    /// Identity of a run that starts now, on a node named `host`, or as the machine is called.
    #[must_use]
    pub fn now(host: Option<String>) -> Self {
        let host = host.unwrap_or_else(|| {
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned()
        });
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // Several agents may share a machine id, in containers for example: the node name tells them apart.
        let agent_id = match machine.trim() {
            "" => host.clone(),
            machine => format!("{machine}/{host}"),
        };
        Self {
            agent_id,
            epoch: since.as_nanos() as u64,
            host,
        }
    }
}
