//! From messages to queries that are done, and names that are learned from their answers.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use weir_proto::flow::v1::Counter;

use super::{
    message::{Message, Question, Unusable},
    rows::Rows,
    stream::{Piece, Streams},
    tracker::{Done, Endpoints, Roles, Stray, Tracker},
};
use crate::{
    capture::Packet,
    names::{Names, monotonic_ns},
    owners::Owners,
    status::counter,
};

/// How old a query is when its row is made: by then the owner of its socket is known, in nanoseconds.
const SETTLED_AFTER: u64 = 300_000_000;

/// Queries that are done and wait for that. Past it they are reported with the owner that is known.
const MOST_UNSETTLED: usize = 131_072;

/// What became of messages; each only grows.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    queries: u64,
    answers: u64,
    truncated: u64,
    multicast: u64,
    timeouts: u64,
    duplicate: u64,
    late: u64,
    forged: u64,
    unasked: u64,
    translated: u64,
    malformed: u64,
    other_operation: u64,
    cut: u64,
    pending_full: u64,
}

/// The queries of the node, from first sight to their rows.
pub(super) struct Exchange {
    tracker: Tracker,
    streams: Streams,
    conversation: Conversation,
}

/// What messages lead to.
struct Conversation {
    names: Arc<Names>,
    done: VecDeque<Done>,
    tally: Tally,
    /// From `CLOCK_REALTIME` to `CLOCK_MONOTONIC`.
    to_monotonic: i64,
}

impl Exchange {
    pub(super) fn new(max_pending: usize, timeout: Duration, names: Arc<Names>) -> Self {
        Self {
            tracker: Tracker::new(max_pending, timeout.as_nanos() as u64),
            streams: Streams::default(),
            conversation: Conversation {
                names,
                done: VecDeque::new(),
                tally: Tally::default(),
                to_monotonic: 0,
            },
        }
    }

    /// Call before packets are taken: the clocks drift apart.
    pub(super) fn set_clock(&mut self, unix_ns: u64) {
        self.conversation.to_monotonic = monotonic_ns() as i64 - unix_ns as i64;
    }

    /// Takes a packet.
    pub(super) fn take(&mut self, packet: &Packet<'_>) {
        let (conversation, tracker) = (&mut self.conversation, &mut self.tracker);
        let datagram = &packet.datagram;
        conversation.tally.cut += u64::from(datagram.is_cut);
        let Some(segment) = datagram.tcp else {
            if !datagram.payload.is_empty() {
                conversation.message(tracker, packet, datagram.payload);
            }
            return;
        };
        let piece = Piece {
            netns: packet.netns,
            time_ns: packet.time_ns,
            src: datagram.src,
            dst: datagram.dst,
            segment,
            payload: datagram.payload,
            is_cut: datagram.is_cut,
        };
        self.streams.take(&piece, |message| {
            conversation.message(tracker, packet, message);
        });
    }

    /// Ends queries that have waited too long.
    pub(super) fn sweep(&mut self, now_ns: u64) {
        self.streams.sweep(now_ns);
        let Conversation { done, tally, .. } = &mut self.conversation;
        self.tracker.sweep(now_ns, |query| {
            if query.roles.is_any() {
                tally.timeouts += 1;
                done.push_back(query);
            }
        });
    }

    /// Moves queries to their rows, those whose owners are known by now, or `all`.
    pub(super) fn settle(&mut self, now_ns: u64, all: bool, rows: &mut Rows, owners: &Owners) {
        let done = &mut self.conversation.done;
        while let Some(query) = done.front() {
            let settled = now_ns.saturating_sub(query.sent_ns) >= SETTLED_AFTER;
            if !all && !settled && done.len() <= MOST_UNSETTLED {
                return;
            }
            rows.add(query, owners);
            done.pop_front();
        }
        // After a burst; not each time, or it would grow again each time.
        if done.capacity() > 4 * done.len().max(1024) {
            done.shrink_to(2 * done.len());
        }
    }

