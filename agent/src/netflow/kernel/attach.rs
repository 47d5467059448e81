//! Loading and attaching one program, and what must be known for it.

use std::{fs, os::fd::AsFd as _};

use aya::{
    Btf, Ebpf,
    maps::{Map, MapError},
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, FExit, Iter,
        KProbe, Program, ProgramError, RawTracePoint,
    },
};
use weir_ebpf_common::offsets::{ABSENT, Offsets};

use super::{BTF_FILE, KernelError};
use crate::{
    btf::Members,
    cgroup::Root,
    netflow::{pass::Pass, syscall::attach_iterator},
};

/// Name of the tracepoint of TCP state changes, in both its forms.
const TRACEPOINT: &str = "inet_sock_set_state";

/// What a long cause says in one line: its first line, and the verifier's verdict where there is one. That is the
/// last line before its statistics.
pub(crate) fn brief(why: &str) -> String {
    tracing::debug!("{why}");
    let mut lines = why.lines().filter(|line| !line.trim().is_empty());
    let Some(first) = lines.next() else {
        return String::new();
    };
    let statistics = ["verification time", "stack depth", "processed ", ": "];
    let verdict = lines
        .rfind(|line| !statistics.iter().any(|start| line.starts_with(start)))
        .unwrap_or_default();
    // What comes before is the question, and the beginning of the verifier's walk.
    let first = first.split(". Verifier output:").next().unwrap_or(first);
    if verdict.is_empty() {
        first.to_owned()
    } else {
        format!("{first}: {verdict}")
    }
}

/// What must be known of the running kernel.
pub(crate) struct Layout {
    pub(crate) offsets: Offsets,
    /// How many arguments `inet_csk_accept` has: its result comes after them. 0 if it is not known.
    pub(super) accept_arguments: u32,
    /// The same for `udp_recvmsg`.
    pub(super) receive_arguments: u32,
}

impl Layout {
    /// Reads the kernel's BTF.
    pub(crate) fn read() -> Result<Self, KernelError> {
        let data = fs::read(BTF_FILE).map_err(KernelError::NoBtf)?;
        let members = Members::parse(&data).map_err(KernelError::BadBtf)?;
        let offsets = Offsets::resolve(|of, path| match path.strip_suffix(':') {
            Some(path) => members.bit_offset(of, path),
            None => members.offset(of, path),
        });
        // Names of executables and control groups can also be had from /proc; everything else is needed.
        let mut missing = offsets.absent().filter(|(of, _)| {
            !matches!(
                *of,
                "dentry" | "file" | "mm_struct" | "css_set" | "cgroup" | "kernfs_node"
            )
        });
        if let Some((of, member)) = missing.next() {
            return Err(KernelError::NoMember { of, member });
        }
        Ok(Self {
            accept_arguments: members.arguments("inet_csk_accept").unwrap_or(0),
            receive_arguments: members.arguments("udp_recvmsg").unwrap_or(0),
            offsets: Offsets {
                dentry_name: name_offset(&offsets),
                ..offsets
            },
        })
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

pub(crate) fn refused(name: &'static str) -> impl Fn(ProgramError) -> KernelError {
    move |source| KernelError::Program { name, source }
}

/// A program of the object, by its kind.
pub(crate) fn program<'a, P>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut P, KernelError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or(KernelError::NoObject)?
        .try_into()
        .map_err(refused(name))
}

/// Attaches the first of two programs that observe state changes, and the second too where the kernel is known to skip
/// runs; else it is only loaded. How many were attached.
pub(super) fn attach_state_btf(
    ebpf: &mut Ebpf,
    btf: &Btf,
    [first, second]: [&'static str; 2],
) -> Result<usize, KernelError> {
    attach_btf(ebpf, btf, first, TRACEPOINT)?;
    let again: &mut BtfTracePoint = program(ebpf, second)?;
    again.load(TRACEPOINT, btf).map_err(refused(second))?;
    guard(ebpf, second)
}

/// Attaches the second program if this kernel needs it.
fn guard(ebpf: &mut Ebpf, second: &'static str) -> Result<usize, KernelError> {
    if !skips_runs() {
        return Ok(1);
    }
    attach_loaded_state(ebpf, second)?;
    Ok(2)
}

/// Whether this kernel leaves preemption on in tracepoints, as Linux 7.3 does.
pub(super) fn skips_runs() -> bool {
    !is_before(7, 0)
}

/// Whether this kernel is older than that release; no, if it does not say.
pub(super) fn is_before(major: u32, minor: u32) -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(own)), Some(Ok(own_minor))) => (own, own_minor) < (major, minor),
        _ => false,
    }
}

