//! UDP, one call at a time, where programs cannot be attached to control groups.
//!
//! It is always the calling process that runs here, so the owner is known. A call that the kernel cuts into
//! several datagrams counts as one, and a datagram that was cut short on receipt counts what was copied.

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::BPF_NOEXIST, programs::FExitContext};
use weir_ebpf_common::{
    loss,
    netflow::{
        owner,
        udp::{UdpFlow, UdpKey, trait_of},
    },
};

use crate::{
    maps::{UDP_EMPTY, UDP_FLOWS, UDP_RECEIVE_ARGUMENTS, add, count},
    read::{AF_INET, AF_INET6, Probe, Read as _, local_port, namespace, offset},
    udp::{Amount, Way, add_to, is_bound, own_by_current},
};

/// `IPPROTO_UDP`.
const UDP: u16 = 17;
/// `MSG_PEEK`: the datagram stays where it is and will be read again.
const PEEK: i32 = 2;
/// `SIN6_LEN_RFC2133`: the shortest address of IPv6 that the kernel takes.
const SOCKADDR_IN6_LEAST: i32 = 24;

/// Family, port and address of a peer, as words of a key.
#[derive(Clone, Copy)]
struct Peer {
    family: u16,
    port: u16,
    address: [u64; 2],
}

/// What one call has moved: the tracepoints `sock_send_length` and `sock_recv_length`, which serve every protocol.
/// They tell no peer but the one that the socket is connected to.
#[inline(always)]
pub(crate) fn length(sock: *const u8, result: i32, flags: i32, way: Way) {
    if Probe::at::<u16>(sock, offset!(protocol)) != UDP {
        return;
    }
    moved(sock, core::ptr::null(), result, flags, way);
}

/// The end of `udp_sendmsg` or, with `AF_INET6`, of `udpv6_sendmsg`. Arguments: sock, message, length.
#[inline(always)]
pub(crate) fn sent(ctx: &FExitContext, family: u16) {
    let (sock, message): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    // An IPv6 socket that sends to an IPv4 address comes through both functions. The inner one counts: at the
    // end of the outer one the address may be gone already.
    if family == AF_INET || !is_to_v4(sock, message) {
        moved(
            sock,
            message,
            ctx.arg::<i64>(3) as i32,
            0,
            Way::Outgoing { by_current: true },
        );
    }
}

/// Whether an IPv6 socket has sent to an IPv4 address.
#[inline(always)]
fn is_to_v4(sock: *const u8, message: *const u8) -> bool {
    let name: u64 = Probe::at(message, offset!(message_name));
    if name == 0 {
        return v4_in(Probe::at(sock, offset!(remote_v6))).is_some();
    }
    // What is left is the address that `udp_sendmsg` was given (`struct sockaddr_in` is shorter than any
    // for IPv6), or the program's own.
    Probe::at::<i32>(message, offset!(message_name_len)) < SOCKADDR_IN6_LEAST
        || v4_in(Probe::at(name as *const u8, 8)).is_some()
}

/// The IPv4 address that is written as an IPv6 one (`::ffff:a.b.c.d`).
#[inline(always)]
fn v4_in(address: [u64; 2]) -> Option<u64> {
    let is_mapped = address[0] == 0 && address[1] as u32 == u32::from_ne_bytes([0, 0, 0xff, 0xff]);
    is_mapped.then_some(address[1] >> 32)
}

/// The end of `udp_recvmsg` or `udpv6_recvmsg`. Arguments: sock, message, length, (before Linux 5.19 whether to
/// block,) flags, (before 7.0 where the length of the address goes).
#[inline(always)]
pub(crate) fn received(ctx: &FExitContext) {
    let (sock, message): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    let (flags, result) = match UDP_RECEIVE_ARGUMENTS.load() {
        4 => (argument!(ctx, 3), argument!(ctx, 4)),
        5 => (argument!(ctx, 3), argument!(ctx, 5)),
        6 => (argument!(ctx, 4), argument!(ctx, 6)),
        _ => return,
    };
    moved(sock, message, result as i32, flags as i32, Way::Incoming);
}

