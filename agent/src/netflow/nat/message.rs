//! What connection tracking says of one connection, and the few questions it is asked.
//!
//! Layouts: `include/uapi/linux/netfilter/nfnetlink.h`, `nfnetlink_conntrack.h`, `nf_conntrack_common.h` and `nf_tables.h`.
//! Numbers in attributes are in network byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::SockFilter;

use crate::netlink::{
    Request,
    message::{attributes, be16_at, be32_at, messages, push_attribute},
};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`.
pub(super) const NEW: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;
/// `IPCTNL_MSG_CT_DELETE`.
pub(super) const DELETE: u16 = 1 << 8 | 2;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN`.
const GET_CHAIN: u16 = 10 << 8 | 4;
/// Length of `struct nfgenmsg`.
const HEADER: usize = 4;
/// `NFPROTO_UNSPEC`: IPv4 and IPv6.
const EVERY_FAMILY: [u8; HEADER] = [0; HEADER];

/// `IPS_SRC_NAT`.
pub(super) const SOURCE_TRANSLATED: u32 = 1 << 4;
/// `IPS_DST_NAT`.
pub(super) const DESTINATION_TRANSLATED: u32 = 1 << 5;
/// `IPS_NAT_MASK`.
const TRANSLATED: u32 = SOURCE_TRANSLATED | DESTINATION_TRANSLATED;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_STATUS_MASK: u16 = 26;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const NFTA_CHAIN_TYPE: u16 = 7;

/// One direction of a connection, as its packets have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// IP protocol: 6 is TCP, 17 is UDP.
    pub protocol: u8,
    /// Source.
    pub source: SocketAddr,
    /// Destination.
    pub destination: SocketAddr,
}

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the packets come of the side that began.
    pub original: Tuple,
    /// As the answers come, before they are translated back.
    pub reply: Tuple,
    /// Bits of `enum ip_conntrack_status`.
    pub status: u32,
}

impl Entry {
    /// Reads the body of a message. `None` if it has no ports, or lacks something.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (mut original, mut reply, mut status) = (None, None, None);
        for (kind, value) in attributes(body.get(HEADER..)?) {
            match kind {
                CTA_TUPLE_ORIG => original = tuple(value),
                CTA_TUPLE_REPLY => reply = tuple(value),
                CTA_STATUS => status = be32_at(value, 0),
                _ => {}
            }
        }
        Some(Self {
            original: original?,
            reply: reply?,
            status: status?,
        })
    }

    /// Whether one of the ends has another address or port than the other end sees.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.status & TRANSLATED != 0
    }
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut source_port, mut destination_port) = (None, None, None);
    for (kind, value) in attributes(bytes) {
        match kind {
            CTA_TUPLE_IP => {
                for (kind, value) in attributes(value) {
                    match kind {
                        CTA_IP_V4_SRC => source = v4(value),
                        CTA_IP_V4_DST => destination = v4(value),
                        CTA_IP_V6_SRC => source = v6(value),
                        CTA_IP_V6_DST => destination = v6(value),
                        _ => {}
                    }
                }
            }
            CTA_TUPLE_PROTO => {
                for (kind, value) in attributes(value) {
                    match kind {
                        CTA_PROTO_NUM => protocol = value.first().copied(),
                        CTA_PROTO_SRC_PORT => source_port = be16_at(value, 0),
                        CTA_PROTO_DST_PORT => destination_port = be16_at(value, 0),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(Tuple {
        protocol: protocol?,
        source: SocketAddr::new(source?, source_port?),
        destination: SocketAddr::new(destination?, destination_port?),
    })
}

fn v4(bytes: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn v6(bytes: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = bytes.try_into().ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// Reads every tracked connection of one datagram; what is malformed ends it.
pub fn parse(datagram: &[u8], mut each: impl FnMut(&Entry)) {
    for message in messages(datagram).flatten() {
        if let Some(entry) = Entry::parse(message.body) {
            each(&entry);
        }
    }
}

/// Body of the request for all connections that have this bit of the status. Before Linux 5.15 the answer is
/// all connections.
pub(super) fn connections_with(bit: u32) -> Vec<u8> {
    let mut body = EVERY_FAMILY.to_vec();
    push_attribute(&mut body, CTA_STATUS, &bit.to_be_bytes());
    push_attribute(&mut body, CTA_STATUS_MASK, &bit.to_be_bytes());
    body
}

/// The request itself.
pub(super) fn connections(body: &[u8]) -> Request<'_> {
    Request {
        what: "tracked connections",
        module: "nf_conntrack_netlink",
        kind: GET,
        body,
    }
}

/// The request for the chains of nftables.
pub(super) const CHAINS: Request<'static> = Request {
    what: "chains of nftables",
    module: "nf_tables",
    kind: GET_CHAIN,
    body: &EVERY_FAMILY,
};

/// Whether a message about a chain says that it translates addresses.
#[must_use]
pub fn is_nat_chain(body: &[u8]) -> bool {
    attributes(body.get(HEADER..).unwrap_or_default())
        .any(|(kind, value)| kind == NFTA_CHAIN_TYPE && value.strip_suffix(b"\0") == Some(b"nat"))
}

/// A classic BPF program that lets pass what is translated, and what does not say: an untranslated connection is then
/// not even queued for us.
pub(super) fn translated_only() -> [SockFilter; 9] {
    /// `SKF_AD_OFF + SKF_AD_NLATTR` of `include/uapi/linux/filter.h`: the offset, from A on, of the attribute X.
    const FIND_ATTRIBUTE: u32 = 0xffff_f000 + 12;
    /// Behind `struct nlmsghdr` and `struct nfgenmsg`.
    const ATTRIBUTES: u32 = 16 + 4;
    let instruction = |code: u32, jump_true, jump_false, k| {
        SockFilter::new(code as u16, jump_true, jump_false, k)
    };
    [
        instruction(libc::BPF_LD | libc::BPF_IMM, 0, 0, ATTRIBUTES),
        instruction(libc::BPF_LDX | libc::BPF_IMM, 0, 0, u32::from(CTA_STATUS)),
        instruction(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            0,
            FIND_ATTRIBUTE,
        ),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 3, 0, 0),
        // TAX; then the value, behind the attribute's header.
        instruction(libc::BPF_MISC, 0, 0, 0),
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, 0, 0, 4),
        instruction(
            libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
            0,
            1,
            TRANSLATED,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests;
