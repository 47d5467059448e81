//! What was seen of HTTP, and what was lost by which cause.

use weir_proto::flow::v1::Counter;

use crate::status::counter;

/// Counts since the start. Whatever is not in a row is in one of the losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Pieces of streams that came.
    pub pieces: u64,
    /// Requests that were counted, answered or not.
    pub requests: u64,
    /// Requests whose answer was not seen: its piece was lost, or it began where nothing was captured.
    pub answer_unseen: u64,
    /// Answers whose request was not seen.
    pub request_unseen: u64,
    /// Requests of which not even the first line could be read.
    pub head_cut: u64,
    /// Messages that are no HTTP, in connections that were.
    pub unreadable: u64,
    /// Gaps in a stream, where messages may have begun.
    pub gaps: u64,
    /// Requests past the most that may wait for answers in one connection.
    pub requests_full: u64,
    /// Requests in connections that were forgotten because there were too many.
    pub connections_full: u64,
    /// Heads that were not kept because too much was kept already.
    pub buffers_full: u64,
    /// HTTP/2: requests with fields that the sender had named before the agent looked, or in a block that was lost.
    pub fields_unknown: u64,
    /// HTTP/2: requests whose answer had such a status.
    pub status_unknown: u64,
    /// Answers that came after their request had been given up; only their bytes count.
    pub late_answers: u64,
    /// Connections that turned out to be no HTTP.
    pub not_http: u64,
    /// Connections that became something else: WebSocket, or a tunnel.
    pub tunnels: u64,
}

impl Tally {
    /// As the agent reports them: what came and was counted, then requests, answers and connections lost by cause.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        let lost = [
            ("answer_unseen", self.answer_unseen),
            ("request_unseen", self.request_unseen),
            ("head_cut", self.head_cut),
            ("unreadable", self.unreadable),
            ("gap", self.gaps),
            ("requests_full", self.requests_full),
            ("connections_full", self.connections_full),
            ("buffers_full", self.buffers_full),
            ("fields_unknown", self.fields_unknown),
            ("status_unknown", self.status_unknown),
            ("late_answer", self.late_answers),
            ("not_http", self.not_http),
            ("tunnel", self.tunnels),
        ];
        let seen = [
            ("http_pieces", self.pieces),
            ("http_requests", self.requests),
        ];
        let seen = seen.map(|(name, value)| counter(name, "", value));
        let lost = lost.map(|(cause, value)| counter("http_lost", cause, value));
        seen.into_iter().chain(lost).collect()
    }
}
