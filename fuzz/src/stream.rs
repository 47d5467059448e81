//! A TCP connection from bytes: each piece has a byte that says what it is.

use weir_agent::httpflow::{Budget, Redaction};
use weir_agent::httpflow::{Output, Piece, Rows, Settings, Tracker, flag};

use crate::input::Input;

/// What the pieces are.
pub struct Stream {
    tracker: Tracker,
    rows: Rows,
    next: [u32; 2],
    now_ns: u64,
    counted: u64,
}

impl Stream {
    /// A connection nobody has spoken on.
    #[must_use]
    pub fn new() -> Self {
        let redact = |text: &str| <Redaction as weir_runtime::config::Scalar>::parse(text).ok();
        let budget = Budget {
            paths: 4,
            routes: 2,
        };
        Self {
            tracker: Tracker::new(Settings {
                max_connections: 8,
                timeout: std::time::Duration::from_millis(50),
                redactions: redact("/a/**").into_iter().collect(),
            }),
            rows: Rows::new(budget, Default::default()),
            next: [u32::MAX - 100, 5],
            now_ns: 1_000_000,
            counted: 0,
        }
    }

    /// Plays pieces of `protocol` until the bytes end. The bits of the first byte of each: sent; lost; early; not all
    /// of it captured; more flags in another byte. Then two bytes with its length, and its bytes.
    pub fn play(&mut self, input: &mut Input<'_>, protocol: u8) {
        while !input.is_empty() {
            let kind = input.byte();
            let flags = if kind & 0x10 != 0 { input.byte() } else { 0 };
            let length = usize::from(input.short() % 5000);
            let bytes = input.piece(length);
            let side = usize::from(kind & 1);
            let missing = if kind & 8 != 0 {
                u32::from(input.byte()) << 4
            } else {
                0
            };
            let ahead = if kind & 4 != 0 {
                u32::from(input.byte())
            } else {
                0
            };
            self.now_ns += 1_000_000;
            let length = bytes.len() as u32 + missing;
            let piece = self.piece(side, ahead, (bytes.len() as u32, length), flags, protocol);
            self.next[side] = self.next[side].wrapping_add(length);
            if kind & 2 == 0 {
                self.take(&piece, bytes);
            }
            if kind & 0x20 != 0 {
                self.tick();
            }
        }
        self.end();
    }

    fn piece(
        &self,
        side: usize,
        ahead: u32,
        (captured, length): (u32, u32),
        flags: u8,
        protocol: u8,
    ) -> Piece {
        let sent = if side == 1 { flag::SENT } else { 0 };
        Piece {
            socket: u64::from(flags >> 6),
            time_ns: self.now_ns,
            other_time_ns: self.now_ns - 1_000_000,
            owner: Default::default(),
            local: [0x0100_007f, 0, 0, 0],
            remote: [0x0200_007f, 0, 0, 0],
            position: self.next[side].wrapping_add(ahead),
            length,
            captured,
            other_position: self.next[1 - side],
            netns: 1,
            local_port: 80,
            remote_port: 40_000,
            family: 2,
            flags: flags & !flag::SENT & 0x3f | sent,
            protocol,
            reserved: 0,
        }
    }

    fn take(&mut self, piece: &Piece, bytes: &[u8]) {
        let Self {
            tracker,
            rows,
            counted,
            ..
        } = self;
        tracker.piece(piece, bytes, &mut |out| hear(&out, rows, counted));
        assert!(tracker.connections() <= 8);
        assert!(tracker.held() < 1 << 22);
    }

    fn tick(&mut self) {
        let Self {
            tracker,
            rows,
            counted,
            now_ns,
            ..
        } = self;
        tracker.tick(*now_ns, &mut |out| hear(&out, rows, counted));
    }

    /// Everything is given up in the end, and what was counted is in the rows.
    fn end(&mut self) {
        self.now_ns += 10_000_000_000;
        self.tick();
        assert_eq!(self.counted, self.tracker.tally().requests);
        let rows = self.rows.take(1, 1);
        let count = rows.iter().filter_map(|row| match &row.data {
            Some(weir_proto::flow::v1::flow_event::Data::Httpflow(row)) => Some(row.count),
            _ => None,
        });
        assert_eq!(self.counted, count.sum());
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

fn hear(out: &Output<'_>, rows: &mut Rows, counted: &mut u64) {
    match out {
        Output::Exchange(exchange) => {
            let request = exchange.request;
            assert!(request.path.len() <= 150 && !request.path.contains('?'));
            assert!(!request.path.starts_with("/a/") || &*request.path == "/a/*");
            assert!(exchange.all_read >= exchange.bytes_read);
            assert!(exchange.all_written >= exchange.bytes_written);
            let outcome = exchange.outcome;
            assert_eq!(outcome.status == 0, outcome.reason.is_some());
            *counted += u64::from(exchange.counts);
            rows.add(exchange);
        }
        Output::ServerName(name) => {
            let is_name = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
            assert!(!name.name.is_empty() && name.name.bytes().all(is_name));
        }
    }
}
