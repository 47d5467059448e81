//! One connection.

use weir_ebpf_common::{
    http::{Piece, flag, protocol},
    netflow::udp::UdpOwner,
};

use super::{
    context::{After, Context},
    exchange::{Ends, Output, Reason},
    http1::Http1,
    http2::Http2,
    privacy::Redaction,
    tally::Tally,
};

/// A client of HTTP/2 begins with more than this.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";

#[derive(Debug)]
pub(super) struct Connection {
    ends: Ends,
    tls: bool,
    owner: UdpOwner,
    spoken: Spoken,
}

#[derive(Debug)]
enum Spoken {
    Http1(Http1),
    Http2(Http2),
}

/// What a connection needs of the tracker.
pub(super) struct Around<'a> {
    pub(super) redactions: &'a [Redaction],
    pub(super) tally: &'a mut Tally,
    /// Bytes that may still be kept.
    pub(super) room: usize,
    pub(super) out: &'a mut dyn FnMut(Output<'_>),
}

impl Connection {
    /// A connection whose first piece this is.
    pub(super) fn new(piece: &Piece, bytes: &[u8]) -> Self {
        let midway = piece.flags & flag::MIDWAY != 0;
        let is_http2 = piece.protocol == protocol::HTTP2 || bytes.starts_with(HTTP2);
        Self {
            ends: Ends::of(piece),
            tls: piece.flags & flag::TLS != 0,
            owner: piece.owner,
            spoken: if is_http2 {
                Spoken::Http2(Http2::new(midway))
            } else {
                Spoken::Http1(Http1::new(midway))
            },
        }
    }

    fn context<'a>(&self, around: &'a mut Around<'_>) -> Context<'a> {
        Context {
            ends: self.ends,
            tls: self.tls,
            owner: self.owner,
            redactions: around.redactions,
            tally: around.tally,
            room: around.room,
            out: around.out,
        }
    }

    pub(super) fn piece(&mut self, piece: &Piece, bytes: &[u8], around: &mut Around<'_>) -> After {
        // Who serves is known better once it has accepted.
        if piece.owner.known_by >= self.owner.known_by && piece.owner.pid != 0 {
            self.owner = piece.owner;
        }
        let mut context = self.context(around);
        match &mut self.spoken {
            Spoken::Http1(http1) => {
                let after = http1.piece(piece, bytes, &mut context);
                if after != After::Http2 {
                    return after;
                }
                let Some(upgraded) = http1.take_upgraded() else {
                    return After::Other;
                };
                let mut http2 = Http2::upgraded(upgraded);
                // Its first frames may be behind the answer.
                let after = http2.piece(piece, bytes, &mut context);
                self.spoken = Spoken::Http2(http2);
                after
            }
            Spoken::Http2(http2) => http2.piece(piece, bytes, &mut context),
        }
    }

    pub(super) fn end(&mut self, reason: Reason, now_ns: u64, around: &mut Around<'_>) {
        let mut context = self.context(around);
        match &mut self.spoken {
            Spoken::Http1(http1) => http1.end(reason, now_ns, &mut context),
            Spoken::Http2(http2) => http2.end(reason, now_ns, &mut context),
        }
    }

    pub(super) fn tick(&mut self, now_ns: u64, timeout_ns: u64, around: &mut Around<'_>) {
        let mut context = self.context(around);
        match &mut self.spoken {
            Spoken::Http1(http1) if !http1.is_idle() => {
                http1.tick(now_ns, timeout_ns, &mut context);
            }
            Spoken::Http2(http2) if !http2.is_idle() => {
                http2.tick(now_ns, timeout_ns, &mut context);
            }
            Spoken::Http1(_) | Spoken::Http2(_) => {}
        }
    }

    /// Bytes kept.
    pub(super) fn held(&self) -> usize {
        match &self.spoken {
            Spoken::Http1(http1) => http1.held(),
            Spoken::Http2(http2) => http2.held(),
        }
    }

    /// Requests that are not counted yet.
    pub(super) fn waiting(&self) -> u64 {
        match &self.spoken {
            Spoken::Http1(http1) => http1.waiting(),
            Spoken::Http2(http2) => http2.waiting(),
        }
    }
}
