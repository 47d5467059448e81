//! Netlink sockets: requests that the kernel answers with many messages, and messages that it sends on its own.
//!
//! Made with rustix's safe sockets: what we need of netlink is three layouts, and a parser of ours has
//! no more surprises with hostile bytes than those we test.

mod drops;
mod error;
mod events;
pub(crate) mod message;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recvfrom, sendto, socket_with,
        sockopt::{
            Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force,
            set_socket_timeout,
        },
    },
};

pub use self::error::NetlinkError;
pub(crate) use self::events::{Events, Ready, count_losses};
use self::message::{DONE, DUMP, DUMP_INTERRUPTED, ERROR, Message, messages};

/// The kernel makes datagrams of at most 32 KiB when it is read with a buffer at least that large.
const BUFFER: usize = 64 * 1024;

/// The kernel answers at once; this only keeps us from waiting for ever.
const ANSWER: Duration = Duration::from_secs(5);

/// Datagrams of one look at the events, so that a flood cannot keep us: the next look goes on.
const MOST_DATAGRAMS: usize = 16_384;

/// Requests of one datagram to the kernel, and so answers that wait for us.
pub(crate) const MOST_REQUESTS: usize = 64;

/// A part of the kernel that speaks netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `NETLINK_SOCK_DIAG`.
    SockDiag,
    /// `NETLINK_NETFILTER`.
    Netfilter,
    /// `NETLINK_ROUTE`.
    Route,
}

impl Family {
    /// That of `NETLINK_ROUTE` is 0, for which rustix has no name.
    const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::SockDiag => Some(netlink::SOCK_DIAG),
            Self::Netfilter => Some(netlink::NETFILTER),
            Self::Route => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SockDiag => "sock_diag",
            Self::Netfilter => "netfilter",
            Self::Route => "route",
        }
    }
}

/// A question to the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// For errors.
    pub(crate) what: &'static str,
    /// For the error that the kernel does not know the question.
    pub(crate) module: &'static str,
    /// `nlmsg_type`.
    pub(crate) kind: u16,
    pub(crate) body: &'a [u8],
}

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dumped {
    /// All of it, at one moment or nearly.
    Whole,
    /// What was dumped changed meanwhile (`NLM_F_DUMP_INTR`): something may be missing or come twice.
    Interrupted,
}

/// Why there are no more events now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// None is left.
    Empty,
    /// We stopped; look again soon.
    More,
}

/// A netlink socket, bound to the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Socket {
    family: Family,
    fd: OwnedFd,
    sequence: u32,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Room for one datagram; shared by many sockets.
pub(crate) fn buffer() -> Vec<u8> {
    vec![0; BUFFER]
}

impl Socket {
    /// For questions.
    pub(crate) fn open(family: Family) -> Result<Self, NetlinkError> {
        let socket = Self::with_groups(family, 0)?;
        set_socket_timeout(&socket.fd, Timeout::Recv, Some(ANSWER)).map_err(|errno| {
            NetlinkError::Open {
                family: family.name(),
                source: errno.into(),
            }
        })?;
        Ok(socket)
    }

    /// For what the kernel sends to `groups` (bit 0 is group 1), with room for `bytes` of it in the kernel.
    pub(crate) fn subscribe(
        family: Family,
        groups: u32,
        bytes: usize,
    ) -> Result<Self, NetlinkError> {
        let socket = Self::with_groups(family, groups)?;
        // Past `net.core.rmem_max` only with CAP_NET_ADMIN; less room means earlier losses, which are counted.
        let _sized = set_socket_recv_buffer_size_force(&socket.fd, bytes)
            .or_else(|_| set_socket_recv_buffer_size(&socket.fd, bytes));
        Ok(socket)
    }

