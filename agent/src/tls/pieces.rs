//! Pieces from the ring; those of a connection whose socket is not known yet wait for it.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::{MapData, RingBuf};
use hashbrown::HashMap;
use rustix::time::{ClockId, clock_gettime};
use weir_ebpf_common::{
    http::{MOST_CAPTURED, Piece},
    tls::TlsPiece,
};

use crate::netflow::syscall::FromKernel as _;

/// How long pieces wait for their socket, in nanoseconds. It is found with the next answer, if at all.
const PATIENCE: u64 = 2_000_000_000;
/// Connections of which pieces wait, and pieces of each.
const MOST_CONNECTIONS: usize = 1024;
const MOST_PIECES: usize = 8;

/// A piece that waits, and its bytes.
type Waiting = (Piece, Box<[u8]>);

/// The reader of the ring.
pub(super) struct Pieces {
    ring: RingBuf<MapData>,
    waiting: Held,
    read: u64,
}

impl Pieces {
    pub(super) fn new(ring: RingBuf<MapData>) -> Self {
        Self {
            ring,
            waiting: Held::default(),
            read: 0,
        }
    }

    pub(super) fn ready(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Pieces that were read from the ring.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Pieces of connections whose socket was not found.
    pub(super) fn unlinked(&self) -> u64 {
        self.waiting.unlinked
    }

    /// Pieces that there was no room for while their socket was not known.
    pub(super) fn not_held(&self) -> u64 {
        self.waiting.no_room
    }

    pub(super) fn drain(&mut self, mut take: impl FnMut(&Piece, &[u8])) -> u64 {
        let mut taken = 0;
        while let Some(bytes) = self.ring.next() {
            let Some((head, payload)) = bytes.split_at_checked(size_of::<TlsPiece>()) else {
                continue;
            };
            let Some(head) = TlsPiece::from_kernel(head) else {
                continue;
            };
            self.read += 1;
            let captured = (head.piece.captured as usize).min(MOST_CAPTURED);
            let payload = payload.get(..captured).unwrap_or(payload);
            self.waiting.piece(&head, payload, &mut |piece, bytes| {
                taken += 1;
                take(piece, bytes);
            });
        }
        let now = clock_gettime(ClockId::Monotonic);
        let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        self.waiting.give_up(now_ns);
        taken
    }
}

/// What waits for its socket.
#[derive(Default)]
struct Held {
    connections: HashMap<u64, Vec<Waiting>>,
    unlinked: u64,
    no_room: u64,
}

impl Held {
    /// Gives on what has a socket, and what has waited for it.
    fn piece(&mut self, head: &TlsPiece, bytes: &[u8], take: &mut impl FnMut(&Piece, &[u8])) {
        if head.piece.family == 0 {
            return self.hold(head, bytes);
        }
        for (mut piece, bytes) in self
            .connections
            .remove(&head.connection)
            .unwrap_or_default()
        {
            piece.socket = head.piece.socket;
            (piece.local, piece.local_port) = (head.piece.local, head.piece.local_port);
            (piece.remote, piece.remote_port) = (head.piece.remote, head.piece.remote_port);
            (piece.family, piece.netns) = (head.piece.family, head.piece.netns);
            take(&piece, &bytes);
        }
        // What only tells the socket has no protocol.
        if head.piece.protocol != 0 {
            take(&head.piece, bytes);
        }
    }

    fn hold(&mut self, head: &TlsPiece, bytes: &[u8]) {
        if head.piece.length == 0 {
            // The end of it: nobody will tell its socket.
            let pieces = self.connections.remove(&head.connection);
            self.unlinked += pieces.map_or(0, |pieces| pieces.len() as u64);
            return;
        }
        let is_known = self.connections.contains_key(&head.connection);
        if !is_known && self.connections.len() >= MOST_CONNECTIONS {
            self.no_room += 1;
            return;
        }
        let pieces = self.connections.entry(head.connection).or_default();
        if pieces.len() >= MOST_PIECES {
            self.no_room += 1;
            return;
        }
        pieces.push((head.piece, bytes.into()));
    }

    /// Forgets what has waited for too long.
    fn give_up(&mut self, now_ns: u64) {
        let unlinked = &mut self.unlinked;
        self.connections.retain(|_, pieces| {
            let since = pieces.first().map_or(0, |(piece, _)| piece.time_ns);
            let stays = now_ns.saturating_sub(since) < PATIENCE;
            if !stays {
                *unlinked += pieces.len() as u64;
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use weir_ebpf_common::{
        http::{flag, protocol},
        netflow::udp::UdpOwner,
    };

    use super::*;

    fn piece(connection: u64, family: u16, position: u32) -> TlsPiece {
        let port = if family == 0 { 0 } else { 443 };
        TlsPiece {
            connection,
            piece: Piece {
                socket: connection,
                time_ns: 5,
                other_time_ns: 0,
                owner: UdpOwner::default(),
                local: [0; 4],
                remote: [0; 4],
                position,
                length: 4,
                captured: 4,
                other_position: 0,
                netns: 0,
                local_port: port,
                remote_port: port,
                family,
                flags: flag::TLS,
                protocol: protocol::HTTP1,
                reserved: 0,
            },
        }
    }

    fn taken(held: &mut Held, head: TlsPiece) -> Vec<(u32, u16)> {
        let mut taken = Vec::new();
        held.piece(&head, b"text", &mut |piece, bytes| {
            assert_eq!(bytes, b"text");
            taken.push((piece.position, piece.remote_port));
        });
        taken
    }

    #[test]
    fn pieces_wait_for_the_socket_of_their_own_connection_and_come_in_order() {
        let mut held = Held::default();
        assert_eq!(taken(&mut held, piece(1, 0, 0)), []);
        assert_eq!(taken(&mut held, piece(1, 0, 4)), []);
        assert_eq!(taken(&mut held, piece(2, 2, 7)), [(7, 443)]);
        let mut socket = piece(1, 2, 8);
        socket.piece.protocol = 0;
        assert_eq!(taken(&mut held, socket), [(0, 443), (4, 443)]);
        assert_eq!(taken(&mut held, piece(1, 2, 8)), [(8, 443)]);
        assert_eq!((held.unlinked, held.no_room), (0, 0));
    }

    #[test]
    fn pieces_that_nobody_tells_the_socket_of_are_counted_and_forgotten() {
        let mut held = Held::default();
        for position in 0..10 {
            taken(&mut held, piece(1, 0, position));
        }
        assert_eq!(held.no_room, 2);
        held.give_up(PATIENCE);
        assert_eq!((held.unlinked, held.connections.len()), (0, 1));
        held.give_up(PATIENCE + 5);
        assert_eq!((held.unlinked, held.connections.len()), (8, 0));

        taken(&mut held, piece(3, 0, 0));
        let mut end = piece(3, 0, 4);
        end.piece.length = 0;
        taken(&mut held, end);
        assert_eq!((held.unlinked, held.connections.len()), (9, 0));
        for connection in 0..2000 {
            taken(&mut held, piece(connection, 0, 0));
        }
        assert_eq!(held.connections.len(), MOST_CONNECTIONS);
    }
}
