//! Requests that wait for answers, and the answer that is coming.

use std::collections::VecDeque;

use crate::httpflow::{
    context::{Context, Telling},
    exchange::Reason,
    message::Request,
    stream::Seen,
};

/// Requests that may wait in one connection.
const MOST_WAITING: usize = 256;

/// How far a connection is.
pub(super) struct Ended {
    pub(super) is_server: bool,
    /// The position after the latest byte of each direction.
    pub(super) request: u64,
    pub(super) answer: u64,
}

/// The head of an answer.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) start: u64,
    /// Where it ends, if that is known and has come.
    pub(super) end: Option<u64>,
    /// Where it ends at the latest.
    pub(super) limit: u64,
    /// When its first byte came, and its head.
    pub(super) began_ns: u64,
    pub(super) time_ns: u64,
    /// How far the requests were when it began.
    pub(super) other: Option<Seen>,
}

/// One message.
#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    /// `None` until it has come.
    end: Option<u64>,
    limit: u64,
}

impl Extent {
    /// Bytes of it, when so much of its direction has been seen.
    fn bytes(self, seen: u64) -> u64 {
        let end = self.end.unwrap_or(seen.min(self.limit));
        end.saturating_sub(self.start)
    }
}

#[derive(Debug)]
struct Asked {
    telling: Telling,
    request: Extent,
    answer: Option<Extent>,
    /// When the request's last byte was seen, once that has come.
    last_ns: u64,
}

impl Asked {
    fn tell(&mut self, seen: &Ended, context: &mut Context<'_>) {
        let request = self.request.bytes(seen.request);
        let answer = self.answer.map_or(0, |answer| answer.bytes(seen.answer));
        let is_last = self.is_complete();
        self.telling
            .tell((request, answer), is_last, seen.is_server, context);
    }

    fn is_complete(&self) -> bool {
        let answer = self.answer.and_then(|answer| answer.end);
        self.request.end.is_some() && answer.is_some()
    }

    /// Nothing more will come.
    fn close(&mut self, seen: &Ended, context: &mut Context<'_>) {
        let request = self.request.bytes(seen.request);
        self.request.end = Some(self.request.start + request);
        let answer = self.answer.get_or_insert(Extent {
            start: 0,
            end: None,
            limit: 0,
        });
        let bytes = answer.bytes(seen.answer);
        answer.end = Some(answer.start + bytes);
        self.tell(seen, context);
    }
}

/// What is going on between a client and a server.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    waiting: VecDeque<Asked>,
    /// Requests after those, for which there was no room.
    past: u64,
    /// The answer that is coming, or whose request is.
    open: Option<Asked>,
}

impl Dialogue {
    /// A request at `start`, with its end and the position behind which it cannot end. `times` are when it began and
    /// when its head was complete.
    pub(super) fn asked(
        &mut self,
        request: Request,
        (start, end, limit): (u64, Option<u64>, u64),
        times: (u64, u64),
        context: &mut Context<'_>,
    ) {
        if self.waiting.len() >= MOST_WAITING || self.past > 0 {
            self.past += 1;
            context.tally.requests_full += 1;
            return;
        }
        let (began_ns, time_ns) = times;
        self.waiting.push_back(Asked {
            telling: Telling::new(request, began_ns, context.owner),
            request: Extent { start, end, limit },
            answer: None,
            last_ns: time_ns,
        });
    }

    /// An interim answer (1xx) begins at `start`; it is part of the answer.
    pub(super) fn informed(&mut self, start: u64) {
        if let Some(asked) = self.waiting.front_mut() {
            asked.answer.get_or_insert(Extent {
                start,
                end: None,
                limit: u64::MAX,
            });
        }
    }