    /// Messages by what became of them, and what was lost.
    pub(super) fn counters(&self) -> Vec<Counter> {
        let tally = self.conversation.tally;
        let streams = self.streams.tally;
        let messages = [
            ("query", tally.queries),
            ("answer", tally.answers),
            ("multicast", tally.multicast),
            ("duplicate_answer", tally.duplicate),
            ("late_answer", tally.late),
            ("forged_answer", tally.forged),
            ("unasked_answer", tally.unasked),
            ("translated", tally.translated),
            ("other_operation", tally.other_operation),
            ("malformed", tally.malformed),
        ];
        let lost = [
            ("pending_full", tally.pending_full),
            ("cut", tally.cut),
            ("tcp_gap", streams.gaps),
            ("tcp_full", streams.full),
            ("names_full", self.conversation.names.evicted()),
        ];
        let messages = messages.map(|(cause, value)| counter("dns_messages", cause, value));
        let lost = lost.map(|(cause, value)| counter("dns_lost", cause, value));
        messages
            .into_iter()
            .chain(lost)
            .chain([
                counter("dns_timeouts", "", tally.timeouts),
                counter("dns_truncated_answers", "", tally.truncated),
            ])
            .collect()
    }
}

impl Roles {
    /// Whether anyone here takes part.
    pub(super) fn is_any(self) -> bool {
        self.client || self.server
    }
}

impl Conversation {
    fn message(&mut self, tracker: &mut Tracker, packet: &Packet<'_>, bytes: &[u8]) {
        let datagram = &packet.datagram;
        let is_multicast = datagram.dst.ip().is_multicast();
        let message = match Message::parse(bytes, is_multicast) {
            Ok(message) => message,
            Err(Unusable::Malformed) => {
                self.tally.malformed += 1;
                return;
            }
            Err(Unusable::OtherOperation) => {
                self.tally.other_operation += 1;
                return;
            }
        };
        if is_multicast {
            self.multicast(packet, message);
        } else if message.is_answer {
            self.answer(tracker, packet, &message);
        } else if let Some(question) = message.question {
            self.query(tracker, packet, message.id, question);
        }
    }

    /// A question to everyone: whoever knows answers, to everyone. So there is no query that is not answered.
    fn multicast(&mut self, packet: &Packet<'_>, message: Message<'_>) {
        self.tally.multicast += 1;
        let Some(question) = message.question.filter(|_| !message.is_answer) else {
            return;
        };
        if packet.from_here {
            self.done.push_back(Done {
                endpoints: endpoints(packet, false),
                roles: Roles {
                    client: true,
                    server: false,
                },
                question,
                sent_ns: packet.time_ns,
                answer: Some((0, None)),
            });
        }
    }

    fn query(&mut self, tracker: &mut Tracker, packet: &Packet<'_>, id: u16, question: Question) {
        let passes = packet.is_translated;
        let roles = Roles {
            client: packet.from_here && !passes,
            server: packet.to_here && !passes,
        };
        if passes {
            self.tally.translated += 1;
        } else {
            self.tally.queries += 1;
        }
        let time_ns = packet.time_ns;
        if !tracker.query(endpoints(packet, false), id, question, roles, time_ns) && !passes {
            self.tally.pending_full += 1;
        }
    }

    fn answer(&mut self, tracker: &mut Tracker, packet: &Packet<'_>, message: &Message<'_>) {
        let done = tracker.answer(
            endpoints(packet, true),
            message.id,
            message.question.as_ref(),
            message.rcode(),
            packet.time_ns,
        );
        match done {
            Ok(done) if !done.roles.is_any() => self.tally.translated += 1,
            Ok(done) => {
                self.tally.answers += 1;
                self.tally.truncated += u64::from(message.is_truncated());
                if done.roles.client {
                    self.learn(packet, &done.question, message);
                }
                self.done.push_back(done);
            }
            Err(Stray::Duplicate) => self.tally.duplicate += 1,
            Err(Stray::Late) => self.tally.late += 1,
            Err(Stray::Forged) => self.tally.forged += 1,
            Err(Stray::Unasked) => self.tally.unasked += 1,
        }
    }

    fn learn(&self, packet: &Packet<'_>, question: &Question, message: &Message<'_>) {
        let addresses = message.addresses();
        if addresses.is_empty() {
            return;
        }
        let name: Arc<str> = question.name.as_ref().into();
        let now_ns = packet.time_ns.saturating_add_signed(self.to_monotonic);
        for (address, ttl) in addresses {
            let ttl = Duration::from_secs(ttl.into());
            self.names.learn(packet.netns, address, &name, ttl, now_ns);
        }
    }
}

fn endpoints(packet: &Packet<'_>, is_answer: bool) -> Endpoints {
    let (src, dst) = (packet.datagram.src, packet.datagram.dst);
    let (client, server) = if is_answer { (dst, src) } else { (src, dst) };
    Endpoints {
        netns: packet.netns,
        client,
        server,
        is_tcp: packet.datagram.tcp.is_some(),
    }
}

#[cfg(test)]
mod tests;
