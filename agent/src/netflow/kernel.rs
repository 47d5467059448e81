//! Loads the netflow object and attaches the best programs that this kernel takes, event by event.

mod adopt;
pub(crate) mod attach;
mod error;
mod http;
mod udp;

use std::{fs, os::fd::AsFd as _};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{MapData, MapError, PerCpuArray, RingBuf},
};
use weir_ebpf_common::loss;

use self::adopt::Adoption;
use self::attach::{
    Layout, attach_accept_exit, attach_accept_return, attach_loaded_state, attach_pass,
    attach_state_btf, attach_state_raw, brief, is_before, take_map,
};
pub use self::{
    error::KernelError,
    http::{Http, Pieces, Requests, Settings as HttpSettings, Table, TableError},
    udp::Udp,
};
use super::{pass::Pass, syscall::Global};
use crate::config::{Hook, Netflow};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netflow.o"));

const BTF_FILE: &str = "/sys/kernel/btf/vmlinux";

const MAP_LISTENERS: u32 = 16_384;

/// Why HTTP is not tried on older kernels: the agent would not start for minutes.
const TOO_OLD: &str = "before Linux 6.3 the kernel takes too long to verify programs like these";

/// One page.
const SMALLEST_RING: u32 = 4096;

/// How one event is observed, and why not better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The event, for example `tcp_state`.
    pub event: &'static str,
    /// Name of the hook, for example `btf_tracepoint`; `none` where nothing works.
    pub hook: &'static str,
    /// Why the hooks before it were not taken, or what it cannot see; empty for the preferred one.
    pub reason: String,
}

impl Chosen {
    pub(crate) fn new(event: &'static str, hook: &'static str, reason: impl Into<String>) -> Self {
        Self {
            event,
            hook,
            reason: reason.into(),
        }
    }

    pub(crate) fn none(event: &'static str, reason: impl Into<String>) -> Self {
        Self::new(event, "none", reason)
    }
}

