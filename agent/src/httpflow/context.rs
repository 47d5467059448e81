//! What reading a connection needs besides the connection.

use weir_ebpf_common::netflow::udp::UdpOwner;

use super::{
    exchange::{Ends, Exchange, Outcome, Output, Reason},
    message::Request,
    privacy::Redaction,
    tally::Tally,
};

/// Around one piece of a connection.
pub(super) struct Context<'a> {
    pub(super) ends: Ends,
    pub(super) tls: bool,
    pub(super) owner: UdpOwner,
    pub(super) redactions: &'a [Redaction],
    pub(super) tally: &'a mut Tally,
    /// Bytes that may still be kept of all connections.
    pub(super) room: usize,
    pub(super) out: &'a mut dyn FnMut(Output<'_>),
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on.
    On,
    /// Nothing more of it is HTTP.
    Other,
    /// It goes on as HTTP/2, with the answer to the last request.
    Http2,
}

/// A request that is told of, and how much of it was.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) request: Request,
    pub(super) outcome: Outcome,
    pub(super) owner: UdpOwner,
    pub(super) latency_ns: Option<u64>,
    pub(super) began_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) counted: bool,
    /// Whether it was told to the last.
    finished: bool,
    /// Bytes of the request and of its answer.
    told: (u64, u64),
}

impl Telling {
    pub(super) fn new(request: Request, began_ns: u64, owner: UdpOwner) -> Self {
        Self {
            request,
            outcome: Outcome::default(),
            owner,
            latency_ns: None,
            began_ns,
            ended_ns: began_ns,
            counted: false,
            finished: false,
            told: (0, 0),
        }
    }

    /// There will be no answer.
    pub(super) fn give_up(&mut self, reason: Reason, now_ns: u64, owner: UdpOwner) {
        self.outcome = Outcome {
            status: 0,
            reason: Some(reason),
            grpc_status: None,
        };
        self.latency_ns = None;
        self.owner = owner;
        self.ended_ns = now_ns;
    }

    /// Reports what is new: `whole` is the bytes of both messages so far.
    pub(super) fn tell(
        &mut self,
        whole: (u64, u64),
        is_last: bool,
        is_server: bool,
        context: &mut Context<'_>,
    ) {
        let asked = whole.0.saturating_sub(self.told.0);
        let answered = whole.1.saturating_sub(self.told.1);
        let counts = !self.counted;
        let is_last = is_last && !self.finished;
        if !counts && asked == 0 && answered == 0 && !is_last {
            return;
        }
        self.counted = true;
        self.finished |= is_last;
        self.told = (self.told.0 + asked, self.told.1 + answered);
        context.tally.requests += u64::from(counts);
        let by_side = |asked: u64, answered: u64| {
            if is_server {
                (asked, answered)
            } else {
                (answered, asked)
            }
        };
        let (bytes_read, bytes_written) = by_side(asked, answered);
        let (all_read, all_written) = by_side(self.told.0, self.told.1);
        (context.out)(Output::Exchange(Exchange {
            ends: context.ends,
            owner: &self.owner,
            is_server,
            tls: context.tls,
            request: &self.request,
            outcome: self.outcome,
            counts,
            is_last,
            latency_ns: self.latency_ns,
            bytes_read,
            bytes_written,
            all_read,
            all_written,
            began_ns: self.began_ns,
            ended_ns: self.ended_ns,
        }));
    }
}
