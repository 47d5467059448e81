//! Attaches what observes UDP.

use aya::{
    Ebpf,
    maps::{Map, MapData},
    programs::CgroupSkbAttachType::{Egress, Ingress},
};

use super::{
    Chosen, KernelError,
    attach::{attach_raw, attach_to_cgroup, attach_to_sockets, brief},
};
use crate::{cgroup::Root, config::UdpHook};

/// UDP flows in the kernel, and how they get there.
pub struct Udp {
    /// Table of `UdpKey` to `UdpFlow`.
    pub(in crate::netflow) flows: MapData,
}

/// Attaches the best set of programs, or none if it is switched off or nothing works.
///
/// What could not be attached is said in `hooks`; TCP does not depend on it.
pub(super) fn attach(ebpf: &mut Ebpf, hook: UdpHook, hooks: &mut Vec<Chosen>) -> Option<Udp> {
    if hook == UdpHook::Off {
        hooks.push(Chosen::none("udp", "switched off"));
        return None;
    }
    match at_cgroup(ebpf, hooks) {
        Ok(udp) => Some(udp),
        Err(error) => {
            let why = brief(&crate::error_chain(&error));
            hooks.push(Chosen::none("udp", &format!("cgroup_skb: {why}")));
            None
        }
    }
}

/// Packets at the control group of their socket.
fn at_cgroup(ebpf: &mut Ebpf, hooks: &mut Vec<Chosen>) -> Result<Udp, KernelError> {
    let root = Root::open()?;
    // Who makes a socket comes first, so that no socket is seen sending before its maker is known.
    let creator = attach_to_sockets(ebpf, "udp_created", &root);
    let sender = attach_to_cgroup(ebpf, "udp_outgoing", &root, Egress);
    if sender.is_err() {
        attach_to_cgroup(ebpf, "udp_outgoing_plain", &root, Egress)?;
    }
    attach_to_cgroup(ebpf, "udp_incoming", &root, Ingress)?;
    let refused = attach_raw(ebpf, "udp_refused", "udp_fail_queue_rcv_skb");
    let Some(Map::HashMap(flows)) = ebpf.take_map("UDP_FLOWS") else {
        return Err(KernelError::Map {
            name: "UDP_FLOWS",
            source: None,
        });
    };
    hooks.push(Chosen::new("udp", "cgroup_skb", root.limits()));
    hooks.push(owner_hook(sender, creator));
    hooks.push(match refused {
        Ok(()) => Chosen::new("udp_refused", "raw_tracepoint", ""),
        Err(error) => Chosen::none("udp_refused", &brief(&crate::error_chain(&error))),
    });
    Ok(Udp { flows })
}

fn owner_hook(sender: Result<(), KernelError>, creator: Result<(), KernelError>) -> Chosen {
    let why = |error: KernelError| brief(&crate::error_chain(&error));
    match (sender, creator) {
        (Ok(()), Ok(())) => Chosen::new("udp_owner", "cgroup_skb", ""),
        (Ok(()), Err(creator)) => Chosen::new(
            "udp_owner",
            "cgroup_skb",
            &format!("cgroup_sock: {}", why(creator)),
        ),
        (Err(sender), Ok(())) => Chosen::new(
            "udp_owner",
            "cgroup_sock",
            &format!("cgroup_skb: {}", why(sender)),
        ),
        (Err(sender), Err(creator)) => Chosen::none(
            "udp_owner",
            &format!("cgroup_skb: {}; cgroup_sock: {}", why(sender), why(creator)),
        ),
    }
}
