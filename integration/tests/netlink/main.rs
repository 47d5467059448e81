//! What the agent learns over netlink, against real sockets in real namespaces.
//!
//! The oracle is what each socket's own program sent and received, `ss`, and the kernel's tables.

#![expect(clippy::unwrap_used, reason = "a poisoned lock fails the story")]

mod namespaces;
mod nat;
mod sock_diag;
mod udp;

use weir_agent::{
    namespaces::Namespaces,
    netflow::sock_diag::{Settings, SockDiag},
};
use weir_ebpf_common::netflow::TcpRecord;

const SETTINGS: Settings = Settings {
    connections: 10_000,
    events: 8 << 20,
};

/// An observer, its namespaces, and what it has reported since the story began.
struct Observer {
    namespaces: Namespaces,
    sock_diag: SockDiag,
    records: Vec<TcpRecord>,
}

impl Observer {
    fn start() -> anyhow::Result<Self> {
        Self::with(SETTINGS)
    }

    fn with(settings: Settings) -> anyhow::Result<Self> {
        let namespaces = Namespaces::find()?;
        let mut sock_diag = SockDiag::open(&namespaces, settings)?;
        let mut records = Vec::new();
        sock_diag.adopt(|record| records.push(*record))?;
        Ok(Self {
            namespaces,
            sock_diag,
            records,
        })
    }

    /// What one pass finds.
    fn pass(&mut self) -> anyhow::Result<Vec<TcpRecord>> {
        let mut found = Vec::new();
        self.sock_diag.live(|record| found.push(*record))?;
        self.records.extend(&found);
        Ok(found)
    }

    /// Reads the ends until `enough` of them are there that `pick` chooses.
    fn ended(
        &mut self,
        pick: impl Fn(&TcpRecord) -> bool,
        enough: usize,
    ) -> anyhow::Result<Vec<TcpRecord>> {
        weir_integration::eventually("ends of connections", || {
            self.sock_diag
                .ended(|record| self.records.push(*record))
                .map_err(|error| error.to_string())?;
            let picked: Vec<_> = self
                .records
                .iter()
                .filter(|one| pick(one))
                .copied()
                .collect();
            if picked.len() >= enough {
                Ok(picked)
            } else {
                Err(format!("{} of {enough}", picked.len()))
            }
        })
    }
}
