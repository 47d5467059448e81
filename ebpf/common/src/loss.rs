//! Why the kernel side lost something: indices of the per-CPU counter map `COUNTS`.

/// Records written to the ring buffer; not a loss, but the sum that the reader must see.
pub const EMITTED: u32 = 0;
/// The ring buffer was full and a record was not written.
pub const RING_FULL: u32 = 1;
/// The kernel refused memory for the facts of a socket.
pub const FACTS_FULL: u32 = 2;
/// A connection ended of which nothing was known: it is older than the agent and no process held it at start.
pub const UNKNOWN_CONNECTION: u32 = 3;
/// UDP flows that were added to the table; not a loss, but how the agent knows how full it is.
pub const UDP_FLOWS_ADDED: u32 = 4;
/// UDP datagrams that were not counted because the table of flows was full.
pub const UDP_FLOWS_FULL: u32 = 5;
/// Pieces of HTTP streams written to their ring; not a loss, but the sum that the reader must see.
pub const HTTP_EMITTED: u32 = 6;
/// The ring of HTTP was full and a piece was not written.
pub const HTTP_RING_FULL: u32 = 7;
/// The kernel refused memory for what must be known of an HTTP stream.
pub const HTTP_STREAM_FULL: u32 = 8;
/// The table of requests was full and one was not counted.
pub const HTTP_TABLE_FULL: u32 = 9;
/// Answers without a request of their own: the client has sent several at once, and they were taken for one.
pub const HTTP_PIPELINED: u32 = 10;
/// Number of counters.
pub const LEN: u32 = 11;

/// Name of a loss cause in metrics and logs; `None` for counters that are no loss.
#[must_use]
pub const fn name(index: u32) -> Option<&'static str> {
    match index {
        RING_FULL => Some("ring_full"),
        FACTS_FULL => Some("facts_full"),
        UNKNOWN_CONNECTION => Some("unknown_connection"),
        UDP_FLOWS_FULL => Some("udp_flows_full"),
        HTTP_RING_FULL => Some("http_ring_full"),
        HTTP_STREAM_FULL => Some("http_stream_full"),
        HTTP_TABLE_FULL => Some("http_table_full"),
        HTTP_PIPELINED => Some("http_pipelined"),
        _ => None,
    }
}
