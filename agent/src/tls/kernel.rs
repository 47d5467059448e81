//! Loads the tls object, attaches what finds sockets and processes, and places probes.

use std::{io, num::NonZeroU32, os::fd::AsFd, path::Path};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{HashMap, MapData, MapError, PerCpuArray, RingBuf},
    programs::{
        FEntry, KProbe, ProgramError, UProbe,
        uprobe::{UProbeAttachLocation, UProbeLinkId, UProbeScope},
    },
};
use weir_ebpf_common::tls::{Exec, Executable};

use super::library::{Place, entry_of_this_program};
use crate::{
    config::Tls,
    netflow::{
        kernel::{
            Chosen, KernelError,
            attach::{Layout, attach_btf, attach_raw, brief, program, refused, take_map},
        },
        syscall::{FromKernel as _, Global, release_freed_memory},
    },
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tls.o"));

/// The programs that are placed in libraries.
pub(super) const PROBES: [&str; 18] = [
    "tls_read",
    "tls_write",
    "tls_read_ex",
    "tls_write_ex",
    "tls_moved",
    "tls_handshake",
    "tls_shaken",
    "tls_descriptor",
    "tls_free",
    "tls_go_read",
    "tls_go_write",
    "tls_go_moved",
    "tls_go_handshake",
    "tls_go_close",
    "tls_go_stack_read",
    "tls_go_stack_written",
    "tls_go_stack_handshake",
    "tls_go_stack_close",
];

/// Why nothing can be read above TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The object or one of its programs.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The kernel does not let us place probes.
    #[error("this kernel, or what this agent may do, forbids probes in user space")]
    Probe(#[source] ProgramError),
    /// Our own executable is not what it should be.
    #[error("cannot try a probe in this program itself")]
    Own(#[source] io::Error),
    /// The thread that places probes.
    #[error("cannot start the thread that places TLS probes")]
    Thread(#[source] io::Error),
}

/// The loaded programs.
pub(super) struct Kernel {
    ebpf: Ebpf,
    processes: HashMap<MapData, u32, u32>,
    executables: HashMap<MapData, Global<Executable>, u32>,
    execs: RingBuf<MapData>,
    hooks: Vec<Chosen>,
}

/// A probe that is placed.
pub(super) struct Placed {
    program: &'static str,
    link: UProbeLinkId,
}

/// Counters of the kernel side.
pub(super) struct Counts(PerCpuArray<MapData, u64>);

impl Counts {
    pub(super) fn get(&self, index: u32) -> u64 {
        let each = self.0.get(&index, 0);
        each.map_or(0, |each| each.iter().sum())
    }
}

impl Kernel {
    /// Loads everything, tries a probe, and attaches what does not belong to a library.
    pub(super) fn load(config: &Tls) -> Result<Self, TlsError> {
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject.into());
        }
        let layout = Layout::read()?;
        let btf = Btf::from_sys_fs().map_err(KernelError::ParseBtf)?;
        let ring = config.ring.0 as u32;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("OFFSETS", &Global(layout.offsets), true)
            .override_global("TLS_WAKE_AT", &u64::from(ring / 4), true)
            .map_max_entries("TLS_PIECES", ring)
            .map_max_entries("TLS_CONNECTIONS", config.max_connections)
            .load(OBJECT)
            .map_err(KernelError::Load)?;
        for name in PROBES {
            let probe: &mut UProbe = program(&mut ebpf, name)?;
            probe.load().map_err(refused(name))?;
        }
        try_a_probe(&mut ebpf)?;
        let processes = take_map(&mut ebpf, "TLS_PROCESSES")?;
        let executables = take_map(&mut ebpf, "TLS_EXECUTABLES")?;
        let execs = take_map(&mut ebpf, "TLS_EXECS")?;
        let mut kernel = Self {
            processes,
            executables,
            execs,
            hooks: vec![Chosen::new("tls", "uprobe", "")],
            ebpf,
        };
        kernel.follow_sockets(&btf);
        kernel.follow_processes();
        drop(btf);
        release_freed_memory();
        Ok(kernel)
    }

    pub(super) fn hooks(&self) -> Vec<Chosen> {
        self.hooks.clone()
    }

    pub(super) fn take_pieces(&mut self) -> Result<RingBuf<MapData>, KernelError> {
        take_map(&mut self.ebpf, "TLS_PIECES")
    }

    pub(super) fn take_counts(&mut self) -> Result<Counts, KernelError> {
        take_map(&mut self.ebpf, "TLS_COUNTS").map(Counts)
    }

    /// Whether new executables are told at once.
    pub(super) fn tells_processes(&self) -> bool {
        self.hooks
            .iter()
            .any(|chosen| chosen.event == "tls_process" && chosen.hook == "raw_tracepoint")
    }

    /// Readable when processes have begun to run other executables.
    pub(super) fn ready(&self) -> std::os::fd::BorrowedFd<'_> {
        self.execs.as_fd()
    }

    /// A process that runs another executable now.
    pub(super) fn next_exec(&mut self) -> Option<u32> {
        let bytes = self.execs.next()?;
        Exec::from_kernel(&bytes).map(|exec| exec.pid)
    }

    /// What a thread does with sockets while it is in the library, by the best hook that there is.
    fn follow_sockets(&mut self, btf: &Btf) {
        let mut tried = Vec::new();
        for (hook, attach) in [
            (
                "length_tracepoint",
                at_lengths as fn(&mut Ebpf, &Btf) -> Result<(), KernelError>,
            ),
            ("fentry", at_entries),
            ("kprobe", at_probes),
        ] {
            match attach(&mut self.ebpf, btf) {
                Ok(()) => {
                    self.hooks
                        .push(Chosen::new("tls_socket", hook, tried.join("; ")));
                    return;
                }
                Err(error) => tried.push(format!("{hook}: {}", brief(&crate::error_chain(&error)))),
            }
        }
        let limit = "only connections that are given a descriptor";
        self.hooks.push(Chosen::new(
            "tls_socket",
            "descriptor",
            format!("{limit}; {}", tried.join("; ")),
        ));
    }

    fn follow_processes(&mut self) {
        let attached = attach_raw(&mut self.ebpf, "tls_exited", "sched_process_exit")
            .and_then(|()| attach_raw(&mut self.ebpf, "tls_forked", "sched_process_fork"))
            .and_then(|()| attach_raw(&mut self.ebpf, "tls_executed", "sched_process_exec"));
        self.hooks.push(match attached {
            Ok(()) => Chosen::new("tls_process", "raw_tracepoint", ""),
            Err(error) => Chosen::new(
                "tls_process",
                "proc",
                format!(
                    "processes of less than a second are not seen; raw_tracepoint: {}",
                    brief(&crate::error_chain(&error))
                ),
            ),
        });
    }

    /// Chooses a process.
    pub(super) fn choose(&mut self, pid: u32) -> Result<(), MapError> {
        self.processes.insert(pid, 1, 0)
    }

    /// Chooses whoever executes this from now on.
    pub(super) fn choose_all_of(&mut self, executable: Executable) -> Result<(), MapError> {
        self.executables.insert(Global(executable), 1, 0)
    }

    /// Chooses it no longer.
    pub(super) fn forget(&mut self, pid: u32) {
        if let Err(error) = self.processes.remove(&pid) {
            // The kernel side has forgotten it already.
            tracing::trace!(error = crate::error_chain(&error), pid, "not forgotten");
        }
    }

    /// Places probes in a file, for one process or for all that use it; all of them or none.
    pub(super) fn place(
        &mut self,
        file: &Path,
        places: &[Place],
        only: Option<u32>,
    ) -> Result<Vec<Placed>, KernelError> {
        let scope = only
            .and_then(NonZeroU32::new)
            .map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
        let mut placed = Vec::new();
        for place in places {
            let name = place.program;
            let at = UProbeAttachLocation::AbsoluteOffset(place.offset);
            let done = program::<UProbe>(&mut self.ebpf, name)
                .and_then(|probe| probe.attach(at, file, scope).map_err(refused(name)));
            match done {
                Ok(link) => placed.push(Placed {
                    program: name,
                    link,
                }),
                Err(error) => {
                    self.remove(placed);
                    return Err(error);
                }
            }
        }
        Ok(placed)
    }

    /// Removes probes.
    pub(super) fn remove(&mut self, placed: Vec<Placed>) {
        for Placed {
            program: name,
            link,
        } in placed
        {
            let done = program::<UProbe>(&mut self.ebpf, name)
                .and_then(|probe| probe.detach(link).map_err(refused(name)));
            if let Err(error) = done {
                tracing::warn!(error = crate::error_chain(&error), "a probe stays");
            }
        }
    }
}

