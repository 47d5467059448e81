//! Every connection that speaks HTTP.

use std::time::Duration;

use hashbrown::HashMap;
use weir_ebpf_common::http::{Piece, flag, protocol};
use weir_proto::flow::v1::DomainSource;

use super::{
    connection::{Around, Connection},
    context::After,
    exchange::{Ends, Output, Reason, ServerName},
    head::{Parsed, cut_head, request_head},
    hello::{Hello, MOST_RECORD, server_name},
    privacy::Redaction,
    tally::Tally,
};

/// Bytes kept of messages that are not complete, in all connections.
const MOST_HELD: usize = 32 << 20;
/// ClientHellos that may be incomplete.
const MOST_HELLOS: usize = 1024;

/// How requests are followed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections that are followed at once, about 1 KiB each.
    pub max_connections: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What is left out of paths.
    pub redactions: Vec<Redaction>,
}

/// A socket, and whether it was read above TLS.
type Key = (u64, bool);

#[derive(Debug)]
enum Known {
    Http(Box<Connection>),
    /// Not HTTP, or not any more.
    Other,
}

/// From pieces of streams to requests with their answers.
#[derive(Debug)]
pub struct Tracker {
    settings: Settings,
    /// In two generations: when the younger is full, what was not seen since it began is forgotten.
    young: HashMap<Key, Known>,
    old: HashMap<Key, Known>,
    hellos: HashMap<u64, Vec<u8>>,
    held: usize,
    tally: Tally,
}

impl Tracker {
    /// A tracker that knows no connection.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            young: HashMap::new(),
            old: HashMap::new(),
            hellos: HashMap::new(),
            held: 0,
            tally: Tally::default(),
        }
    }

    /// What was seen and lost since the start.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Connections that are known.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Bytes kept of messages that are not complete.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Takes in a piece, with the bytes of it that were captured, and tells what it leads to.
    pub fn piece(&mut self, piece: &Piece, bytes: &[u8], out: &mut impl FnMut(Output<'_>)) {
        self.tally.pieces += 1;
        let bytes = &bytes[..bytes.len().min(piece.length as usize)];
        if piece.protocol == protocol::TLS_HELLO {
            return self.hello(piece, bytes, out);
        }
        if piece.flags & flag::SAMPLE != 0 {
            return sample(piece, bytes, out);
        }
        let key = (piece.socket, piece.flags & flag::TLS != 0);
        let ends = piece.flags & (flag::FIN | flag::RESET | flag::GONE) != 0;
        self.make_young(key, piece, bytes, ends && piece.length == 0);
        let Some(known) = self.young.get_mut(&key) else {
            return;
        };
        if let Known::Http(connection) = known {
            let before = connection.held();
            let mut around = Around {
                redactions: &self.settings.redactions,
                tally: &mut self.tally,
                room: MOST_HELD.saturating_sub(self.held),
                out,
            };
            let after = connection.piece(piece, bytes, &mut around);
            if ends {
                connection.end(reason(piece), piece.time_ns, &mut around);
            }
            self.held = self.held - before + connection.held();
            if after == After::Other {
                self.held -= connection.held();
                *known = Known::Other;
            }
        }
        if ends && let Some(Known::Http(connection)) = self.young.remove(&key) {
            self.held -= connection.held();
        }
    }

    /// Finds or begins a connection, and has it among the younger ones.
    fn make_young(&mut self, key: Key, piece: &Piece, bytes: &[u8], is_end: bool) {
        if self.young.contains_key(&key) {
            return;
        }
        let known = match self.old.remove(&key) {
            Some(known) => known,
            None if is_end => return,
            None => Known::Http(Box::new(Connection::new(piece, bytes))),
        };
        if self.young.len() >= (self.settings.max_connections / 2).max(1) {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            for connection in forgotten.into_values() {
                if let Known::Http(connection) = connection {
                    self.tally.connections_full += connection.waiting();
                    self.held -= connection.held();
                }
            }
        }
        self.young.insert(key, known);
    }

    /// Gives up on what takes too long. Once a second is often enough. `now_ns` is of `CLOCK_MONOTONIC`.
    pub fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Output<'_>)) {
        let timeout_ns = u64::try_from(self.settings.timeout.as_nanos()).unwrap_or(u64::MAX);
        let mut around = Around {
            redactions: &self.settings.redactions,
            tally: &mut self.tally,
            room: MOST_HELD.saturating_sub(self.held),
            out,
        };
        for known in self.young.values_mut().chain(self.old.values_mut()) {
            if let Known::Http(connection) = known {
                let before = connection.held();
                connection.tick(now_ns, timeout_ns, &mut around);
                self.held = self.held - before + connection.held();
            }
        }
    }

    fn hello(&mut self, piece: &Piece, bytes: &[u8], out: &mut impl FnMut(Output<'_>)) {
        let mut earlier = self.hellos.remove(&piece.socket).unwrap_or_default();
        let bytes = if earlier.is_empty() {
            bytes
        } else {
            earlier.extend_from_slice(bytes);
            &earlier
        };
        match server_name(bytes) {
            Hello::Name(name) => out(Output::ServerName(ServerName {
                ends: Ends::of(piece),
                is_client: piece.flags & flag::SENT != 0,
                name: &name,
                source: DomainSource::Sni,
            })),
            Hello::None => {}
            Hello::Partial => {
                let ends = piece.flags & (flag::FIN | flag::RESET | flag::GONE) != 0;
                let is_whole = piece.captured == piece.length;
                if !ends && is_whole && bytes.len() < MOST_RECORD {
                    if self.hellos.len() >= MOST_HELLOS {
                        // Most of these will never go on.
                        self.hellos.clear();
                    }
                    self.hellos.insert(piece.socket, bytes.to_vec());
                }
            }
        }
    }
}

/// The beginning of a request that the kernel counts: it is of use for the name in it.
fn sample(piece: &Piece, bytes: &[u8], out: &mut impl FnMut(Output<'_>)) {
    let is_client = piece.flags & flag::SENT != 0;
    let lines = cut_head(bytes).unwrap_or_default();
    if let Parsed::Whole(head, _) = request_head(&lines, is_client, &[])
        && let Some(name) = head.request.host.as_deref()
    {
        out(Output::ServerName(ServerName {
            ends: Ends::of(piece),
            is_client,
            name,
            source: DomainSource::Http,
        }));
    }
}

fn reason(piece: &Piece) -> Reason {
    if piece.flags & flag::RESET != 0 {
        Reason::Reset
    } else {
        Reason::Closed
    }
}

#[cfg(test)]
mod tests;
