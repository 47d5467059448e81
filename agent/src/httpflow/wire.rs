//! A connection for tests, with what the kernel hands on of it.

use std::time::Duration;

use weir_ebpf_common::{
    http::{MOST_CAPTURED, Piece, flag, protocol},
    netflow::udp::UdpOwner,
};

use super::{Output, Settings, Tally, Tracker};

/// Bytes that a client of HTTP/2 begins with.
const PREFACE: usize = 24;

/// Both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

/// What was told of a request, all reports together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) line: String,
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) grpc_status: Option<u32>,
    pub(super) host: Option<String>,
    /// Of the request and its answer.
    pub(super) bytes: (u64, u64),
    pub(super) latency_ns: Option<u64>,
    pub(super) counted: u32,
    pub(super) finished: u32,
    pub(super) began_ns: u64,
}

/// One direction, as the kernel keeps it.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    next: u32,
    time_ns: u64,
    in_a_row: u32,
    handed: u64,
    skip: usize,
    /// Of another frame that goes on.
    pass: usize,
    /// Frames were lost sight of.
    lost: bool,
}

/// A connection.
pub(super) struct Wire {
    pub(super) tracker: Tracker,
    /// Told once for each request, in the order of their reports.
    pub(super) told: Vec<Told>,
    pub(super) names: Vec<String>,
    pub(super) now_ns: u64,
    pub(super) flags: u8,
    pub(super) protocol: u8,
    pub(super) socket: u64,
    /// Whether everything is handed on.
    pub(super) all: bool,
    /// How much is captured of a segment.
    pub(super) most: usize,
    /// Whether the next segment is lost on its way to the agent.
    pub(super) lose: bool,
    /// Whether what is received comes in another order: neighbours change places.
    pub(super) shuffles: bool,
    held_back: Option<(Piece, Vec<u8>)>,
    is_server: bool,
    halves: [Half; 2],
    turn: Option<From>,
}

pub(super) fn settings() -> Settings {
    Settings {
        max_connections: 1000,
        timeout: Duration::from_secs(30),
        redactions: Vec::new(),
    }
}

impl Wire {
    /// Seen from the server or from the client.
    pub(super) fn new(is_server: bool) -> Self {
        let half = |next| Half {
            next,
            ..Half::default()
        };
        Self {
            tracker: Tracker::new(settings()),
            told: Vec::new(),
            names: Vec::new(),
            now_ns: 1_000_000_000,
            flags: 0,
            protocol: protocol::HTTP1,
            socket: 1,
            all: false,
            most: MOST_CAPTURED,
            lose: false,
            shuffles: false,
            held_back: None,
            is_server,
            // One of them wraps soon.
            halves: [half(u32::MAX - 50), half(1000)],
            turn: None,
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tracker.tally()
    }

    /// The client sends a segment.
    pub(super) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.segment(From::Client, bytes.as_ref());
        self
    }

    /// The server sends a segment.
    pub(super) fn answer(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.segment(From::Server, bytes.as_ref());
        self
    }

    pub(super) fn wait(&mut self, milliseconds: u64) -> &mut Self {
        self.now_ns += milliseconds * 1_000_000;
        self
    }

    pub(super) fn tick(&mut self) -> &mut Self {
        let mut heard = Heard {
            told: &mut self.told,
            names: &mut self.names,
        };
        self.tracker.tick(self.now_ns, &mut |out| heard.take(&out));
        self
    }

    /// Ends the connection: `FIN` when both have, or `RESET`.
    pub(super) fn end(&mut self, how: u8) -> &mut Self {
        let position = self.halves[0].next;
        self.hand_on(From::Client, position, (&[], 0), how);
        self
    }