/// Attaches a program that observes state changes and is loaded already.
pub(super) fn attach_loaded_state(ebpf: &mut Ebpf, name: &'static str) -> Result<(), KernelError> {
    let any = ebpf.program_mut(name).ok_or(KernelError::NoObject)?;
    match any {
        Program::BtfTracePoint(typed) => typed.attach().map(drop),
        Program::RawTracePoint(raw) => raw.attach(TRACEPOINT).map(drop),
        _ => return Err(KernelError::NoObject),
    }
    .map_err(refused(name))
}

/// Attaches a program to a BTF tracepoint.
pub(crate) fn attach_btf(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    tracepoint: &str,
) -> Result<(), KernelError> {
    let typed: &mut BtfTracePoint = program(ebpf, name)?;
    typed.load(tracepoint, btf).map_err(refused(name))?;
    typed.attach().map(drop).map_err(refused(name))
}

/// The same for raw tracepoints.
pub(super) fn attach_state_raw(
    ebpf: &mut Ebpf,
    [first, second]: [&'static str; 2],
) -> Result<usize, KernelError> {
    attach_raw(ebpf, first, TRACEPOINT)?;
    let again: &mut RawTracePoint = program(ebpf, second)?;
    again.load().map_err(refused(second))?;
    guard(ebpf, second)
}

/// Attaches a program to a raw tracepoint.
pub(crate) fn attach_raw(
    ebpf: &mut Ebpf,
    name: &'static str,
    tracepoint: &str,
) -> Result<(), KernelError> {
    let raw: &mut RawTracePoint = program(ebpf, name)?;
    raw.load().map_err(refused(name))?;
    raw.attach(tracepoint).map(drop).map_err(refused(name))
}

/// The function that returns an accepted socket to its process.
const ACCEPT: &str = "inet_csk_accept";

/// Attaches to the end of accept().
pub(super) fn attach_accept_exit(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
) -> Result<(), KernelError> {
    load_exit(ebpf, btf, name, ACCEPT)?;
    attach_exit(ebpf, name)
}

/// Loads a program for the end of a kernel function.
pub(super) fn load_exit(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    function: &str,
) -> Result<(), KernelError> {
    let exit: &mut FExit = program(ebpf, name)?;
    exit.load(function, btf).map_err(refused(name))
}

/// Attaches a program that was loaded for the end of a kernel function.
pub(super) fn attach_exit(ebpf: &mut Ebpf, name: &'static str) -> Result<(), KernelError> {
    let exit: &mut FExit = program(ebpf, name)?;
    exit.attach().map(drop).map_err(refused(name))
}

/// The same by a return probe.
pub(super) fn attach_accept_return(ebpf: &mut Ebpf) -> Result<(), KernelError> {
    let name = "tcp_accepted_return";
    let exit: &mut KProbe = program(ebpf, name)?;
    exit.load().map_err(refused(name))?;
    exit.attach(ACCEPT, 0).map(drop).map_err(refused(name))
}

/// Attaches to the packets of every socket.
pub(super) fn attach_to_cgroup(
    ebpf: &mut Ebpf,
    name: &'static str,
    root: &Root,
    way: CgroupSkbAttachType,
) -> Result<(), KernelError> {
    let packets: &mut CgroupSkb = program(ebpf, name)?;
    packets.load().map_err(refused(name))?;
    packets
        .attach(root, way, CgroupAttachMode::Single)
        .map(drop)
        .map_err(refused(name))
}

/// Attaches to the making of sockets.
pub(super) fn attach_to_sockets(
    ebpf: &mut Ebpf,
    name: &'static str,
    root: &Root,
) -> Result<(), KernelError> {
    let sockets: &mut CgroupSock = program(ebpf, name)?;
    sockets.load().map_err(refused(name))?;
    sockets
        .attach(root, CgroupAttachMode::Single)
        .map(drop)
        .map_err(refused(name))
}

pub(super) fn attach_pass(
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

pub(crate) fn take_map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, KernelError>
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
