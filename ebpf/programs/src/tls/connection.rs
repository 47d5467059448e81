//! What is known of a TLS connection.

use aya_ebpf::helpers::{bpf_ktime_get_ns, generated::bpf_get_smp_processor_id};
use weir_ebpf_common::{http::flag, tls::count};

use crate::maps::{TLS_CONNECTIONS, TLS_EMPTY, count};

/// Which connection: an object of the TLS library in the memory of a process.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Key {
    /// Process id in the initial pid namespace.
    pub(crate) process: u32,
    /// One of [`weir_ebpf_common::tls::library`].
    pub(crate) library: u32,
    /// Address of the object.
    pub(crate) object: u64,
}

/// What a stream is taken for.
pub(crate) mod phase {
    /// Nothing was seen of it.
    pub(crate) const NEW: u8 = 0;
    /// HTTP/1.
    pub(crate) const HTTP1: u8 = 1;
    /// HTTP/2.
    pub(crate) const HTTP2: u8 = 2;
    /// Nothing of interest.
    pub(crate) const IGNORED: u8 = 3;
}

/// One direction of a stream.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Half {
    /// When its latest bytes were seen, 0 if none were.
    pub(crate) time_ns: u64,
    /// How many bytes there were.
    pub(crate) next: u32,
    /// Bytes handed on since the stream changed its direction.
    pub(crate) handed: u32,
    /// HTTP/2: bytes of a DATA frame that are still to come.
    pub(crate) skip: u32,
    /// HTTP/2: bytes of another frame that are still to come.
    pub(crate) pass: u32,
    /// HTTP/2: the first four bytes of a frame's header, as far as they are there.
    pub(crate) header: u32,
    /// HTTP/2: bytes of a frame's header that are there.
    pub(crate) header_bytes: u8,
    /// HTTP/2: 1 once frames were lost sight of, 2 once the first was looked for.
    pub(crate) walk: u8,
    /// Pieces handed on since the stream changed its direction.
    pub(crate) in_a_row: u8,
    pub(crate) reserved: u8,
}

/// A connection. Begins as zeros.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Connection {
    /// A number that no other has had since boot.
    pub(crate) id: u64,
    /// Address of the socket in the kernel; 0 while it is not known.
    pub(crate) sock: u64,
    /// Its cookie.
    pub(crate) cookie: u64,
    pub(crate) sent: Half,
    pub(crate) received: Half,
    pub(crate) local: [u32; 4],
    pub(crate) remote: [u32; 4],
    pub(crate) netns: u32,
    /// One more than the descriptor that the connection was given, 0 if none was seen.
    pub(crate) descriptor: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    /// 0 while the socket is not known.
    pub(crate) family: u16,
    pub(crate) phase: u8,
    /// Which direction the latest bytes had: 0 before the first, 1 received, 2 sent.
    pub(crate) turn: u8,
    pub(crate) looks: u8,
    /// Set of [`flag`] bits for the next piece.
    pub(crate) flags: u8,
    /// 1 if pieces were handed on before the socket was known.
    pub(crate) is_awaited: u8,
    pub(crate) reserved: [u8; 5],
}

impl Connection {
    #[inline(always)]
    pub(crate) fn half(&mut self, is_sent: bool) -> &mut Half {
        if is_sent {
            &mut self.sent
        } else {
            &mut self.received
        }
    }

    #[inline(always)]
    pub(crate) fn other(&self, is_sent: bool) -> &Half {
        if is_sent { &self.received } else { &self.sent }
    }
}

/// A number that no other connection gets.
#[inline(always)]
fn new_id() -> u64 {
    // SAFETY: reads a clock, and the number of the CPU.
    let (now, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    // No CPU does this twice in a nanosecond.
    now << 10 | u64::from(cpu & 0x3ff)
}

/// The connection, if it is known.
#[inline(always)]
pub(crate) fn known<'a>(key: &Key) -> Option<&'a mut Connection> {
    // SAFETY: map memory, which stays valid while the program runs. A library uses a connection in one thread at a
    // time, but for reading beside writing, which touch different halves.
    unsafe { TLS_CONNECTIONS.get_ptr_mut(key)?.as_mut() }
}

/// The connection, remembered from now on. `flags` are those of its first piece if it is new.
#[inline(always)]
pub(crate) fn known_or_new<'a>(key: &Key, flags: u8) -> Option<&'a mut Connection> {
    if let Some(connection) = known(key) {
        return Some(connection);
    }
    if TLS_CONNECTIONS.insert(key, TLS_EMPTY.get(0)?, 0).is_err() {
        count(count::TABLE_FULL);
        return None;
    }
    let connection = known(key)?;
    connection.id = new_id();
    connection.flags = flags;
    Some(connection)
}

/// Begins a connection anew: another one used the same memory before it.
#[inline(always)]
pub(crate) fn begin<'a>(key: &Key) -> Option<&'a mut Connection> {
    let _was_not_there = TLS_CONNECTIONS.remove(key);
    known_or_new(key, 0)
}

/// Forgets what was seen of the stream: it goes on on another socket.
#[inline(always)]
pub(crate) fn restart(connection: &mut Connection) {
    connection.id = new_id();
    connection.phase = phase::NEW;
    connection.turn = 0;
    connection.looks = 0;
    connection.flags = flag::MIDWAY;
    connection.is_awaited = 0;
    clear(&mut connection.sent);
    clear(&mut connection.received);
}

/// Field by field: a whole struct would be cleared by a call.
#[inline(always)]
fn clear(half: &mut Half) {
    (half.time_ns, half.next, half.handed) = (0, 0, 0);
    (half.skip, half.pass, half.header) = (0, 0, 0);
    (half.header_bytes, half.walk, half.in_a_row) = (0, 0, 0);
}
