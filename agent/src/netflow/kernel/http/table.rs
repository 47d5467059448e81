//! The kernel's table of requests, and what is new in it.

use std::{io, os::fd::AsFd as _};

use aya::maps::{Array, MapData, MapError};
use hashbrown::HashMap;
use weir_ebpf_common::http::{BOUNDS_NS, HttpKey, HttpTally, LINE, MAXIMUM_BITS};

use crate::netflow::syscall::{read_batch, take_entry};

/// Entries read with one call; more if a bucket of the kernel's table holds more.
const AT_ONCE: usize = 256;
const MOST_AT_ONCE: usize = 1 << 20;

/// The table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its entries.
    #[error("cannot read the kernel's table of HTTP requests")]
    Entries(#[source] io::Error),
    /// The number of the period.
    #[error("cannot begin a period of HTTP")]
    Period(#[source] MapError),
}

/// What requests of one key did in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests.
    pub count: u64,
    /// Bytes of messages that the local end read.
    pub bytes_in: u64,
    /// Bytes of messages that the local end wrote.
    pub bytes_out: u64,
    /// Sum of the times to the first byte of the answer, in nanoseconds.
    pub latency_ns: u64,
    /// The longest of them.
    pub latency_max_ns: u64,
    /// How many of them were in each bucket of [`BOUNDS_NS`], and past the last.
    pub buckets: [u64; BOUNDS_NS.len() + 1],
}

impl Requests {
    /// Takes over totals and returns what is new, in the period of that number.
    fn advance(&mut self, tally: &HttpTally, period: u16) -> Self {
        fn new_part(last: &mut u64, now: u64) -> u64 {
            now.saturating_sub(std::mem::replace(last, now))
        }
        let mut new = Self {
            count: new_part(&mut self.count, tally.count),
            bytes_in: new_part(&mut self.bytes_in, tally.bytes_in),
            bytes_out: new_part(&mut self.bytes_out, tally.bytes_out),
            latency_ns: new_part(&mut self.latency_ns, tally.latency_ns),
            ..Self::default()
        };
        for ((new, last), now) in new
            .buckets
            .iter_mut()
            .zip(&mut self.buckets)
            .zip(tally.buckets)
        {
            *new = new_part(last, now);
        }
        let of_period = |place: &&u64| **place >> MAXIMUM_BITS == u64::from(period);
        let longest = tally.latency_max_ns.iter().filter(of_period).max();
        new.latency_max_ns = longest.map_or(0, |place| place & ((1 << MAXIMUM_BITS) - 1));
        new
    }

    /// Whether nothing happened.
    fn is_none(&self) -> bool {
        self.count == 0 && self.bytes_in == 0 && self.bytes_out == 0
    }
}

/// The table, and what was already reported of each entry.
pub struct Table {
    entries: MapData,
    period: Array<MapData, u16>,
    number: u16,
    reported: HashMap<HttpKey, Requests>,
    keys: Vec<HttpKey>,
    values: Vec<HttpTally>,
}

impl Table {
    pub(super) fn new(entries: MapData, period: Array<MapData, u16>) -> Self {
        Self {
            entries,
            period,
            number: 0,
            reported: HashMap::new(),
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Ends a period: calls `each` with what the requests of every key did in it. A key without requests in a whole
    /// period leaves the table.
    ///
    /// # Errors
    /// If the kernel refuses to read it; what was read before was given to `each`.
    pub fn end_period(
        &mut self,
        mut each: impl FnMut(&HttpKey, &HttpTally, Requests),
    ) -> Result<(), TableError> {
        let ended = self.number;
        self.number = ended.wrapping_add(1);
        self.period
            .set(0, self.number, 0)
            .map_err(TableError::Period)?;
        let done = self.read(ended, &mut each).map_err(TableError::Entries);
        self.keys = Vec::new();
        self.values = Vec::new();
        self.reported.shrink_to(self.reported.len() * 4);
        done
    }

    fn read(
        &mut self,
        period: u16,
        each: &mut impl FnMut(&HttpKey, &HttpTally, Requests),
    ) -> io::Result<()> {
        let mut room = AT_ONCE;
        let mut place = None;
        loop {
            self.keys.resize(room, EMPTY);
            self.values.resize(room, HttpTally::default());
            let map = self.entries.fd().as_fd();
            let read = match read_batch(map, &mut place, &mut self.keys, &mut self.values) {
                Ok(read) => read,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < MOST_AT_ONCE => {
                    room *= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for at in 0..read {
                if let (Some(key), Some(tally)) = (self.keys.get(at), self.values.get(at)) {
                    let (key, tally) = (*key, *tally);
                    self.one(period, &key, &tally, each)?;
                }
            }
            if place.is_none() {
                return Ok(());
            }
        }
    }

    fn one(
        &mut self,
        period: u16,
        key: &HttpKey,
        tally: &HttpTally,
        each: &mut impl FnMut(&HttpKey, &HttpTally, Requests),
    ) -> io::Result<()> {
        let reported = self.reported.entry(*key).or_default();
        let new = reported.advance(tally, period);
        if !new.is_none() {
            each(key, tally, new);
            return Ok(());
        }
        // It may do something between the look above and its end here: that is not lost.
        let last = take_entry::<HttpKey, HttpTally>(self.entries.fd().as_fd(), key)?;
        if let (Some(mut reported), Some(last)) = (self.reported.remove(key), last) {
            let new = reported.advance(&last, period);
            if !new.is_none() {
                each(key, &last, new);
            }
        }
        Ok(())
    }
}

const EMPTY: HttpKey = HttpKey {
    local: [0; 4],
    remote: [0; 4],
    netns: 0,
    pid: 0,
    family: 0,
    port: 0,
    status: 0,
    how: 0,
    line: [0; LINE],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_what_is_new_in_it_and_the_longest_time_of_its_own() {
        let mut reported = Requests::default();
        let mut tally = HttpTally {
            count: 3,
            bytes_in: 300,
            latency_ns: 60,
            latency_max_ns: [40, 0, 50, 0],
            ..HttpTally::default()
        };
        tally.buckets[0] = 3;
        let first = reported.advance(&tally, 0);
        assert_eq!((first.count, first.bytes_in), (3, 300));
        assert_eq!(first.latency_max_ns, 50);

        tally.count = 4;
        tally.latency_ns = 65;
        tally.buckets[0] = 4;
        tally.latency_max_ns[1] = 5 | 1 << MAXIMUM_BITS;
        let second = reported.advance(&tally, 1);
        assert_eq!((second.count, second.bytes_in), (1, 0));
        assert_eq!((second.latency_ns, second.latency_max_ns), (5, 5));
        assert_eq!(second.buckets[0], 1);
        assert!(reported.advance(&tally, 2).is_none());
    }
}
