//! Attaches what observes HTTP.

mod table;

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::{
    Ebpf,
    maps::{Map, MapData, RingBuf},
    programs::CgroupSkbAttachType::{Egress, Ingress},
};
use weir_ebpf_common::http::{MOST_CAPTURED, Piece};

pub use self::table::{Requests, Table, TableError};
use super::{
    Chosen, KernelError,
    attach::{attach_to_cgroup, take_map},
    why,
};
use crate::{cgroup::Root, netflow::syscall::FromKernel as _};

/// How HTTP is to be observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Size of the ring for pieces of streams, in bytes; a power of two.
    pub ring: u32,
    /// Entries of the table of requests.
    pub entries: u32,
    /// Whether the kernel counts simple exchanges itself; otherwise all come as pieces.
    pub counts: bool,
    /// Nanoseconds after which a client that closes without an answer has lost its patience.
    pub patience_ns: u64,
}

/// What the kernel shows of HTTP.
pub struct Http {
    /// Streams that the kernel does not count itself.
    pub pieces: Pieces,
    /// What it has counted.
    pub table: Table,
}

/// Pieces of HTTP streams, as the kernel hands them on.
pub struct Pieces {
    ring: RingBuf<MapData>,
}

impl Pieces {
    /// Readable when many wait.
    #[must_use]
    pub fn ready(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Takes what waits, in order; does not wait. How many there were.
    pub fn drain(&mut self, mut take: impl FnMut(&Piece, &[u8])) -> u64 {
        let mut taken = 0;
        while let Some(bytes) = self.ring.next() {
            let Some((head, payload)) = bytes.split_at_checked(size_of::<Piece>()) else {
                continue;
            };
            if let Some(piece) = Piece::from_kernel(head) {
                taken += 1;
                let captured = payload
                    .len()
                    .min(piece.captured as usize)
                    .min(MOST_CAPTURED);
                take(&piece, &payload[..captured]);
            }
        }
        taken
    }
}

/// Attaches what looks at HTTP, unless the programs that look at UDP do so already.
pub(super) fn attach(ebpf: &mut Ebpf, is_attached: bool, hooks: &mut Vec<Chosen>) -> Option<Http> {
    let event = "http";
    match at_cgroup(ebpf, is_attached) {
        Ok((http, limits)) => {
            hooks.push(Chosen::new(event, "cgroup_skb", limits));
            Some(http)
        }
        Err(error) => {
            hooks.push(Chosen::none(event, format!("cgroup_skb: {}", why(&error))));
            None
        }
    }
}

fn at_cgroup(ebpf: &mut Ebpf, is_attached: bool) -> Result<(Http, &'static str), KernelError> {
    let root = Root::open()?;
    let ring = take_map(ebpf, "HTTP_EVENTS")?;
    let period = take_map(ebpf, "HTTP_PERIOD")?;
    let Some(Map::HashMap(entries)) = ebpf.take_map("HTTP_TABLE") else {
        return Err(KernelError::Map {
            name: "HTTP_TABLE",
            source: None,
        });
    };
    if !is_attached {
        attach_to_cgroup(ebpf, "http_incoming", &root, Ingress)?;
        attach_to_cgroup(ebpf, "http_outgoing", &root, Egress)?;
    }
    let http = Http {
        pieces: Pieces { ring },
        table: Table::new(entries, period),
    };
    Ok((http, root.limits()))
}