/// The attached programs. Dropping it detaches them.
pub struct Programs {
    /// Ends and failures of connections.
    pub(super) events: RingBuf<MapData>,
    /// Pass over the live connections.
    pub(super) live: Pass,
    /// Pass over all open files; `None` where the kernel has no such pass (before 5.11).
    pub(super) owners: Option<Pass>,
    /// How to find owners where there is no such pass.
    adoption: Option<Adoption>,
    /// UDP, if it can be observed.
    pub(super) udp: Option<Udp>,
    /// HTTP, if it is wanted and can be observed.
    pub(super) http: Option<Http>,
    /// How each event is observed.
    pub hooks: Vec<Chosen>,
    counts: PerCpuArray<MapData, u64>,
    /// The one that observes state changes, and one that does what the first had to skip.
    state_programs: [&'static str; 2],
    attached_state_programs: usize,
    ebpf: Ebpf,
}

impl Programs {
    /// Loads and attaches, for each event the preferred hook first, or only the one that `config` asks for. With
    /// `http`, also what observes HTTP.
    ///
    /// # Errors
    /// If TCP cannot be observed, naming what was tried and why each failed.
    pub fn attach(config: &Netflow, http: Option<http::Settings>) -> Result<Self, KernelError> {
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject);
        }
        let layout = Layout::read()?;
        let btf = Btf::from_sys_fs().map_err(KernelError::ParseBtf)?;
        let mut tried: Vec<String> = Vec::new();
        for way in config.hook.ways() {
            match Self::try_way(*way, &layout, &btf, config, http) {
                Ok(mut programs) => {
                    let because = Chosen::new("tcp_state", way.name(), tried.join("; "));
                    programs.hooks.insert(0, because);
                    return Ok(programs);
                }
                Err(error) => {
                    let why = crate::error_chain(&error);
                    tracing::debug!(hook = way.name(), why, "hook refused");
                    tried.push(format!("{}: {}", way.name(), brief(&why)));
                }
            }
        }
        Err(KernelError::NoHook { tried })
    }

    fn try_way(
        way: Hook,
        layout: &Layout,
        btf: &Btf,
        config: &Netflow,
        http: Option<http::Settings>,
    ) -> Result<Self, KernelError> {
        let in_sockets = way != Hook::RawTracepoint;
        let mut ebpf = load(layout, btf, config, in_sockets, http)?;
        let mut hooks = Vec::new();
        let attached = if in_sockets {
            in_sockets_way(&mut ebpf, btf, &mut hooks)?
        } else {
            by_address_way(&mut ebpf, btf, &mut hooks)?
        };
        let too_old = http.is_some() && is_before(6, 3);
        if too_old {
            hooks.push(Chosen::none("http", TOO_OLD));
        }
        let http = http.filter(|_wanted| !too_old);
        let udp = udp::attach(&mut ebpf, btf, config.udp.hook, http.is_some(), &mut hooks);
        let http = http.and_then(|_wanted| {
            let attached = udp.as_ref().is_some_and(|udp| udp.shows_http);
            http::attach(&mut ebpf, attached, &mut hooks)
        });
        Ok(Self {
            events: take_map(&mut ebpf, "EVENTS")?,
            counts: take_map(&mut ebpf, "COUNTS")?,
            live: attached.live,
            owners: attached.owners,
            adoption: attached.adoption,
            udp,
            http,
            hooks,
            state_programs: attached.state_programs,
            attached_state_programs: attached.attached_state_programs,
            ebpf,
        })
    }

    /// Counter of the kernel side, an index of [`loss`], summed over the CPUs.
    ///
    /// # Errors
    /// If the kernel refuses to read the map.
    pub fn count(&self, index: u32) -> Result<u64, MapError> {
        Ok(self.counts.get(&index, 0)?.iter().sum())
    }

    /// Steps that may be lost, because the kernel skipped the run of a program while one was under way on that CPU
    /// already. 0 before Linux 5.12, which does not tell. With a second program that does the same, a step is
    /// lost only if both were skipped: the number is then the most that it can be.
    #[must_use]
    pub fn skipped_runs(&self) -> u64 {
        let programs = self
            .state_programs
            .iter()
            .take(self.attached_state_programs);
        programs.map(|name| self.skipped(name)).min().unwrap_or(0)
    }

    fn skipped(&self, name: &str) -> u64 {
        let program = self.ebpf.program(name);
        let Some(fd) = program.and_then(|program| program.fd().ok()) else {
            return 0;
        };
        let info = format!(
            "/proc/self/fdinfo/{}",
            std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd())
        );
        let text = fs::read_to_string(info).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("recursion_misses:"))
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Attaches the second program once this kernel has been seen to skip runs of the first.
    pub(super) fn guard_against_skips(&mut self) {
        let [first, second] = self.state_programs;
        if self.attached_state_programs > 1 || self.skipped(first) == 0 {
            return;
        }
        match attach_loaded_state(&mut self.ebpf, second) {
            Ok(()) => tracing::info!(
                "this kernel skips runs of programs: state changes are observed twice"
            ),
            Err(error) => tracing::warn!(
                error = crate::error_chain(&error),
                "this kernel skips runs of programs, and a second one cannot be attached"
            ),
        }
        self.attached_state_programs = 2;
    }

    /// Every loss on the kernel side, by cause.
    pub fn losses(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counted =
            (0..loss::LEN).filter_map(|index| Some((loss::name(index)?, self.count(index).ok()?)));
        counted.chain([("run_skipped", self.skipped_runs())])
    }
}

fn load(
    layout: &Layout,
    btf: &Btf,
    config: &Netflow,
    in_sockets: bool,
    http: Option<http::Settings>,
) -> Result<Ebpf, KernelError> {
    let offsets = Global(layout.offsets);
    let ring_bytes = config.ring.0 as u32;
    let wake_at = u64::from(ring_bytes / 4);
    let sockets = config.map_sockets;
    let facts_in_sockets = u32::from(in_sockets);
    // Without HTTP its maps are as small as maps can be.
    let http = http.unwrap_or(HttpSettings {
        ring: SMALLEST_RING,
        entries: 1,
        counts: false,
        patience_ns: 0,
    });
    let http_wake_at = u64::from(http.ring / 4);
    let http_counts = u32::from(http.counts);
    EbpfLoader::new()
        .btf(Some(btf))
        .override_global("OFFSETS", &offsets, true)
        .override_global("WAKE_AT", &wake_at, true)
        .override_global("ACCEPT_ARGUMENTS", &layout.accept_arguments, true)
        .override_global("UDP_RECEIVE_ARGUMENTS", &layout.receive_arguments, true)
        .override_global("FACTS_IN_SOCKETS", &facts_in_sockets, true)
        .override_global("HTTP_WAKE_AT", &http_wake_at, true)
        .override_global("HTTP_COUNTS", &http_counts, true)
        .override_global("HTTP_PATIENCE", &http.patience_ns, true)
        .map_max_entries("HTTP_TABLE", http.entries)
        .map_max_entries("EVENTS", ring_bytes)
        .map_max_entries("HTTP_EVENTS", http.ring)
        .map_max_entries("FACTS", if in_sockets { 1 } else { sockets })
        .map_max_entries("LISTENERS", if in_sockets { 1 } else { MAP_LISTENERS })
        .map_max_entries("UDP_FLOWS", config.udp.max_flows)
        .load(OBJECT)
        .map_err(KernelError::Load)
}

