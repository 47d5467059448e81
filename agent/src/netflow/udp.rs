//! UDP flows: the kernel's table, and what is new in it.

use std::{io, os::fd::AsFd as _};

use aya::maps::MapData;
use hashbrown::HashMap;
use weir_ebpf_common::netflow::udp::{UdpFlow, UdpKey, trait_of};

use super::syscall::{read_batch, take_entry};

/// Entries read with one call; more if a bucket of the kernel's table holds more.
const AT_ONCE: usize = 512;
const MOST_AT_ONCE: usize = 1 << 20;

/// The kernel's table could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the kernel's table of UDP flows")]
pub(super) struct UdpError(#[source] io::Error);

/// What a flow did since it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Datagrams {
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) datagrams_in: u64,
    pub(super) datagrams_out: u64,
}

impl Datagrams {
    const fn is_none(self) -> bool {
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

/// The kernel's table of flows, and what was already reported of each.
pub(super) struct UdpFlows {
    table: MapData,
    reported: HashMap<UdpKey, Datagrams>,
    keys: Vec<UdpKey>,
    values: Vec<UdpFlow>,
    taken_out: u64,
}

impl UdpFlows {
    pub(super) fn new(table: MapData) -> Self {
        Self {
            table,
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

    /// Calls `each` with what every flow did since the last pass. A flow that did nothing has ended, and leaves
    /// the table.
    pub(super) fn pass(
        &mut self,
        mut each: impl FnMut(&UdpKey, &UdpFlow, Datagrams),
    ) -> Result<(), UdpError> {
        let result = self.read(&mut each).map_err(UdpError);
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