    /// A segment, of which the kernel hands on what it would.
    pub(super) fn segment(&mut self, from: From, bytes: &[u8]) {
        let position = self.pass(from, bytes.len());
        if self.protocol == protocol::HTTP2 {
            return self.frames(from, position, bytes);
        }
        let half = &mut self.halves[from as usize];
        if self.turn != Some(from) {
            (half.in_a_row, half.handed) = (0, 0);
            self.turn = Some(from);
        }
        let is_answer = bytes.starts_with(b"HTTP/1.");
        if is_answer {
            half.handed = 8192 - 1024;
        }
        let goes_on = half.in_a_row < 8 && half.handed < 8192;
        if goes_on || is_answer || begins_like_request(bytes) || self.all {
            half.in_a_row += 1;
            half.handed += bytes.len() as u64;
            self.hand_on(from, position, (bytes, bytes.len()), 0);
        }
    }

    /// A segment that the kernel has seen; returns its position.
    pub(super) fn pass(&mut self, from: From, length: usize) -> u32 {
        self.now_ns += 1_000_000;
        let half = &mut self.halves[from as usize];
        let position = half.next;
        half.next = half.next.wrapping_add(length as u32);
        half.time_ns = self.now_ns;
        position
    }

    /// All but the payload of large DATA frames; everything once a header is cut by the end of a segment.
    fn frames(&mut self, from: From, position: u32, bytes: &[u8]) {
        let half = &mut self.halves[from as usize];
        let mut at = half.skip.min(bytes.len());
        half.skip -= at;
        let mut start = at;
        if bytes.starts_with(b"PRI * HTTP/2.0") {
            at = PREFACE;
        }
        at += std::mem::take(&mut half.pass);
        while at < bytes.len() && !self.halves[from as usize].lost {
            let Some(header) = bytes.get(at..at + 9) else {
                self.halves[from as usize].lost = true;
                break;
            };
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let end = at + 9;
            at = end + length;
            if header[3] == 0 && length >= 1024 {
                self.between(from, position, &bytes[start..end], start);
                start = at.min(bytes.len());
                self.halves[from as usize].skip = at - start;
                if at > bytes.len() {
                    return;
                }
            }
        }
        self.halves[from as usize].pass = at.saturating_sub(bytes.len());
        self.between(from, position, &bytes[start..], start);
    }

    fn between(&mut self, from: From, position: u32, bytes: &[u8], start: usize) {
        if !bytes.is_empty() {
            let position = position.wrapping_add(start as u32);
            self.hand_on(from, position, (bytes, bytes.len()), 0);
        }
    }

    /// Gives the tracker a piece, of which `length` bytes there were.
    pub(super) fn hand_on(
        &mut self,
        from: From,
        position: u32,
        (bytes, length): (&[u8], usize),
        flags: u8,
    ) {
        if std::mem::take(&mut self.lose) {
            return;
        }
        let bytes = &bytes[..bytes.len().min(self.most)];
        let piece = self.piece(from, position, (bytes.len(), length), flags);
        self.flags &= !flag::MIDWAY;
        let is_received = piece.flags & flag::SENT == 0 && length > 0;
        match self.held_back.take() {
            // What comes first of all shows where the stream begins.
            None if self.shuffles && is_received && !self.told.is_empty() => {
                self.held_back = Some((piece, bytes.to_vec()));
            }
            None => self.give(&piece, bytes),
            Some((first, kept)) if is_received => {
                self.give(&piece, bytes);
                self.give(&first, &kept);
            }
            Some((first, kept)) => {
                self.give(&first, &kept);
                self.give(&piece, bytes);
            }
        }
    }

    fn give(&mut self, piece: &Piece, bytes: &[u8]) {
        let mut heard = Heard {
            told: &mut self.told,
            names: &mut self.names,
        };
        self.tracker
            .piece(piece, bytes, &mut |out| heard.take(&out));
    }

    /// Another connection begins.
    pub(super) fn halves_anew(&mut self) {
        self.halves = [Half::default(); 2];
        self.turn = None;
    }

