//! Loads the netflow object and attaches the best set of programs that this kernel takes.

use std::{fs, io, os::fd::AsFd as _};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::{Map, MapData, MapError, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, Iter, ProgramError, RawTracePoint},
};
use weir_ebpf_common::{
    loss,
    offsets::{ABSENT, Offsets},
};

use super::{
    pass::Pass,
    syscall::{OffsetsGlobal, attach_iterator},
};
use crate::{
    btf::{BtfError, Members},
    config::Hook,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netflow.o"));

const BTF_FILE: &str = "/sys/kernel/btf/vmlinux";

/// Name of the tracepoint, in both its forms.
const TRACEPOINT: &str = "inet_sock_set_state";

/// Sockets whose facts fit, where they are not kept in the sockets themselves.
const MAP_SOCKETS: u32 = 65_536;
const MAP_LISTENERS: u32 = 16_384;

/// Why the collector cannot run on this kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Built without the eBPF toolchain.
    #[error(
        "this agent was built without its eBPF programs; build them with `make ebpf`, then the agent again"
    )]
    NoObject,
    /// The kernel does not describe its own types.
    #[error("this kernel has no BTF at {BTF_FILE} (needs CONFIG_DEBUG_INFO_BTF=y)")]
    NoBtf(#[source] io::Error),
    /// The kernel's type description is not what it should be.
    #[error("cannot use the kernel's BTF at {BTF_FILE}")]
    BadBtf(#[source] BtfError),
    /// aya does not understand the kernel's type description.
    #[error("cannot parse the kernel's BTF at {BTF_FILE}")]
    ParseBtf(#[source] aya::BtfError),
    /// A struct does not have a member that is needed.
    #[error("this kernel's `struct {of}` has no member `{member}`")]
    NoMember {
        /// Struct.
        of: &'static str,
        /// Member.
        member: &'static str,
    },
    /// The object as a whole was refused.
    #[error("the kernel refused the maps of the eBPF object")]
    Load(#[source] EbpfError),
    /// A program was refused.
    #[error("the kernel refused the eBPF program `{name}`")]
    Program {
        /// Program.
        name: &'static str,
        /// Cause; for a refusal by the verifier it ends with the verifier's words.
        #[source]
        source: ProgramError,
    },
    /// A pass could not be attached.
    #[error("the kernel refused to attach the iterator `{name}`")]
    Iterator {
        /// Program.
        name: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A map is not there or not of its type; the object and the agent do not belong together.
    #[error("the eBPF object has no usable map `{name}`")]
    Map {
        /// Map.
        name: &'static str,
        /// Cause, if the map is there.
        #[source]
        source: Option<MapError>,
    },
    /// Every way was refused; the last cause.
    #[error("no way to observe TCP works on this kernel ({})", tried.join("; "))]
    NoHook {
        /// What was tried and why it failed, in order.
        tried: Vec<String>,
    },
}

/// How TCP is observed, and why not better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Name of the hook, for example `btf_tracepoint`.
    pub hook: &'static str,
    /// Why the hooks before it were not taken; empty for the preferred one.
    pub reason: String,
}

/// The attached programs. Dropping it detaches them.
pub struct Programs {
    /// Ends and failures of connections.
    pub(super) events: RingBuf<MapData>,
    /// Pass over the live connections.
    pub(super) live: Pass,
    /// Pass over all open files; `None` where the kernel has no such pass (before 5.11).
    pub(super) owners: Option<Pass>,
    /// How TCP is observed.
    pub chosen: Chosen,
    counts: PerCpuArray<MapData, u64>,
    state_program: &'static str,
    ebpf: Ebpf,
}

impl Programs {
    /// Loads and attaches, the preferred hook first, or only `hook` if one is asked for.
    ///
    /// # Errors
    /// If no hook works, naming what was tried and why each failed.
    pub fn attach(hook: Hook, ring_bytes: u32) -> Result<Self, KernelError> {
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject);
        }
        let offsets = offsets()?;
        let btf = Btf::from_sys_fs().map_err(KernelError::ParseBtf)?;
        let mut tried: Vec<String> = Vec::new();
        for way in hook.ways() {
            match Self::try_way(*way, offsets, &btf, ring_bytes) {
                Ok(mut programs) => {
                    programs.chosen.reason = tried.join("; ");
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
        offsets: Offsets,
        btf: &Btf,
        ring_bytes: u32,
    ) -> Result<Self, KernelError> {
        let in_sockets = way != Hook::RawTracepoint;
        let offsets = OffsetsGlobal(offsets);
        let wake_at = u64::from(ring_bytes / 4);
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(btf))
            .override_global("OFFSETS", &offsets, true)
            .override_global("WAKE_AT", &wake_at, true)
            .map_max_entries("EVENTS", ring_bytes)
            .map_max_entries("FACTS", if in_sockets { 1 } else { MAP_SOCKETS })
            .map_max_entries("LISTENERS", if in_sockets { 1 } else { MAP_LISTENERS });
        let mut ebpf = loader.load(OBJECT).map_err(KernelError::Load)?;
        let (state_program, live, owners) = if in_sockets {
            attach_state_btf(&mut ebpf, btf)?;
            let live = attach_pass(
                &mut ebpf,
                btf,
                "tcp_live",
                "bpf_sk_storage_map",
                Some("SOCKETS"),
            )?;
            // The facts of older connections come only from this pass: without it, the other way is better.
            (
                "tcp_state",
                live,
                Some(attach_pass(
                    &mut ebpf,
                    btf,
                    "tcp_owners",
                    "task_file",
                    None,
                )?),
            )
        } else {
            attach_state_raw(&mut ebpf)?;
            let live =
                attach_pass(&mut ebpf, btf, "tcp_live_netns", "tcp", None)?.in_every_namespace();
            (
                "tcp_state_probe",
                live,
                attach_pass(&mut ebpf, btf, "tcp_owners_probe", "task_file", None).ok(),
            )
        };
        Ok(Self {
            events: take_map(&mut ebpf, "EVENTS")?,
            counts: take_map(&mut ebpf, "COUNTS")?,
            live,
            owners,
            chosen: Chosen {
                hook: way.name(),
                reason: String::new(),
            },
            state_program,
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

    /// Runs of the state program that the kernel skipped, because it was running on that CPU already
    /// when an interrupt called it again. 0 before Linux 5.12, which does not tell.
    #[must_use]
    pub fn skipped_runs(&self) -> u64 {
        let Some(fd) = self
            .ebpf
            .program(self.state_program)
            .and_then(|program| program.fd().ok())
        else {
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

    /// Every loss on the kernel side, by cause.
    pub fn losses(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counted =
            (0..loss::LEN).filter_map(|index| Some((loss::name(index)?, self.count(index).ok()?)));
        counted.chain([("run_skipped", self.skipped_runs())])
    }
}

/// First and last line of a long cause: the verifier's log is in between.
fn brief(why: &str) -> String {
    let mut lines = why.lines().filter(|line| !line.trim().is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first} … {last}"),
        (Some(only), None) => only.to_owned(),
        _ => String::new(),
    }
}

fn offsets() -> Result<Offsets, KernelError> {
    let data = fs::read(BTF_FILE).map_err(KernelError::NoBtf)?;
    let members = Members::parse(&data).map_err(KernelError::BadBtf)?;
    let offsets = Offsets::resolve(|of, path| members.offset(of, path));
    // Names of executables can also be had from /proc; everything else is needed.
    let mut missing = offsets
        .absent()
        .filter(|(of, _)| !matches!(*of, "dentry" | "file" | "mm_struct"));
    match missing.next() {
        Some((of, member)) => Err(KernelError::NoMember { of, member }),
        None => Ok(Offsets {
            dentry_name: name_offset(&offsets),
            ..offsets
        }),
    }
}

/// Without the name's length, the name cannot be trusted either.
fn name_offset(offsets: &Offsets) -> u32 {
    if offsets.dentry_name_len == ABSENT {
        ABSENT
    } else {
        offsets.dentry_name
    }
}

fn refused(name: &'static str) -> impl Fn(ProgramError) -> KernelError {
    move |source| KernelError::Program { name, source }
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or(KernelError::NoObject)?
        .try_into()
        .map_err(refused(name))
}

fn attach_state_btf(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), KernelError> {
    let name = "tcp_state";
    let state: &mut BtfTracePoint = program(ebpf, name)?;
    state.load(TRACEPOINT, btf).map_err(refused(name))?;
    state.attach().map(drop).map_err(refused(name))
}

fn attach_state_raw(ebpf: &mut Ebpf) -> Result<(), KernelError> {
    let name = "tcp_state_probe";
    let state: &mut RawTracePoint = program(ebpf, name)?;
    state.load().map_err(refused(name))?;
    state.attach(TRACEPOINT).map(drop).map_err(refused(name))
}

fn attach_pass(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    over: &str,
    map: Option<&'static str>,
) -> Result<Pass, KernelError> {
    let iterator: &mut Iter = program(ebpf, name)?;
    iterator.load(over, btf).map_err(refused(name))?;
    let program = iterator
        .fd()
        .and_then(|fd| Ok(fd.try_clone()?))
        .map_err(refused(name))?;
    let failed = |source| KernelError::Iterator { name, source };
    let link = match map {
        None => attach_iterator(program.as_fd(), None),
        Some(map) => match ebpf.map(map) {
            Some(Map::SkStorage(data)) => attach_iterator(program.as_fd(), Some(data.fd().as_fd())),
            _ => {
                return Err(KernelError::Map {
                    name: map,
                    source: None,
                });
            }
        },
    };
    Ok(Pass::new(name, link.map_err(failed)?))
}

fn take_map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, KernelError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or(KernelError::Map { name, source: None })?;
    M::try_from(map).map_err(|source| KernelError::Map {
        name,
        source: Some(source),
    })
}
