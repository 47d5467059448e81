//! UDP flows, and what is new in them: the first of each socket, which it holds itself, and the kernel's table
//! of those with further peers.

use std::{io, os::fd::AsFd as _};

use aya::maps::MapData;
use hashbrown::HashMap;
use weir_ebpf_common::netflow::udp::{UdpFlow, UdpKey, UdpRecord, trait_of};

use super::{
    kernel::Udp,
    pass::{Pass, PassError},
    syscall::{read_batch, take_entry},
};

/// Entries read with one call; more if a bucket of the kernel's table holds more.
const AT_ONCE: usize = 512;
const MOST_AT_ONCE: usize = 1 << 20;

/// The flows could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum UdpError {
    /// The table.
    #[error("cannot read the kernel's table of UDP flows")]
    Table(#[source] io::Error),
    /// The sockets.
    #[error(transparent)]
    Sockets(#[from] PassError),
}

/// What a flow did since it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Datagrams {
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) datagrams_in: u64,
    pub(super) datagrams_out: u64,
}

impl Datagrams {
    pub(super) const fn is_none(self) -> bool {
        self.datagrams_in == 0 && self.datagrams_out == 0
    }

    /// Takes over the flow's totals and returns what is new. A datagram that the receiver had no room for is
    /// counted and then taken back: a total that fell is waited for until it has caught up.
    fn advance(&mut self, flow: &UdpFlow) -> Self {
        fn new_part(last: &mut u64, now: u64) -> u64 {
            // A total that went below zero was taken back before its datagram was added.
            if now <= *last || now > u64::MAX / 2 {
                return 0;
            }
            now - std::mem::replace(last, now)
        }
        Self {
            bytes_in: new_part(&mut self.bytes_in, flow.bytes_in),
            bytes_out: new_part(&mut self.bytes_out, flow.bytes_out),
            datagrams_in: new_part(&mut self.datagrams_in, flow.datagrams_in),
            datagrams_out: new_part(&mut self.datagrams_out, flow.datagrams_out),
        }
    }
}

/// What was reported of a flow that its socket holds.
#[derive(Debug, Default)]
struct Held {
    reported: Datagrams,
    /// Pass in which it was last seen.
    seen: u32,
}

/// The flows, and what was already reported of each.
pub(super) struct UdpFlows {
    live: Option<Pass>,
    held: HashMap<u64, Held>,
    pass: u32,
    /// Sockets that vanished without a record of their end.
    pub(super) end_unseen: u64,
    table: MapData,
    reported: HashMap<UdpKey, Datagrams>,
    keys: Vec<UdpKey>,
    values: Vec<UdpFlow>,
    taken_out: u64,
}

impl UdpFlows {
    pub(super) fn new(udp: Udp) -> Self {
        Self {
            live: udp.live,
            held: HashMap::new(),
            pass: 0,
            end_unseen: 0,
            table: udp.flows,
            reported: HashMap::new(),
            keys: Vec::new(),
            values: Vec::new(),
            taken_out: 0,
        }
    }

    /// Flows taken out of the kernel's table since the start.
    pub(super) fn taken_out(&self) -> u64 {
        self.taken_out
    }

    /// Takes over the last totals of a flow whose socket was closed, and returns what is new.
    pub(super) fn closed(&mut self, record: &UdpRecord) -> Datagrams {
        let held = self.held.remove(&record.key.socket);
        held.unwrap_or_default().reported.advance(&record.flow)
    }

    /// Calls `each` with what the flows in their sockets did since the last pass.
    pub(super) fn held(
        &mut self,
        mut each: impl FnMut(&UdpKey, &UdpFlow, Datagrams) + Send,
    ) -> Result<(), UdpError> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        self.pass = self.pass.wrapping_add(1);
        let (held, pass) = (&mut self.held, self.pass);
        live.run(|record: UdpRecord| {
            let known = held.entry(record.key.socket).or_default();
            known.seen = pass;
            let new = known.reported.advance(&record.flow);
            if !new.is_none() {
                each(&record.key, &record.flow, new);
            }
        })?;
        Ok(())
    }

    /// Call after a pass over the sockets and after every record that was written before it ended. A socket that
    /// two passes in a row did not find was closed, and the record of it was lost.
    pub(super) fn forget_closed(&mut self) {
        let (pass, before) = (self.pass, self.held.len());
        self.held.retain(|_, held| pass.wrapping_sub(held.seen) < 2);
        self.end_unseen += (before - self.held.len()) as u64;
        self.held.shrink_to(self.held.len() * 4);
    }

    /// Calls `each` with what every flow of the table did since the last pass. A flow that did nothing has ended,
    /// and leaves the table.
    pub(super) fn table(
        &mut self,
        mut each: impl FnMut(&UdpKey, &UdpFlow, Datagrams),
    ) -> Result<(), UdpError> {
        let result = self.read(&mut each).map_err(UdpError::Table);
        self.keys = Vec::new();
        self.values = Vec::new();
        self.reported.shrink_to(self.reported.len() * 4);
        result
    }

    fn read(&mut self, each: &mut impl FnMut(&UdpKey, &UdpFlow, Datagrams)) -> io::Result<()> {
        let mut room = AT_ONCE;
        let mut place = None;
        loop {
            self.keys.resize(room, EMPTY);
            self.values.resize(room, UdpFlow::default());
            let map = self.table.fd().as_fd();
            let read = match read_batch(map, &mut place, &mut self.keys, &mut self.values) {
                Ok(read) => read,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < MOST_AT_ONCE => {
                    room *= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for at in 0..read {
                if let (Some(key), Some(flow)) = (self.keys.get(at), self.values.get(at)) {
                    let (key, flow) = (*key, *flow);
                    self.one(&key, &flow, each)?;
                }
            }
            if place.is_none() {
                return Ok(());
            }
        }
    }

    fn one(
        &mut self,
        key: &UdpKey,
        flow: &UdpFlow,
        each: &mut impl FnMut(&UdpKey, &UdpFlow, Datagrams),
    ) -> io::Result<()> {
        if flow.traits & trait_of::DESCRIBED == 0 {
            return Ok(());
        }
        let reported = self.reported.entry(*key).or_default();
        let new = reported.advance(flow);
        if !new.is_none() {
            each(key, flow, new);
            return Ok(());
        }
        // It may do something between the look above and its end here: that is not lost.
        let map = self.table.fd().as_fd();
        let last = take_entry::<UdpKey, UdpFlow>(map, key)?;
        if let Some(mut reported) = self.reported.remove(key)
            && let Some(last) = last
        {
            let new = reported.advance(&last);
            if !new.is_none() {
                each(key, &last, new);
            }
        }
        self.taken_out += 1;
        Ok(())
    }
}

const EMPTY: UdpKey = UdpKey {
    socket: 0,
    local: [0; 4],
    remote: [0; 4],
    local_port: 0,
    remote_port: 0,
    family: 0,
    reserved: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_that_was_taken_back_is_not_reported_twice() {
        let mut reported = Datagrams::default();
        let flow = |datagrams_in, bytes_in| UdpFlow {
            datagrams_in,
            bytes_in,
            ..UdpFlow::default()
        };

        assert_eq!(reported.advance(&flow(10, 1000)).datagrams_in, 10);
        assert_eq!(reported.advance(&flow(9, 900)).datagrams_in, 0);
        let later = reported.advance(&flow(12, 1200));

        assert_eq!((later.datagrams_in, later.bytes_in), (2, 200));
    }
}