/// Places a probe in this process alone, where it has been already and does not come again, and removes it.
fn try_a_probe(ebpf: &mut Ebpf) -> Result<(), TlsError> {
    let offset = entry_of_this_program().map_err(TlsError::Own)?;
    let own = NonZeroU32::new(std::process::id())
        .map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
    let probe: &mut UProbe = program(ebpf, "tls_free")?;
    let at = UProbeAttachLocation::AbsoluteOffset(offset);
    let link = probe
        .attach(at, "/proc/self/exe", own)
        .map_err(TlsError::Probe)?;
    probe.detach(link).map_err(TlsError::Probe)
}

fn at_lengths(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), KernelError> {
    attach_btf(ebpf, btf, "tls_received", "sock_recv_length")?;
    attach_btf(ebpf, btf, "tls_sent", "sock_send_length")
}

fn at_entries(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), KernelError> {
    for (name, function) in [
        ("tls_received_entry", "tcp_recvmsg"),
        ("tls_sent_entry", "tcp_sendmsg"),
    ] {
        let entry: &mut FEntry = program(ebpf, name)?;
        entry.load(function, btf).map_err(refused(name))?;
        entry.attach().map_err(refused(name))?;
    }
    Ok(())
}

fn at_probes(ebpf: &mut Ebpf, _: &Btf) -> Result<(), KernelError> {
    for (name, function) in [
        ("tls_received_probe", "tcp_recvmsg"),
        ("tls_sent_probe", "tcp_sendmsg"),
    ] {
        let entry: &mut KProbe = program(ebpf, name)?;
        entry.load().map_err(refused(name))?;
        entry.attach(function, 0).map_err(refused(name))?;
    }
    Ok(())
}
