//! Attaches what observes UDP.

use aya::{
    Btf, Ebpf,
    maps::{Map, MapData},
    programs::{
        CgroupSkbAttachType::{Egress, Ingress},
        Program,
    },
};

use super::{
    Chosen, KernelError,
    attach::{
        attach_btf, attach_exit, attach_pass, attach_raw, attach_to_cgroup, attach_to_sockets,
        load_exit, skips_runs,
    },
    why,
};
use crate::{cgroup::Root, config::UdpHook, netflow::pass::Pass};

/// UDP flows in the kernel, and how they get there.
pub struct Udp {
    /// Table of `UdpKey` to `UdpFlow`.
    pub(in crate::netflow) flows: MapData,
    /// Pass over the flows that are kept in their sockets, where some are.
    pub(in crate::netflow) live: Option<Pass>,
    /// Whether the same programs look at HTTP.
    pub(super) shows_http: bool,
}

/// Attaches the best set of programs, or none if it is switched off or nothing works.
///
/// What could not be attached is said in `hooks`; TCP does not depend on it. With `http`, the programs at the control
/// group look at HTTP too, if they can.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    hook: UdpHook,
    http: bool,
    hooks: &mut Vec<Chosen>,
) -> Option<Udp> {
    if hook == UdpHook::Off {
        hooks.push(Chosen::none("udp", "switched off"));
        return None;
    }
    let mut tried = Vec::new();
    for way in hook.ways() {
        let mut shows_http = false;
        let attached = match way {
            UdpHook::Fexit => at_exits(ebpf, btf, hooks),
            UdpHook::LengthTracepoint => at_lengths(ebpf, hooks),
            _ if http => match at_cgroup(ebpf, btf, &WITH_HTTP, hooks) {
                Ok(live) => {
                    shows_http = true;
                    Ok(live)
                }
                Err(_refused) => {
                    detach(ebpf);
                    at_cgroup(ebpf, btf, &ALONE, hooks)
                }
            },
            _ => at_cgroup(ebpf, btf, &ALONE, hooks),
        };
        match attached.and_then(|live| flows(ebpf, live)) {
            Ok(mut udp) => {
                udp.shows_http = shows_http;
                if let Some(chosen) = hooks.iter_mut().find(|chosen| chosen.event == "udp") {
                    tried.push(std::mem::take(&mut chosen.reason));
                    tried.retain(|reason| !reason.is_empty());
                    chosen.reason = tried.join("; ");
                }
                return Some(udp);
            }
            Err(error) => {
                // What was attached before something failed would count beside the next way.
                detach(ebpf);
                tried.push(format!("{}: {}", way.name(), why(&error)));
            }
        }
    }
    hooks.push(Chosen::none("udp", tried.join("; ")));
    None
}

/// Detaches every program about UDP.
fn detach(ebpf: &mut Ebpf) {
    let programs = ebpf.programs_mut();
    for (name, program) in programs.filter(|(name, _)| name.starts_with("udp_")) {
        let detached = match program {
            Program::CgroupSkb(packets) => packets.unload(),
            Program::CgroupSock(sockets) => sockets.unload(),
            Program::BtfTracePoint(typed) => typed.unload(),
            Program::RawTracePoint(raw) => raw.unload(),
            Program::FExit(exit) => exit.unload(),
            Program::Iter(pass) => pass.unload(),
            _ => Ok(()),
        };
        if let Err(error) = detached {
            // It was not loaded.
            tracing::trace!(error = crate::error_chain(&error), name, "not detached");
        }
    }
}

fn flows(ebpf: &mut Ebpf, live: Option<Pass>) -> Result<Udp, KernelError> {
    match ebpf.take_map("UDP_FLOWS") {
        Some(Map::HashMap(flows)) => Ok(Udp {
            flows,
            live,
            shows_http: false,
        }),
        _ => Err(KernelError::Map {
            name: "UDP_FLOWS",
            source: None,
        }),
    }
}

