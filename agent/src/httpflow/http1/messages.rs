//! What heads, gaps and what is no HTTP mean for a connection.

use super::{
    Http1, RECEIVED, SENT, Step, Upgraded, chunks::Chunks, dialogue::Answered, half::State,
};
use crate::httpflow::{
    context::{After, Context},
    head::{AnswerHead, Framing, Parsed, RequestHead, answer_head, cut_head, request_head},
    stream::{Seen, Segment},
};

/// Messages in a row that are no HTTP, after which the rest is not either.
const MOST_WRONG: u8 = 8;
/// No body is longer.
const MOST_BODY: u64 = 1 << 60;

/// What is expected after a head that ends at `at`, and where the message ends if that is known.
fn body(framing: Framing, at: u64, is_answer: bool) -> (State, Option<u64>) {
    match framing {
        Framing::Length(0) => (State::Start, Some(at)),
        Framing::Length(length) => {
            let end = at + length.min(MOST_BODY);
            let optional = false;
            (State::Sized { end, optional }, None)
        }
        Framing::Chunked => (State::Chunked(Chunks::new()), None),
        Framing::Unsaid if is_answer => (State::UntilEnd, None),
        Framing::Unsaid => (State::Start, Some(at)),
        Framing::Unseen => (State::Unknown, None),
    }
}

/// No answer to a request is longer than this; unknown if it has no length.
fn limit(state: &State, end: Option<u64>) -> u64 {
    match state {
        State::Sized { end, .. } => *end,
        _ => end.unwrap_or(u64::MAX),
    }
}

impl Http1 {
    /// A request whose head is at `start..end`.
    pub(super) fn request(
        &mut self,
        (start, end): (u64, u64),
        time_ns: u64,
        head: RequestHead,
        context: &mut Context<'_>,
    ) {
        let client = self.client.unwrap_or(RECEIVED);
        let (began_ns, other) = self.halves[client].began;
        if let Some(seen) = other {
            self.answers_until(seen, context);
        }
        self.wrong = 0;
        let (mut state, mut ended) = body(head.framing, end, false);
        if let State::Sized { optional, .. } = &mut state {
            *optional = head.asks_first;
        }
        if head.request.method == "CONNECT" {
            // What comes next is HTTP only if the answer says no.
            (state, ended) = (State::Unknown, Some(end));
        }
        let limit = limit(&state, ended);
        let half = &mut self.halves[client];
        half.start(end);
        half.state = state;
        let times = (began_ns, time_ns);
        self.dialogue
            .asked(head.request, (start, ended, limit), times, context);
    }

    /// An answer whose head is at `start..end`.
    pub(super) fn answer(
        &mut self,
        (start, end): (u64, u64),
        time_ns: u64,
        head: &AnswerHead,
        context: &mut Context<'_>,
    ) {
        let server = 1 - self.client.unwrap_or(RECEIVED);
        let (began_ns, other) = self.halves[server].began;
        if let Some(seen) = other {
            self.requests_until(seen, context);
        }
        self.wrong = 0;
        self.halves[server].start(end);
        if (100..200).contains(&head.status) && head.status != 101 {
            return self.dialogue.informed(start);
        }
        if head.status == 101 && head.to_http2 {
            return self.upgrade((start, end), context);
        }
        let method = self.dialogue.next_method();
        let is_tunnel =
            head.status == 101 || (method == "CONNECT" && (200..300).contains(&head.status));
        let has_body = !is_tunnel && method != "HEAD" && !matches!(head.status, 204 | 304);
        let (state, ended) = if has_body {
            body(head.framing, end, true)
        } else {
            (State::Start, Some(end))
        };
        let answered = Answered {
            status: head.status,
            start,
            end: ended,
            limit: limit(&state, ended),
            began_ns,
            time_ns,
            other,
        };
        self.halves[server].state = state;
        let seen = self.seen();
        self.dialogue.answered(&answered, &seen, context);
        if is_tunnel {
            context.tally.tunnels += 1;
            self.after = Some(After::Other);
        }
    }

    /// The answer to the last request comes as HTTP/2 (RFC 7540, 3.2).
    fn upgrade(&mut self, (start, end): (u64, u64), context: &mut Context<'_>) {
        let client = self.client.unwrap_or(RECEIVED);
        let Some((telling, bytes, last_ns)) = self.dialogue.take_last() else {
            context.tally.request_unseen += 1;
            self.after = Some(After::Other);
            return;
        };
        let halves = &self.halves;
        self.upgraded = Some(Upgraded {
            client,
            positions: [halves[0].positions, halves[1].positions],
            at: [halves[0].at, halves[1].at],
            telling,
            bytes: (bytes, end - start),
            last_ns,
        });
        self.after = Some(After::Http2);
    }

    /// A request begins, and answers have been seen so far: those before it are complete, unless it did not wait.
    fn answers_until(&mut self, seen: Seen, context: &mut Context<'_>) {
        let server = 1 - self.client.unwrap_or(RECEIVED);
        self.give_up_early(server, context);
        let half = &mut self.halves[server];
        if half.at == 0 {
            half.start(seen.at);
            context.tally.answer_unseen += self.dialogue.forget_waiting();
            return;
        }
        if matches!(half.state, State::Head) && seen.at > half.at {
            let buffer = std::mem::take(&mut half.buffer);
            let start = half.at - buffer.len() as u64;
            self.cut(server, start, &buffer, context);
        }
        let half = &mut self.halves[server];
        let is_complete = !self.dialogue.is_waiting();
        let end = match half.state {
            State::Sized { end, .. } if seen.at >= end => Some(end),
            State::Unknown if is_complete => Some(seen.at),
            State::Chunked(_) if is_complete && seen.at > half.at => Some(seen.at),
            State::Lost => {
                half.at = half.at.max(seen.at);
                None
            }
            _ => None,
        };
        if let Some(end) = end {
            half.start(end);
            self.finish(server, end, seen.time_ns, context);
        }
        let half = &mut self.halves[server];
        if matches!(half.state, State::Start) && seen.at > half.at {
            half.at = seen.at;
            context.tally.answer_unseen += self.dialogue.forget_waiting();
        }
    }

