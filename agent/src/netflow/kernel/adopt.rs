//! Adopting connections that are older than the agent, on kernels without a pass over open files.

use aya::maps::{HashMap, MapData};
use weir_ebpf_common::netflow::{Facts, ListenKey, TcpRecord, kind, owner};

use super::{KernelError, Programs};
use crate::{
    netflow::{
        pass::{Pass, PassError},
        syscall::Global,
    },
    open_sockets::open_sockets,
};

/// Value for `flags`: only if the key is there.
const BPF_EXIST: u64 = 2;

/// What adopting needs.
pub(super) struct Adoption {
    pub(super) pass: Pass,
    pub(super) facts: HashMap<MapData, u64, Global<Facts>>,
    pub(super) listeners: HashMap<MapData, Global<ListenKey>, Global<Facts>>,
}

impl Programs {
    /// Calls `each` with every connection and every listener that is there, and with the process that holds it.
    /// The kernel side is told too, for what these sockets do later.
    ///
    /// # Errors
    /// If the pass fails.
    pub(in crate::netflow) fn adopt_in_namespaces(
        &mut self,
        mut each: impl FnMut(&TcpRecord),
    ) -> Result<(), PassError> {
        let Some(adoption) = &mut self.adoption else {
            return Ok(());
        };
        let mut found: hashbrown::HashMap<u32, TcpRecord> = hashbrown::HashMap::new();
        let mut nameless = Vec::new();
        adoption.pass.run(|record: TcpRecord| {
            // Two namespaces number their sockets from one series.
            if record.inode == 0 || found.insert(record.inode, record).is_some() {
                nameless.push(record);
            }
        })?;
        let mut owned = Vec::new();
        open_sockets(
            |inode| found.contains_key(&inode),
            |inode, holder| owned.push((inode, *holder)),
        );
        for (inode, holder) in owned {
            let Some(mut record) = found.remove(&inode) else {
                continue;
            };
            record.facts.pid = holder.pid;
            record.facts.name = holder.name;
            let listens = record.kind == kind::LISTENING;
            record.facts.owner = if listens {
                owner::CALLER
            } else {
                owner::HOLDER
            };
            adoption.tell(&record, listens);
            each(&record);
        }
        found.values().chain(&nameless).for_each(each);
        Ok(())
    }

    /// Finds who holds the sockets of `records`, of which only is known who listened or accepted, and tells the kernel
    /// side. A socket that nobody is found to hold stays with whom it is, and is not looked for again.
    pub(in crate::netflow) fn settle_owners(&mut self, records: Vec<TcpRecord>) {
        let Some(adoption) = &mut self.adoption else {
            return;
        };
        let mut unsettled: hashbrown::HashMap<u32, TcpRecord> = records
            .into_iter()
            .map(|record| (record.inode, record))
            .collect();
        let mut owned = Vec::new();
        open_sockets(
            |inode| unsettled.contains_key(&inode),
            |inode, holder| owned.push((inode, *holder)),
        );
        for (inode, holder) in owned {
            if let Some(record) = unsettled.get_mut(&inode) {
                record.facts.pid = holder.pid;
                record.facts.name = holder.name;
                record.facts.cgroup = 0;
            }
        }
        for record in unsettled.values_mut() {
            record.facts.owner = owner::HOLDER;
            adoption.tell(record, false);
        }
    }
}

impl Adoption {
    /// A socket that was closed meanwhile is not in the map any more, or its place is another one's: both need nothing.
    fn tell(&mut self, record: &TcpRecord, listens: bool) {
        let facts = Global(record.facts);
        let is_the_same = self.facts.get(&record.socket, 0).is_ok_and(|Global(now)| {
            now.established_ns == record.facts.established_ns && now.closed == 0
        });
        if !is_the_same {
            return;
        }
        let known = self.facts.insert(record.socket, facts, BPF_EXIST);
        if let Err(error) = &known {
            tracing::debug!(error = crate::error_chain(error), "owner not told");
        }
        if listens {
            let key = Global(ListenKey {
                netns: record.netns,
                port: u32::from(record.local_port),
            });
            if let Err(error) = known.and_then(|()| self.listeners.insert(key, facts, 0)) {
                tracing::debug!(error = crate::error_chain(&error), "listener not adopted");
            }
        }
    }
}

/// Takes what is needed out of a loaded object.
pub(super) fn prepare(ebpf: &mut aya::Ebpf, btf: &aya::Btf) -> Result<Adoption, KernelError> {
    let pass = super::attach::attach_pass(ebpf, btf, "tcp_adopt_netns", "tcp", None)?;
    Ok(Adoption {
        pass: pass.in_every_namespace(),
        facts: super::attach::take_map(ebpf, "FACTS")?,
        listeners: super::attach::take_map(ebpf, "LISTENERS")?,
    })
}
