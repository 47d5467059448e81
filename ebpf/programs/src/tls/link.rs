//! The socket below a TLS connection, found without guessing: by what the thread does while it is in the library, by
//! the descriptor that the library was given, or by the size of what is sent right after.

use weir_ebpf_common::tls::count;

use crate::{
    call::{Written, kind, this_thread, under_way},
    connection::{Connection, Key, known, restart},
    hand_on::tell_socket,
    maps::{TLS_WRITTEN, count},
    read::{AF_INET, AF_INET6, Probe, Read as _, local_port, namespace, offset},
    task::Current as _,
};

/// `IPPROTO_TCP`.
const TCP: u16 = 6;
/// `S_IFMT` and `S_IFSOCK` of an inode's mode.
const KIND_OF_FILE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;
/// Plaintext in one TLS record (RFC 8446, 5.1).
const RECORD: u32 = 16 * 1024;
/// What TLS adds to a record: header, type of TLS 1.3, explicit nonce of AES-GCM in TLS 1.2, and tag (RFC 8446, 5.2;
/// RFC 5288, 3; RFC 7905, 2).
const TLS_1_3: u32 = 5 + 1 + 16;
const TLS_1_2_GCM: u32 = 5 + 8 + 16;
const TLS_1_2_CHACHA: u32 = 5 + 16;

/// The running thread of a chosen process uses a TCP socket. `sent` is how many bytes it has sent, if it has.
#[inline(always)]
pub(crate) fn used(sock: *const u8, sent: Option<u32>, cookie: impl FnOnce() -> u64) {
    let caller = this_thread();
    if let Some(call) = under_way(&caller) {
        if call.used_socket == 0 && is_tcp(sock) {
            call.used_socket = 1;
            during(&call.key, call.kind, sock, cookie);
        }
        return;
    }
    let Some(bytes) = sent else { return };
    let Some(written) = TLS_WRITTEN.get_ptr(caller.thread) else {
        return;
    };
    if !is_tcp(sock) {
        return;
    }
    // SAFETY: map memory, which stays valid while the program runs.
    let Written {
        key,
        bytes: plain,
        records,
    } = unsafe { *written };
    let _was_not_there = TLS_WRITTEN.remove(caller.thread);
    let added = bytes.wrapping_sub(plain);
    if [TLS_1_3, TLS_1_2_GCM, TLS_1_2_CHACHA]
        .iter()
        .any(|each| added == records.wrapping_mul(*each))
        && let Some(connection) = known(&key)
        && connection.family == 0
    {
        fill(connection, sock, cookie());
        count(count::LINKED_BY_SIZE);
        tell_socket(connection);
    }
}

/// The thread is in the library with this connection: the first socket that it uses there is the connection's.
#[inline(always)]
fn during(key: &Key, what: u8, sock: *const u8, cookie: impl FnOnce() -> u64) {
    let Some(connection) = known(key) else {
        return;
    };
    if connection.sock == sock as u64 || (connection.family != 0 && what == kind::HANDSHAKE) {
        return;
    }
    if connection.family != 0 {
        restart(connection);
        count(count::RELINKED);
    }
    fill(connection, sock, cookie());
    count(count::LINKED_BY_CALL);
    tell_socket(connection);
}

/// What was written to a connection whose socket is not known: the program will send it by itself.
#[inline(always)]
pub(crate) fn expect_sending(key: &Key, bytes: u32) {
    let thread = this_thread().thread;
    let mut written = Written {
        key: *key,
        bytes,
        records: bytes.div_ceil(RECORD),
    };
    if let Some(before) = TLS_WRITTEN.get_ptr(thread) {
        // SAFETY: map memory, which stays valid while the program runs.
        let before = unsafe { &*before };
        if before.key.object != key.object {
            // Whose bytes are sent first is not known.
            let _was_not_there = TLS_WRITTEN.remove(thread);
            return;
        }
        written.bytes = written.bytes.wrapping_add(before.bytes);
        written.records = written.records.wrapping_add(before.records);
    }
    if TLS_WRITTEN.insert(thread, written, 0).is_err() {
        count(count::TABLE_FULL);
    }
}

/// The connection was given a descriptor of the running process. Whether its socket is known now.
#[inline(always)]
pub(crate) fn by_descriptor(connection: &mut Connection) -> bool {
    let Some(descriptor) = connection.descriptor.checked_sub(1) else {
        return false;
    };
    let Some(sock) = tcp_at(descriptor) else {
        return false;
    };
    let cookie: u64 = Probe::at(sock, offset!(cookie));
    fill(connection, sock, cookie);
    count(count::LINKED_BY_DESCRIPTOR);
    true
}

/// The TCP socket at a descriptor of the running process.
#[inline(always)]
pub(crate) fn tcp_at(descriptor: u32) -> Option<*const u8> {
    let files: u64 = Probe::at(Probe::task(), offset!(task_files));
    let table: u64 = Probe::at(files as *const u8, offset!(files_table));
    let size: u32 = Probe::at(table as *const u8, offset!(table_size));
    if descriptor >= size {
        return None;
    }
    let files: u64 = Probe::at(table as *const u8, offset!(table_files));
    let file: u64 = Probe::at(
        files.wrapping_add(8 * u64::from(descriptor)) as *const u8,
        0,
    );
    if file == 0 {
        return None;
    }
    let inode: u64 = Probe::at(file as *const u8, offset!(file_inode));
    let mode: u16 = Probe::at(inode as *const u8, offset!(inode_mode));
    if mode & KIND_OF_FILE != SOCKET {
        return None;
    }
    let socket: u64 = Probe::at(file as *const u8, offset!(file_private));
    let sock: u64 = Probe::at(socket as *const u8, offset!(socket_sock));
    let sock = sock as *const u8;
    (!sock.is_null() && is_tcp(sock)).then_some(sock)
}

#[inline(always)]
fn is_tcp(sock: *const u8) -> bool {
    let family: u16 = Probe::at(sock, offset!(family));
    Probe::at::<u16>(sock, offset!(protocol)) == TCP && matches!(family, AF_INET | AF_INET6)
}

#[inline(always)]
fn fill(connection: &mut Connection, sock: *const u8, cookie: u64) {
    connection.sock = sock as u64;
    // Nobody may have asked for the cookie yet: the address distinguishes the sockets of this moment.
    connection.cookie = if cookie == 0 { sock as u64 } else { cookie };
    connection.netns = namespace::<Probe>(sock);
    connection.local_port = local_port::<Probe>(sock);
    connection.remote_port = u16::from_be(Probe::at(sock, offset!(remote_port)));
    let family: u16 = Probe::at(sock, offset!(family));
    let (local, remote): ([u32; 4], [u32; 4]) = (
        Probe::at(sock, offset!(local_v6)),
        Probe::at(sock, offset!(remote_v6)),
    );
    if family == AF_INET6 && !is_v4(&remote) {
        (connection.local, connection.remote) = (local, remote);
        connection.family = AF_INET6;
        return;
    }
    // Sockets of both families keep an IPv4 address in both places.
    connection.local = [Probe::at(sock, offset!(local_v4)), 0, 0, 0];
    connection.remote = [Probe::at(sock, offset!(remote_v4)), 0, 0, 0];
    connection.family = AF_INET;
}

/// Whether it is an IPv4 address, written as an IPv6 one (`::ffff:a.b.c.d`).
#[inline(always)]
fn is_v4(address: &[u32; 4]) -> bool {
    address[0] == 0 && address[1] == 0 && address[2] == u32::from_ne_bytes([0, 0, 0xff, 0xff])
}