/// What observes TCP.
struct Attached {
    state_programs: [&'static str; 2],
    attached_state_programs: usize,
    live: Pass,
    owners: Option<Pass>,
    adoption: Option<Adoption>,
}

/// Facts in the sockets themselves, direct loads.
fn in_sockets_way(
    ebpf: &mut Ebpf,
    btf: &Btf,
    hooks: &mut Vec<Chosen>,
) -> Result<Attached, KernelError> {
    let state_programs = ["tcp_state", "tcp_state_again"];
    let attached_state_programs = attach_state_btf(ebpf, btf, state_programs)?;
    let live = attach_pass(ebpf, btf, "tcp_live", "bpf_sk_storage_map", Some("SOCKETS"))?;
    // The facts of older connections come only from this pass: without it, the other way is better.
    let owners = attach_pass(ebpf, btf, "tcp_owners", "task_file", None)?;
    hooks.push(Chosen::new("tcp_live", "storage_iterator", ""));
    hooks.push(Chosen::new("socket_owner", "file_iterator", ""));
    hooks.push(match attach_accept_exit(ebpf, btf, "tcp_accepted") {
        Ok(()) => Chosen::new("tcp_accept", "fexit", ""),
        Err(error) => Chosen::new(
            "tcp_accept",
            "file_iterator",
            format!("fexit: {}", why(&error)),
        ),
    });
    Ok(Attached {
        state_programs,
        attached_state_programs,
        live,
        owners: Some(owners),
        adoption: None,
    })
}

/// Facts in a map, checked reads.
fn by_address_way(
    ebpf: &mut Ebpf,
    btf: &Btf,
    hooks: &mut Vec<Chosen>,
) -> Result<Attached, KernelError> {
    let state_programs = ["tcp_state_probe", "tcp_state_probe_again"];
    let attached_state_programs = attach_state_raw(ebpf, state_programs)?;
    let live = attach_pass(ebpf, btf, "tcp_live_netns", "tcp", None)?.in_every_namespace();
    hooks.push(Chosen::new("tcp_live", "namespace_iterator", ""));
    let owners = attach_pass(ebpf, btf, "tcp_owners_probe", "task_file", None);
    let (owners, adoption, by) = match owners {
        Ok(pass) => {
            hooks.push(Chosen::new("socket_owner", "file_iterator", ""));
            (Some(pass), None, "file_iterator")
        }
        Err(error) => {
            let because = format!("file_iterator: {}", why(&error));
            hooks.push(Chosen::new("socket_owner", "proc", because));
            (None, Some(adopt::prepare(ebpf, btf)?), "none")
        }
    };
    let exit = attach_accept_exit(ebpf, btf, "tcp_accepted_probe");
    hooks.push(match exit.map_err(|error| why(&error)) {
        Ok(()) => Chosen::new("tcp_accept", "fexit", ""),
        Err(exit) => match attach_accept_return(ebpf) {
            Ok(()) => Chosen::new("tcp_accept", "kretprobe", format!("fexit: {exit}")),
            Err(error) => Chosen::new(
                "tcp_accept",
                by,
                format!("fexit: {exit}; kretprobe: {}", why(&error)),
            ),
        },
    });
    Ok(Attached {
        state_programs,
        attached_state_programs,
        live,
        owners,
        adoption,
    })
}

/// A cause in one line, short.
fn why(error: &KernelError) -> String {
    brief(&crate::error_chain(error))
}
