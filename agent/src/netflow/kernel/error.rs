//! Why something in the kernel cannot be observed.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};

use super::BTF_FILE;
use crate::{btf::BtfError, cgroup::CgroupError};

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
    /// There is no place where packets can be seen.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Every way was refused; the last cause.
    #[error("no way to observe TCP works on this kernel ({})", tried.join("; "))]
    NoHook {
        /// What was tried and why it failed, in order.
        tried: Vec<String>,
    },
}