    /// Method of the request that is answered next; empty if none is known.
    pub(super) fn next_method(&self) -> &'static str {
        let next = self.waiting.front();
        next.map_or("", |asked| asked.telling.request.method)
    }

    /// The next request is answered.
    pub(super) fn answered(&mut self, answer: &Answered, seen: &Ended, context: &mut Context<'_>) {
        // Of the answer before, no more will come.
        self.close_open(seen, answer.start, context);
        let Some(mut asked) = self.waiting.pop_front() else {
            if self.past > 0 {
                self.past -= 1;
            } else {
                context.tally.request_unseen += 1;
            }
            return;
        };
        let start = asked.answer.map_or(answer.start, |interim| interim.start);
        asked.answer = Some(Extent {
            start,
            end: answer.end,
            limit: answer.limit,
        });
        let last_ns = match (asked.request.end, answer.other) {
            // Others were sent behind it.
            (Some(end), Some(seen)) if seen.at > end => asked.last_ns,
            (_, Some(seen)) => seen.time_ns,
            (_, None) => asked.last_ns,
        };
        let telling = &mut asked.telling;
        telling.ended_ns = answer.time_ns;
        if telling.counted {
            context.tally.late_answers += 1;
        } else {
            telling.owner = context.owner;
            telling.outcome.status = answer.status;
            telling.latency_ns = Some(answer.began_ns.saturating_sub(last_ns));
        }
        if asked.is_complete() {
            asked.tell(seen, context);
        } else {
            self.open = Some(asked);
        }
    }

    /// The latest request ends at `at`.
    pub(super) fn request_ended(
        &mut self,
        at: u64,
        time_ns: u64,
        seen: &Ended,
        context: &mut Context<'_>,
    ) {
        if let Some(asked) = self.waiting.back_mut() {
            if asked.request.end.is_none() {
                asked.request.end = Some(at);
                asked.last_ns = time_ns;
            }
            return;
        }
        if let Some(open) = &mut self.open {
            open.request.end.get_or_insert(at);
            self.tell_complete(seen, context);
        }
    }

    /// The answer that was coming ends at `at`.
    pub(super) fn answer_ended(
        &mut self,
        at: u64,
        time_ns: u64,
        seen: &Ended,
        context: &mut Context<'_>,
    ) {
        let Some(answer) = self.open.as_mut().and_then(|open| {
            open.telling.ended_ns = time_ns;
            open.answer.as_mut()
        }) else {
            return;
        };
        answer.end.get_or_insert(at);
        self.tell_complete(seen, context);
    }

    fn tell_complete(&mut self, seen: &Ended, context: &mut Context<'_>) {
        if let Some(mut open) = self.open.take_if(|open| open.is_complete()) {
            open.tell(seen, context);
        }
    }

    fn close_open(&mut self, seen: &Ended, answer_end: u64, context: &mut Context<'_>) {
        if let Some(mut open) = self.open.take() {
            let answer = seen.answer.min(answer_end);
            open.close(&Ended { answer, ..*seen }, context);
        }
    }

    /// Counts the request whose answer has begun.
    pub(super) fn tell_open(&mut self, seen: &Ended, context: &mut Context<'_>) {
        if let Some(open) = &mut self.open
            && !open.telling.counted
        {
            open.tell(seen, context);
        }
    }

    /// Nothing more comes.
    pub(super) fn end(
        &mut self,
        reason: Reason,
        now_ns: u64,
        seen: &Ended,
        context: &mut Context<'_>,
    ) {
        if let Some(mut open) = self.open.take() {
            if open.answer.is_some_and(|answer| answer.end.is_none()) {
                open.telling.ended_ns = now_ns;
            }
            open.close(seen, context);
        }
        for mut asked in self.waiting.drain(..) {
            if !asked.telling.counted {
                asked.telling.give_up(reason, now_ns, context.owner);
            }
            asked.close(seen, context);
        }
        self.past = 0;
    }

    /// Gives up requests that have waited too long. One of which not all is known to have come is not waited for yet.
    pub(super) fn time_out(
        &mut self,
        now_ns: u64,
        timeout_ns: u64,
        seen: &Ended,
        context: &mut Context<'_>,
    ) {
        for asked in &mut self.waiting {
            let waited = now_ns.saturating_sub(asked.last_ns);
            if asked.request.end.is_none() || waited <= timeout_ns {
                // Those behind it have waited less.
                return;
            }
            if !asked.telling.counted {
                asked
                    .telling
                    .give_up(Reason::Timeout, now_ns, context.owner);
                let bytes = (asked.request.bytes(seen.request), 0);
                asked.telling.tell(bytes, true, seen.is_server, context);
            }
        }
    }

    /// Which request is answered next is not known any more. How many are given up so.
    pub(super) fn forget_waiting(&mut self) -> u64 {
        self.past = 0;
        let forgotten = self.waiting.iter().filter(|asked| !asked.telling.counted);
        let forgotten = forgotten.count() as u64;
        self.waiting.clear();
        forgotten
    }

    /// The request that waits, if it is the only one and has come whole, with its bytes and when its last one came.
    pub(super) fn take_last(&mut self) -> Option<(Telling, u64, u64)> {
        let is_one = self.waiting.len() == 1;
        let asked = self
            .waiting
            .pop_front_if(|asked| is_one && asked.request.end.is_some())?;
        let bytes = asked.request.bytes(0);
        Some((asked.telling, bytes, asked.last_ns))
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.past > 0
    }

    /// Requests that wait and are not counted.
    pub(super) fn waiting(&self) -> u64 {
        let waiting = self.waiting.iter().filter(|asked| !asked.telling.counted);
        waiting.count() as u64
    }

    /// Whether every request that has come is answered.
    pub(super) fn is_answered(&self) -> bool {
        !self.is_waiting()
    }

    /// Whether the next request may come, the end of the one before not being known.
    pub(super) fn may_ask_again(&self) -> bool {
        let last = self.waiting.back();
        last.is_none_or(|last| matches!(last.telling.request.method, "GET" | "HEAD"))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none()
    }
}