    fn with_groups(family: Family, groups: u32) -> Result<Self, NetlinkError> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            family.protocol(),
        )
        .map_err(|errno| NetlinkError::Open {
            family: family.name(),
            source: errno.into(),
        })?;
        bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(|errno| {
            let (family, source) = (family.name(), errno.into());
            if groups == 0 {
                NetlinkError::Open { family, source }
            } else {
                NetlinkError::Subscribe { family, source }
            }
        })?;
        Ok(Self {
            family,
            fd,
            sequence: 0,
        })
    }

    /// Asks for all there is of something, and calls `each` with every message of the answer. After an error
    /// the socket is to be thrown away: the rest of an answer may be waiting in it.
    pub(crate) fn dump(
        &mut self,
        request: Request<'_>,
        buffer: &mut [u8],
        mut each: impl FnMut(Message<'_>),
    ) -> Result<Dumped, NetlinkError> {
        let sequence = self.next_sequence();
        let bytes = message::request(request.kind, DUMP, sequence, request.body);
        self.send(request, &bytes)?;
        let mut dumped = Dumped::Whole;
        loop {
            let length = self.answer(request, buffer)?;
            for message in messages(buffer.get(..length).unwrap_or_default()) {
                let Ok(message) = message else {
                    return Err(NetlinkError::Malformed { what: request.what });
                };
                // What is left of a question that somebody gave up.
                if message.sequence != sequence {
                    continue;
                }
                if message.flags & DUMP_INTERRUPTED != 0 {
                    dumped = Dumped::Interrupted;
                }
                match message.kind {
                    DONE | ERROR if message.errno() != 0 => {
                        return Err(request.refused(message.errno()));
                    }
                    DONE => return Ok(dumped),
                    ERROR => {}
                    _ => each(message),
                }
            }
        }
    }

    /// Asks many questions that have one answer each, and calls `each` with the number of the question and its
    /// answer; `None` if the kernel has none. At most [`MOST_REQUESTS`].
    pub(crate) fn ask(
        &mut self,
        request: Request<'_>,
        bodies: &[Vec<u8>],
        buffer: &mut [u8],
        mut each: impl FnMut(usize, Option<Message<'_>>),
    ) -> Result<(), NetlinkError> {
        let bodies = bodies.get(..MOST_REQUESTS).unwrap_or(bodies);
        let mut bytes = Vec::new();
        let mut first = None;
        for body in bodies {
            let sequence = self.next_sequence();
            first = first.or(Some(sequence));
            bytes.extend(message::request(request.kind, 0, sequence, body));
        }
        let Some(first) = first else { return Ok(()) };
        self.send(request, &bytes)?;
        let mut left = bodies.len();
        while left > 0 {
            let length = self.answer(request, buffer)?;
            for message in messages(buffer.get(..length).unwrap_or_default()) {
                let Ok(message) = message else {
                    return Err(NetlinkError::Malformed { what: request.what });
                };
                let index = message.sequence.wrapping_sub(first) as usize;
                if index >= bodies.len() {
                    continue;
                }
                left = left.saturating_sub(1);
                each(index, (message.kind != ERROR).then_some(message));
            }
        }
        Ok(())
    }

    /// Calls `each` with every message that has come, and does not wait for more. `lost` is called for each
    /// time the kernel had no room and threw messages away.
    pub(crate) fn drain(
        &self,
        buffer: &mut [u8],
        mut each: impl FnMut(Message<'_>),
        mut lost: impl FnMut(),
    ) -> Result<Drained, NetlinkError> {
        for _ in 0..MOST_DATAGRAMS {
            match self.receive(buffer, RecvFlags::DONTWAIT) {
                Ok(length) => messages(buffer.get(..length).unwrap_or_default())
                    .flatten()
                    .for_each(&mut each),
                Err(Errno::AGAIN) => return Ok(Drained::Empty),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => lost(),
                Err(errno) => {
                    return Err(NetlinkError::Receive {
                        what: self.family.name(),
                        source: errno.into(),
                    });
                }
            }
        }
        Ok(Drained::More)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, request: Request<'_>, bytes: &[u8]) -> Result<(), NetlinkError> {
        let kernel = SocketAddrNetlink::new(0, 0);
        match sendto(&self.fd, bytes, SendFlags::empty(), &kernel) {
            Ok(_) => Ok(()),
            Err(errno) => Err(NetlinkError::Send {
                what: request.what,
                source: errno.into(),
            }),
        }
    }

    fn answer(&self, request: Request<'_>, buffer: &mut [u8]) -> Result<usize, NetlinkError> {
        loop {
            match self.receive(buffer, RecvFlags::empty()) {
                Ok(length) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(NetlinkError::Receive {
                        what: request.what,
                        source: errno.into(),
                    });
                }
            }
        }
    }

    /// Length of the next datagram; 0 for one that did not come from the kernel.
    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
        let (_, length, from) = recvfrom(&self.fd, &mut *buffer, flags | RecvFlags::TRUNC)?;
        let from_kernel = from
            .and_then(|from| SocketAddrNetlink::try_from(from).ok())
            .is_some_and(|from| from.pid() == 0);
        if length > buffer.len() {
            return Err(Errno::MSGSIZE);
        }
        Ok(if from_kernel { length } else { 0 })
    }
}

impl Request<'_> {
    fn refused(&self, errno: i32) -> NetlinkError {
        let (what, module) = (self.what, self.module);
        match errno {
            libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT => {
                NetlinkError::Absent { what, module }
            }
            _ => NetlinkError::Refused {
                what,
                source: io::Error::from_raw_os_error(errno),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of `include/uapi/linux/sock_diag.h`: an address family that nobody has.
    const NOBODY: [u8; 56] = [0xfe; 56];

    #[test]
    fn what_the_kernel_does_not_offer_is_named_with_its_module() {
        let mut socket = Socket::open(Family::SockDiag).unwrap();
        let request = Request {
            what: "sockets of no family",
            module: "no_diag",
            kind: 20,
            body: &NOBODY,
        };
        let error = socket.dump(request, &mut buffer(), |_| {}).unwrap_err();
        let text = crate::error_chain(&error);
        assert!(text.contains("sockets of no family"), "{text}");
    }

    #[test]
    fn an_error_keeps_what_was_asked_and_why_it_failed() {
        let request = Request {
            what: "TCP sockets",
            module: "tcp_diag",
            kind: 20,
            body: &[],
        };
        let absent = crate::error_chain(&request.refused(libc::ENOENT));
        assert!(
            absent.contains("TCP sockets") && absent.contains("tcp_diag"),
            "{absent}"
        );
        let refused = crate::error_chain(&request.refused(libc::EPERM));
        assert!(refused.contains("not permitted"), "{refused}");
    }
}
