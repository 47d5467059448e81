//! Attaches what observes HTTP.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
    programs::CgroupSkbAttachType::{Egress, Ingress},
};
use weir_ebpf_common::http::{MOST_CAPTURED, Piece};

use super::{
    Chosen, KernelError,
    attach::{attach_to_cgroup, take_map},
    why,
};
use crate::{cgroup::Root, netflow::syscall::FromKernel as _};

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

/// Attaches, if HTTP is wanted.
pub(super) fn attach(ebpf: &mut Ebpf, hooks: &mut Vec<Chosen>) -> Option<Pieces> {
    let event = "http";
    match at_cgroup(ebpf) {
        Ok((pieces, limits)) => {
            hooks.push(Chosen::new(event, "cgroup_skb", limits));
            Some(pieces)
        }
        Err(error) => {
            hooks.push(Chosen::none(event, format!("cgroup_skb: {}", why(&error))));
            None
        }
    }
}

fn at_cgroup(ebpf: &mut Ebpf) -> Result<(Pieces, &'static str), KernelError> {
    let root = Root::open()?;
    let ring = take_map(ebpf, "HTTP_EVENTS")?;
    attach_to_cgroup(ebpf, "http_incoming", &root, Ingress)?;
    attach_to_cgroup(ebpf, "http_outgoing", &root, Egress)?;
    Ok((Pieces { ring }, root.limits()))
}