#[inline(always)]
fn moved(sock: *const u8, message: *const u8, result: i32, flags: i32, way: Way) {
    if result < 0 || flags & PEEK != 0 {
        return;
    }
    let mut key = MaybeUninit::<UdpKey>::uninit();
    write_key(key.as_mut_ptr(), sock, peer(sock, message));
    // SAFETY: every word was written.
    let key = unsafe { key.assume_init_ref() };
    match UDP_FLOWS.get_ptr_mut(key).or_else(|| begin(sock, key, way)) {
        Some(flow) => add_to(
            flow,
            way,
            Amount {
                bytes: u64::from(result as u32),
                datagrams: 1,
            },
        ),
        None => add(loss::UDP_FLOWS_FULL, 1),
    }
}

/// The peer that the call names, else the one that the socket is connected to, else nobody.
#[inline(always)]
fn peer(sock: *const u8, message: *const u8) -> Peer {
    let name: u64 = if message.is_null() {
        0
    } else {
        Probe::at(message, offset!(message_name))
    };
    let name = name as *const u8;
    // `struct sockaddr_in` and `sockaddr_in6`: family, port, address at 4 and 8.
    match if name.is_null() {
        0
    } else {
        Probe::at::<u16>(name, 0)
    } {
        AF_INET => Peer {
            family: AF_INET,
            port: u16::from_be(Probe::at(name, 2)),
            address: [u64::from(Probe::at::<u32>(name, 4)), 0],
        },
        AF_INET6 => Peer {
            family: AF_INET6,
            port: u16::from_be(Probe::at(name, 2)),
            address: Probe::at(name, 8),
        },
        _ => Peer {
            family: Probe::at(sock, offset!(family)),
            port: u16::from_be(Probe::at(sock, offset!(remote_port))),
            address: address(sock, offset!(remote_v4), offset!(remote_v6)),
        },
    }
}

#[inline(always)]
fn address(sock: *const u8, v4: u32, v6: u32) -> [u64; 2] {
    if Probe::at::<u16>(sock, offset!(family)) == AF_INET6 {
        Probe::at(sock, v6)
    } else {
        [u64::from(Probe::at::<u32>(sock, v4)), 0]
    }
}

#[inline(always)]
fn write_key(key: *mut UdpKey, sock: *const u8, peer: Peer) {
    let cookie: u64 = Probe::at(sock, offset!(cookie));
    let mut local = address(sock, offset!(local_v4), offset!(local_v6));
    let mut peer = peer;
    if let Some(v4) = v4_in(peer.address)
        && peer.family == AF_INET6
    {
        (peer.family, peer.address) = (AF_INET, [v4, 0]);
    }
    if peer.family == AF_INET {
        // A socket of both families may be bound to no address.
        let v4 = if local[1] == 0 { local[0] } else { 0 };
        local = [v4_in(local).unwrap_or(v4), 0];
    }
    let ports = u64::from(local_port::<Probe>(sock)) | u64::from(peer.port) << 16;
    let words = key.cast::<u64>();
    // SAFETY: the key is six words long. Volatile: the stores are not to be replaced by a call.
    unsafe {
        // Nobody may have asked for the cookie yet: the address distinguishes the sockets of this moment.
        words.write_volatile(if cookie == 0 { sock as u64 } else { cookie });
        words.add(1).write_volatile(local[0]);
        words.add(2).write_volatile(local[1]);
        words.add(3).write_volatile(peer.address[0]);
        words.add(4).write_volatile(peer.address[1]);
        words
            .add(5)
            .write_volatile(ports | u64::from(peer.family) << 32);
    }
}

#[inline(always)]
fn begin(sock: *const u8, key: &UdpKey, way: Way) -> Option<*mut UdpFlow> {
    let empty = UDP_EMPTY.get(0)?;
    let is_new = UDP_FLOWS.insert(key, empty, u64::from(BPF_NOEXIST)).is_ok();
    let flow = UDP_FLOWS.get_ptr_mut(key)?;
    if is_new {
        count(loss::UDP_FLOWS_ADDED);
        let mut traits = trait_of::DESCRIBED;
        if way == Way::Incoming {
            traits |= trait_of::BEGAN_INCOMING;
        }
        if Probe::at::<u16>(sock, offset!(remote_port)) != 0 {
            traits |= trait_of::CONNECTED;
        }
        if is_bound(sock) {
            traits |= trait_of::BOUND;
        }
        // SAFETY: map memory; only the CPU that has added the flow writes what does not count.
        unsafe {
            (*flow).netns = namespace::<Probe>(sock);
            own_by_current(&mut (*flow).owner, owner::CALLER);
            core::ptr::write_volatile(&raw mut (*flow).traits, traits);
        }
    }
    Some(flow)
}