/// The ends of the kernel's own send and receive functions.
fn at_exits(
    ebpf: &mut Ebpf,
    btf: &Btf,
    hooks: &mut Vec<Chosen>,
) -> Result<Option<Pass>, KernelError> {
    // All or none: half of them would count half of the traffic.
    let exits = [
        ("udp_sent_v4", "udp_sendmsg"),
        ("udp_sent_v6", "udpv6_sendmsg"),
        ("udp_received_v4", "udp_recvmsg"),
        ("udp_received_v6", "udpv6_recvmsg"),
    ];
    for (name, function) in exits {
        load_exit(ebpf, btf, name, function)?;
    }
    for (name, _) in exits {
        attach_exit(ebpf, name)?;
    }
    let limit = if skips_runs() {
        "this kernel skips runs of programs: numbers may be too low"
    } else {
        ""
    };
    hooks.push(Chosen::new("udp", "fexit", limit));
    hooks.push(Chosen::new("udp_owner", "fexit", ""));
    Ok(None)
}

/// The tracepoints at the end of send and receive calls.
fn at_lengths(ebpf: &mut Ebpf, hooks: &mut Vec<Chosen>) -> Result<Option<Pass>, KernelError> {
    attach_raw(ebpf, "udp_receive_length", "sock_recv_length")?;
    attach_raw(ebpf, "udp_send_length", "sock_send_length")?;
    let limit = "no peer of unconnected sockets: their rows have the address 0.0.0.0 or ::";
    hooks.push(Chosen::new("udp", "length_tracepoint", limit));
    hooks.push(Chosen::new("udp_owner", "length_tracepoint", ""));
    Ok(None)
}

/// Programs for packets at the control group of their socket: for outgoing ones, the same on older kernels, and for
/// incoming ones.
type AtCgroup = [&'static str; 3];

const ALONE: AtCgroup = ["udp_outgoing", "udp_outgoing_plain", "udp_incoming"];
const WITH_HTTP: AtCgroup = [
    "udp_http_outgoing",
    "udp_http_outgoing_plain",
    "udp_http_incoming",
];

/// Packets at the control group of their socket.
fn at_cgroup(
    ebpf: &mut Ebpf,
    btf: &Btf,
    [outgoing, plain, incoming]: &AtCgroup,
    hooks: &mut Vec<Chosen>,
) -> Result<Option<Pass>, KernelError> {
    let root = Root::open()?;
    let live = attach_pass(
        ebpf,
        btf,
        "udp_live",
        "bpf_sk_storage_map",
        Some("UDP_SOCKETS"),
    )?;
    // Who makes and who closes a socket comes first, so that none is seen sending before its maker is known.
    attach_to_sockets(ebpf, "udp_closed", &root)?;
    let creator = attach_to_sockets(ebpf, "udp_created", &root);
    let sender = attach_to_cgroup(ebpf, outgoing, &root, Egress);
    if sender.is_err() {
        attach_to_cgroup(ebpf, plain, &root, Egress)?;
    }
    let refused = attach_btf(ebpf, btf, "udp_refused", "udp_fail_queue_rcv_skb");
    attach_to_cgroup(ebpf, incoming, &root, Ingress)?;
    hooks.push(Chosen::new("udp", "cgroup_skb", root.limits()));
    hooks.push(owner_hook(sender, creator));
    hooks.push(match refused {
        Ok(()) => Chosen::new("udp_refused", "btf_tracepoint", ""),
        Err(error) => Chosen::none(
            "udp_refused",
            format!(
                "datagrams for which the receiver has no room count as received; btf_tracepoint: {}",
                why(&error)
            ),
        ),
    });
    Ok(Some(live))
}

fn owner_hook(sender: Result<(), KernelError>, creator: Result<(), KernelError>) -> Chosen {
    match (sender, creator) {
        (Ok(()), Ok(())) => Chosen::new("udp_owner", "cgroup_skb", ""),
        (Ok(()), Err(creator)) => Chosen::new(
            "udp_owner",
            "cgroup_skb",
            format!("cgroup_sock: {}", why(&creator)),
        ),
        (Err(sender), Ok(())) => Chosen::new(
            "udp_owner",
            "cgroup_sock",
            format!("cgroup_skb: {}", why(&sender)),
        ),
        (Err(sender), Err(creator)) => Chosen::none(
            "udp_owner",
            format!(
                "cgroup_skb: {}; cgroup_sock: {}",
                why(&sender),
                why(&creator)
            ),
        ),
    }
}