    /// An answer begins, and requests have been seen so far.
    fn requests_until(&mut self, seen: Seen, context: &mut Context<'_>) {
        let client = self.client.unwrap_or(RECEIVED);
        self.give_up_early(client, context);
        if !self.dialogue.is_waiting() {
            self.cut_request(context);
        }
        let half = &mut self.halves[client];
        if half.at == 0 {
            return half.lose(seen.at);
        }
        if let State::Sized { end, .. } = half.state
            && seen.at >= end
        {
            half.start(end);
            self.finish(client, end, seen.time_ns, context);
        }
        let half = &mut self.halves[client];
        if matches!(half.state, State::Start) && !self.dialogue.is_waiting() {
            half.at = half.at.max(seen.at);
        }
    }

    /// A request's head that has not come to its end will not.
    pub(super) fn cut_request(&mut self, context: &mut Context<'_>) {
        let begun = |side: &usize| {
            let half = &self.halves[*side];
            matches!(half.state, State::Head) && self.is_client(*side, &half.buffer)
        };
        if let Some(client) = [RECEIVED, SENT].into_iter().find(begun) {
            let half = &mut self.halves[client];
            let buffer = std::mem::take(&mut half.buffer);
            let start = half.at - buffer.len() as u64;
            self.cut(client, start, &buffer, context);
        }
    }

    /// Of a head, there is no more than `bytes`: where its message ends is not known.
    pub(super) fn cut(&mut self, side: usize, start: u64, bytes: &[u8], context: &mut Context<'_>) {
        let at = (start, start + bytes.len() as u64);
        let (time_ns, _) = self.halves[side].began;
        let lines = cut_head(bytes).unwrap_or_default();
        if self.is_client(side, bytes) {
            if let Parsed::Whole(mut head, _) =
                request_head(&lines, side == SENT, context.redactions)
            {
                head.framing = Framing::Unseen;
                self.client = Some(side);
                return self.request(at, time_ns, head, context);
            }
        } else if let Parsed::Whole(mut head, _) = answer_head(&lines) {
            head.framing = Framing::Unseen;
            self.client = Some(1 - side);
            return self.answer(at, time_ns, &head, context);
        }
        context.tally.head_cut += 1;
        // Nobody knows any more which answer is whose.
        context.tally.answer_unseen += self.dialogue.forget_waiting();
        self.halves[side].lose(at.1);
    }

    /// A message is expected, and something is missing before the segment.
    pub(super) fn gap(
        &mut self,
        side: usize,
        segment: &mut Segment<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        let may_come = self.may_be_overtaken(side, segment, context);
        let half = &mut self.halves[side];
        let is_ahead = segment.at > half.at;
        if is_ahead && may_come && half.early.keep(segment) {
            return Step::Done;
        }
        context.tally.gaps += 1;
        if matches!(half.state, State::Head) {
            let buffer = std::mem::take(&mut half.buffer);
            let start = half.at - buffer.len() as u64;
            self.cut(side, start, &buffer, context);
            return Step::Again;
        }
        let is_client = self.client.is_none_or(|client| client == side);
        if !is_ahead {
            // Messages begin where nothing was captured.
            half.lose(segment.end());
            if !is_client {
                context.tally.answer_unseen += self.dialogue.forget_waiting();
            }
            return Step::Done;
        }
        half.lose(segment.at);
        if is_client || self.dialogue.waiting() > 1 {
            context.tally.answer_unseen += self.dialogue.forget_waiting();
        }
        Step::Again
    }

    /// A message is expected, and this is none.
    pub(super) fn wrong(
        &mut self,
        side: usize,
        segment: &Segment<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        self.wrong += 1;
        if self.client.is_none() || self.wrong >= MOST_WRONG {
            context.tally.not_http += 1;
            context.tally.answer_unseen += self.dialogue.forget_waiting();
            self.after = Some(After::Other);
        } else {
            context.tally.unreadable += 1;
            self.halves[side].lose(segment.end());
        }
        Step::Done
    }

    /// Takes in early pieces whose turn has come.
    pub(super) fn take_early(&mut self, side: usize, context: &mut Context<'_>) {
        loop {
            let half = &mut self.halves[side];
            let most = match half.state {
                State::Start | State::Head => half.at,
                // They wait for the beginning of the next message.
                State::Unknown => return,
                _ => u64::MAX,
            };
            let Some(taken) = half.early.take(most) else {
                return;
            };
            self.feed(side, taken.segment(), context);
        }
    }

    /// What was overtaken will not come any more.
    pub(super) fn give_up_early(&mut self, side: usize, context: &mut Context<'_>) {
        if self.giving_up {
            return;
        }
        self.giving_up = true;
        while let Some(taken) = self.halves[side].early.take(u64::MAX) {
            self.feed(side, taken.segment(), context);
        }
        self.giving_up = false;
    }
}
