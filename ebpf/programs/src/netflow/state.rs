//! What each change of a TCP state means.

use aya_ebpf::{
    cty::c_void,
    helpers::{bpf_ktime_get_ns, generated::bpf_skc_to_tcp_sock},
};
use weir_ebpf_common::{
    loss,
    netflow::{Facts, TcpRecord, direction, kind, owner, state},
};

use crate::{
    maps::{count, emit},
    read::{Direct, Probe, Read, fill},
    store::Store,
    task::{Current, current_pid, own_by_current},
};

/// `IPPROTO_TCP`.
const TCP: u16 = 6;

/// A pointer to the `tcp_sock` of a socket.
pub(crate) trait AsTcp {
    /// Null if the socket is none: the tracepoint also serves SCTP, DCCP and MPTCP.
    fn tcp(sock: *mut c_void) -> *const u8;
}

impl AsTcp for Direct {
    #[inline(always)]
    fn tcp(sock: *mut c_void) -> *const u8 {
        // SAFETY: the helper checks the socket's type.
        let tcp: *mut c_void = unsafe { bpf_skc_to_tcp_sock(sock) }.cast();
        tcp.cast_const().cast()
    }
}

impl AsTcp for Probe {
    #[inline(always)]
    fn tcp(sock: *mut c_void) -> *const u8 {
        let tcp = sock.cast_const().cast::<u8>();
        let protocol: u16 = Self::at(tcp, crate::read::offset!(protocol));
        if protocol == TCP {
            tcp
        } else {
            core::ptr::null()
        }
    }
}

/// One call of the tracepoint `sock:inet_sock_set_state`.
///
/// A run of a tracing program that an interrupt starts on top of another run of the same program is
/// dropped by the kernel. So nothing here relies on having seen the step before: an end is known by the
/// state that it leaves.
#[inline(always)]
pub(crate) fn transition<R: Current + AsTcp, S: Store>(sock: *mut c_void, old: i32, new: i32) {
    let (old, new) = (old as u32, new as u32);
    // Half of the steps say nothing that a later one does not: leave before anything is looked up.
    if matches!(new, state::FIN_WAIT2 | state::CLOSE_WAIT | state::CLOSING) {
        return;
    }
    let tcp = R::tcp(sock);
    if tcp.is_null() {
        return;
    }
    match new {
        state::SYN_SENT => connecting::<R, S>(sock),
        state::LISTEN => listening::<R, S>(sock),
        state::SYN_RECV if old == state::LISTEN => S::inherit(sock),
        state::ESTABLISHED => established::<S>(sock, old),
        // Only the closing process takes these two steps; every other may happen in any task's time.
        state::FIN_WAIT1 | state::LAST_ACK => closing::<R, S>(sock),
        state::CLOSE if old == state::LISTEN => S::withdraw_listener(sock),
        state::CLOSE => closed::<R, S>(sock, tcp, old),
        _ => {}
    }
}

/// The same call once more, for kernels that skip runs of a program while a task that was suspended inside it waits
/// on this CPU (seen on Linux 7.3, whose tracepoints leave preemption on). A second program is skipped on
/// its own, so a step is lost only if both are. It leaves alone what the first has done.
#[inline(always)]
pub(crate) fn transition_again<R: Current + AsTcp, S: Store>(
    sock: *mut c_void,
    old: i32,
    new: i32,
) {
    let is_done = match (S::get(sock), new as u32) {
        // Without facts the first has failed, or has forgotten them because it was done.
        (None, state::CLOSE) => true,
        (None, _) => false,
        (Some(facts), state::CLOSE) => facts.closed != 0,
        (Some(facts), state::ESTABLISHED) => facts.established_ns != 0,
        (Some(facts), state::SYN_SENT) => {
            facts.connect_ns != 0 && facts.closed == 0 && facts.established_ns == 0
        }
        (Some(facts), state::LISTEN) => facts.owner == owner::CALLER,
        (Some(facts), state::FIN_WAIT1 | state::LAST_ACK) => facts.owner >= owner::CLOSER,
        _ => false,
    };
    if !is_done {
        transition::<R, S>(sock, old, new);
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// connect() was called. A socket may be used again after a failure, so every fact is set anew.
#[inline(always)]
fn connecting<R: Current, S: Store>(sock: *mut c_void) {
    let Some(facts) = S::get_or_create(sock) else {
        return count(loss::FACTS_FULL);
    };
    begin(facts, direction::CONNECT);
    facts.connect_ns = now();
    own_by_current::<R>(facts, owner::CALLER);
}

#[inline(always)]
fn listening<R: Current, S: Store>(sock: *mut c_void) {
    let Some(facts) = S::get_or_create(sock) else {
        return count(loss::FACTS_FULL);
    };
    begin(facts, direction::UNKNOWN);
    own_by_current::<R>(facts, owner::CALLER);
    S::publish_listener(sock, facts);
}

#[inline(always)]
fn begin(facts: &mut Facts, how: u8) {
    facts.connect_ns = 0;
    facts.established_ns = 0;
    facts.direction = how;
    facts.adopted = 0;
    facts.closed = 0;
}

#[inline(always)]
fn established<S: Store>(sock: *mut c_void, old: u32) {
    let Some(facts) = S::get_or_create(sock) else {
        return count(loss::FACTS_FULL);
    };
    if old == state::SYN_SENT {
        facts.direction = direction::CONNECT;
    } else if facts.direction != direction::CONNECT {
        // Else both ends connected at once.
        begin(facts, direction::ACCEPT);
        if facts.owner > owner::LISTENER {
            facts.owner = owner::LISTENER;
        }
    }
    facts.established_ns = now();
}

/// accept() returns this socket to the process that called it. Null if it failed.
#[inline(always)]
pub(crate) fn accepted<R: Current, S: Store>(sock: *mut c_void) {
    if sock.is_null() {
        return;
    }
    if let Some(facts) = S::get(sock)
        && facts.owner < owner::ACCEPTOR
    {
        if facts.pid == current_pid() {
            facts.owner = owner::ACCEPTOR;
        } else {
            own_by_current::<R>(facts, owner::ACCEPTOR);
        }
    }
}

#[inline(always)]
fn closing<R: Current, S: Store>(sock: *mut c_void) {
    let Some(facts) = S::get(sock) else { return };
    if facts.owner >= owner::CLOSER {
        return;
    }
    if facts.pid == current_pid() {
        // The listener serves: its name is there already.
        facts.owner = owner::CLOSER;
    } else {
        own_by_current::<R>(facts, owner::CLOSER);
    }
}

#[inline(always)]
fn closed<R: Read, S: Store>(sock: *mut c_void, tcp: *const u8, old: u32) {
    let Some(facts) = S::get(sock) else {
        if old != state::SYN_RECV {
            count(loss::UNKNOWN_CONNECTION);
        }
        return;
    };
    let what = match old {
        state::SYN_SENT => kind::FAILED,
        state::SYN_RECV if facts.direction == direction::CONNECT => kind::FAILED,
        // A peer that never finished its handshake with our listener: not a connection yet.
        state::SYN_RECV => return S::forget(sock),
        _ => kind::CLOSED,
    };
    if facts.closed == 0 {
        facts.closed = 1;
        emit::<TcpRecord>(|record| fill::<R>(record, tcp, facts, what, old));
    }
    S::forget(sock);
}
