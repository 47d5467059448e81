//! Where a packet begins and ends, and whether it was seen already.

use super::{
    Packet, Tally,
    addresses::Addresses,
    packet::{self, Datagram},
    seen::Seen,
    tap::Frame,
    unix_ns,
};

/// Decides which packets of one namespace count.
pub(super) struct Sight<'a> {
    pub(super) netns: u32,
    pub(super) addresses: &'a Addresses,
    pub(super) at_devices: &'a mut Seen,
    pub(super) passing: &'a mut Seen,
    pub(super) tally: &'a mut Tally,
}

impl Sight<'_> {
    /// The packet, if it counts.
    pub(super) fn packet<'a>(&mut self, frame: Frame<'a>) -> Option<Packet<'a>> {
        let Some(datagram) = packet::parse(frame.bytes) else {
            self.tally.unreadable += 1;
            return None;
        };
        let time_ns = if frame.time_ns == 0 {
            unix_ns()
        } else {
            frame.time_ns
        };
        let Datagram {
            src,
            dst,
            tcp,
            payload,
            ..
        } = datagram;
        let from_here = self.addresses.contains(src.ip());
        let to_here = self.addresses.contains(dst.ip());
        let mut packet = Packet {
            netns: self.netns,
            time_ns,
            datagram,
            from_here,
            to_here,
            is_translated: false,
        };
        if frame.link == libc::ARPHRD_LOOPBACK {
            return Some(packet);
        }
        let sent_on = (dst, tcp.map(|segment| segment.sequence), payload);
        if !from_here && !to_here {
            self.tally.forwarded += 1;
            if frame.kind != libc::PACKET_OUTGOING {
                self.passing.note(sent_on, frame.device, time_ns);
            }
            return None;
        }
        if self
            .at_devices
            .elsewhere((src, tcp, sent_on), frame.device, time_ns)
        {
            self.tally.repeated += 1;
            return None;
        }
        packet.is_translated = from_here
            && frame.kind == libc::PACKET_OUTGOING
            && self.passing.contains(sent_on, time_ns);
        Some(packet)
    }
}