    fn piece(
        &self,
        from: From,
        position: u32,
        (captured, length): (usize, usize),
        flags: u8,
    ) -> Piece {
        let other = self.halves[1 - from as usize];
        let is_sent = (from == From::Server) == self.is_server;
        let (client, server) = ([0x0100_007f, 0, 0, 0], [0x0200_007f, 0, 0, 0]);
        let (local, remote, local_port, remote_port) = if self.is_server {
            (server, client, 80, 40_000)
        } else {
            (client, server, 40_000, 80)
        };
        Piece {
            socket: self.socket,
            time_ns: self.halves[from as usize].time_ns,
            other_time_ns: other.time_ns,
            owner: UdpOwner::default(),
            local,
            remote,
            position,
            length: length as u32,
            captured: captured as u32,
            other_position: if other.time_ns == 0 { 0 } else { other.next },
            netns: 1,
            local_port,
            remote_port,
            family: 2,
            flags: self.flags | flags | if is_sent { flag::SENT } else { 0 },
            protocol: self.protocol,
            reserved: 0,
        }
    }

    /// Of every request: its line, status, bytes of both messages.
    pub(super) fn sums(&self) -> Vec<(String, u16, (u64, u64))> {
        for told in &self.told {
            assert_eq!(told.counted, 1, "{told:?}");
            assert!(told.finished <= 1, "{told:?}");
        }
        let told = self.told.iter();
        told.map(|told| (told.line.clone(), told.status, told.bytes))
            .collect()
    }

    /// The only request.
    pub(super) fn one(&self) -> &Told {
        assert_eq!(self.told.len(), 1, "{:?}", self.told);
        self.sums();
        &self.told[0]
    }
}

struct Heard<'a> {
    told: &'a mut Vec<Told>,
    names: &'a mut Vec<String>,
}

impl Heard<'_> {
    fn take(&mut self, out: &Output<'_>) {
        let exchange = match out {
            Output::Exchange(exchange) => exchange,
            Output::ServerName(name) => return self.names.push(name.name.to_owned()),
        };
        let request = exchange.request;
        let cut = if request.truncated { "..." } else { "" };
        let version = request.version.name();
        let line = format!("{} {}{cut} {version}", request.method, request.path);
        let is_same = |told: &Told| told.began_ns == exchange.began_ns && told.line == line;
        let at = if exchange.counts {
            self.told.push(Told {
                line,
                status: exchange.outcome.status,
                reason: exchange.outcome.reason.map_or("", super::Reason::name),
                grpc_status: exchange.outcome.grpc_status,
                host: request.host.as_deref().map(str::to_owned),
                latency_ns: exchange.latency_ns,
                began_ns: exchange.began_ns,
                ..Told::default()
            });
            self.told.len() - 1
        } else {
            // Of equal requests in one segment, the latest is what more comes of.
            let at = self.told.iter().rposition(is_same);
            at.expect("a report before that counts")
        };
        let told = &mut self.told[at];
        let (asked, answered) = if exchange.is_server {
            (exchange.bytes_read, exchange.bytes_written)
        } else {
            (exchange.bytes_written, exchange.bytes_read)
        };
        told.bytes.0 += asked;
        told.bytes.1 += answered;
        told.counted += u32::from(exchange.counts);
        told.finished += u32::from(exchange.is_last);
        let all = exchange.all_read + exchange.all_written;
        assert_eq!(all, told.bytes.0 + told.bytes.1);
        assert_eq!(told.status, exchange.outcome.status);
    }
}

fn begins_like_request(bytes: &[u8]) -> bool {
    let methods = [
        "GET /",
        "POST /",
        "PUT /",
        "HEAD /",
        "DELETE /",
        "PATCH /",
        "OPTIONS /",
        "OPTIONS *",
        "GET http",
        "CONNECT ",
    ];
    let is_short = bytes.len() < 16 && b"GPHDOCT".contains(&bytes[0]);
    is_short
        || methods
            .iter()
            .any(|method| bytes.starts_with(method.as_bytes()))
}
