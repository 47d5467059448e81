//! Reads of kernel structs: by direct loads where pointers are typed, else by checked reads.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use weir_ebpf_common::{
    netflow::{Facts, TcpRecord},
    offsets::LIMIT,
};

/// Offset of a member, as the agent found it. Volatile: the compiler must not fold the placeholder.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a field of a static of that type.
        unsafe {
            core::ptr::read_volatile(
                (&raw const $crate::maps::OFFSETS)
                    .cast::<u8>()
                    .add(core::mem::offset_of!(
                        weir_ebpf_common::offsets::Offsets,
                        $field
                    ))
                    .cast::<u32>(),
            )
        }
    };
}
pub(crate) use offset;

/// `AF_INET`.
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u16 = 10;
/// `SOCK_DONE` of `enum sock_flags`: a FIN was received.
const SOCK_DONE: u32 = 1;

/// A way to read kernel memory.
pub(crate) trait Read {
    /// The value at `base + offset`; zero where the member does not exist or cannot be read.
    fn at<T: Copy + Default>(base: *const u8, offset: u32) -> T;
}

/// Loads from pointers whose type the verifier knows: cheapest, and allowed under kernel lockdown.
pub(crate) struct Direct;

impl Read for Direct {
    #[inline(always)]
    fn at<T: Copy + Default>(base: *const u8, offset: u32) -> T {
        if offset > LIMIT {
            return T::default();
        }
        // SAFETY: the verifier checks the load against the BTF type; a bad pointer reads as zero.
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
    }
}

/// `bpf_probe_read_kernel`, for pointers without a type.
pub(crate) struct Probe;

impl Read for Probe {
    #[inline(always)]
    fn at<T: Copy + Default>(base: *const u8, offset: u32) -> T {
        if offset > LIMIT {
            return T::default();
        }
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast::<T>()) }
            .unwrap_or_default()
    }
}

/// Fills a record from a `tcp_sock`.
///
/// Sent bytes are read before retransmitted ones: the kernel adds to them in the other order, so that
/// a read in between is behind the truth, never ahead of it, and the next one catches up.
#[inline(always)]
pub(crate) fn fill<R: Read>(
    record: &mut TcpRecord,
    tcp: *const u8,
    facts: &Facts,
    kind: u8,
    state: u32,
) {
    let sent: u64 = R::at(tcp, offset!(bytes_sent));
    let retransmitted: u64 = R::at(tcp, offset!(bytes_retrans));
    let received: u64 = R::at(tcp, offset!(bytes_received));
    let flags: u64 = R::at(tcp, offset!(flags));
    let fin = (flags >> SOCK_DONE) & 1;
    record.facts = *facts;
    record.socket = tcp as u64;
    record.bytes_sent = sent.wrapping_sub(retransmitted);
    record.bytes_received = received.saturating_sub(fin);
    record.segments_in = R::at(tcp, offset!(segs_in));
    record.segments_out = R::at(tcp, offset!(segs_out));
    record.retransmits = R::at(tcp, offset!(total_retrans));
    record.rtt_us = R::at::<u32>(tcp, offset!(srtt)) >> 3;
    record.rtt_var_us = R::at::<u32>(tcp, offset!(mdev)) >> 2;
    record.netns = namespace::<R>(tcp);
    record.local_port = local_port::<R>(tcp);
    record.remote_port = u16::from_be(R::at(tcp, offset!(remote_port)));
    record.error = R::at::<u32>(tcp, offset!(error)) as u16;
    record.kind = kind;
    record.state = state as u8;
    record.reserved = [0; 2];
    record.inode = 0;
    record.family = R::at(tcp, offset!(family));
    if record.family == AF_INET6 {
        address_v6::<R>(&mut record.local, tcp, offset!(local_v6));
        address_v6::<R>(&mut record.remote, tcp, offset!(remote_v6));
    } else {
        address_v4::<R>(&mut record.local, tcp, offset!(local_v4));
        address_v4::<R>(&mut record.remote, tcp, offset!(remote_v4));
    }
}

/// Inode of the socket's network namespace.
#[inline(always)]
pub(crate) fn namespace<R: Read>(tcp: *const u8) -> u32 {
    let net: u64 = R::at(tcp, offset!(net));
    R::at(net as *const u8, offset!(net_inum))
}

/// Local port in host byte order.
#[inline(always)]
pub(crate) fn local_port<R: Read>(tcp: *const u8) -> u16 {
    u16::from_be(R::at(tcp, offset!(local_port)))
}

#[inline(always)]
fn address_v6<R: Read>(to: &mut [u32; 4], tcp: *const u8, offset: u32) {
    to[0] = R::at(tcp, offset);
    to[1] = R::at(tcp, offset.wrapping_add(4));
    to[2] = R::at(tcp, offset.wrapping_add(8));
    to[3] = R::at(tcp, offset.wrapping_add(12));
}

#[inline(always)]
fn address_v4<R: Read>(to: &mut [u32; 4], tcp: *const u8, offset: u32) {
    to[0] = R::at(tcp, offset);
    to[1] = 0;
    to[2] = 0;
    to[3] = 0;
}
