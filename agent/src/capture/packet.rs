//! A packet as bytes, from its IP header to the payload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::netlink::message::{be16_at, be32_at};

/// IPv6 extension headers that are walked; as many as the kernel's filter does.
const MOST_EXTENSIONS: usize = 4;

/// What TCP says of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Sequence number of the first byte, or of the SYN.
    pub sequence: u32,
    /// FIN is 1, SYN 2, RST 4.
    pub flags: u8,
}

impl Segment {
    /// No more data comes after this.
    #[must_use]
    pub fn is_fin(self) -> bool {
        self.flags & 1 != 0
    }

    /// The first of its direction.
    #[must_use]
    pub fn is_syn(self) -> bool {
        self.flags & 2 != 0
    }

    /// The connection is over.
    #[must_use]
    pub fn is_rst(self) -> bool {
        self.flags & 4 != 0
    }
}

/// A TCP segment or a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Sender.
    pub src: SocketAddr,
    /// Receiver.
    pub dst: SocketAddr,
    /// `None` for UDP.
    pub tcp: Option<Segment>,
    /// What was captured of the payload.
    pub payload: &'a [u8],
    /// Whether there is more payload: in other fragments, or not captured.
    pub is_cut: bool,
}

/// Reads a packet that begins with an IP header. `None` if it is none, or neither TCP nor UDP, or a fragment that is not the
/// first.
#[must_use]
pub fn parse(packet: &[u8]) -> Option<Datagram<'_>> {
    match packet.first()? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Datagram<'_>> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    if header < 20 {
        return None;
    }
    let fragment = be16_at(packet, 6)?;
    if fragment & 0x1fff != 0 {
        return None;
    }
    let octets = |at: usize| -> Option<[u8; 4]> { packet.get(at..at + 4)?.try_into().ok() };
    let addresses = [
        Ipv4Addr::from(octets(12)?).into(),
        Ipv4Addr::from(octets(16)?).into(),
    ];
    // The kernel leaves the length to the device where a packet is larger than it says.
    let length = match usize::from(be16_at(packet, 2)?) {
        0 => packet.len(),
        length => length,
    };
    let rest = packet.get(header..length.min(packet.len()))?;
    let is_cut = length > packet.len() || fragment & 0x2000 != 0;
    transport(*packet.get(9)?, addresses, rest, is_cut)
}

fn ipv6(packet: &[u8]) -> Option<Datagram<'_>> {
    const HEADER: usize = 40;
    let octets = |at: usize| -> Option<[u8; 16]> { packet.get(at..at + 16)?.try_into().ok() };
    let addresses = [
        Ipv6Addr::from(octets(8)?).to_canonical(),
        Ipv6Addr::from(octets(24)?).to_canonical(),
    ];
    let length = match usize::from(be16_at(packet, 4)?) {
        0 => packet.len(),
        length => length + HEADER,
    };
    let mut is_cut = length > packet.len();
    let packet = packet.get(..length.min(packet.len()))?;
    let (mut kind, mut at) = (*packet.get(6)?, HEADER);
    for _ in 0..=MOST_EXTENSIONS {
        let size = |unit: usize, plus: usize| {
            Some((usize::from(*packet.get(at + 1)?) + plus).saturating_mul(unit))
        };
        let length = match i32::from(kind) {
            libc::IPPROTO_HOPOPTS | libc::IPPROTO_ROUTING | libc::IPPROTO_DSTOPTS => size(8, 1)?,
            libc::IPPROTO_AH => size(4, 2)?,
            libc::IPPROTO_FRAGMENT => {
                let fragment = be16_at(packet, at + 2)?;
                if fragment & 0xfff8 != 0 {
                    return None;
                }
                is_cut |= fragment & 1 != 0;
                8
            }
            _ => return transport(kind, addresses, packet.get(at..)?, is_cut),
        };
        kind = *packet.get(at)?;
        at += length;
    }
    None
}

fn transport(
    kind: u8,
    [from, to]: [IpAddr; 2],
    bytes: &[u8],
    mut is_cut: bool,
) -> Option<Datagram<'_>> {
    let (tcp, payload) = match i32::from(kind) {
        libc::IPPROTO_UDP => {
            let length = usize::from(be16_at(bytes, 4)?);
            // 0 where the length does not fit into 16 bits.
            let end = if length < 8 { bytes.len() } else { length };
            is_cut |= end > bytes.len();
            (None, bytes.get(8..end.min(bytes.len()))?)
        }
        libc::IPPROTO_TCP => {
            let header = usize::from(*bytes.get(12)? >> 4) * 4;
            if header < 20 {
                return None;
            }
            let segment = Segment {
                sequence: be32_at(bytes, 4)?,
                flags: *bytes.get(13)?,
            };
            (Some(segment), bytes.get(header..)?)
        }
        _ => return None,
    };
    Some(Datagram {
        src: SocketAddr::new(from, be16_at(bytes, 0)?),
        dst: SocketAddr::new(to, be16_at(bytes, 2)?),
        tcp,
        payload,
        is_cut,
    })
}

#[cfg(test)]
mod tests;
