//! Stories of HTTP above TLS: real servers and clients, and the servers' own logs as the oracle. Needs root.

mod container;
mod go;
mod openssl;
mod site;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use weir_agent::{config::Config, tls::Probes};
use weir_ebpf_common::http::{Piece, flag};
use weir_integration::eventually;
use weir_runtime::config::Document;

use crate::site::Logged;

/// Probes, and what they have handed on so far.
struct Reading {
    probes: Probes,
    seen: Vec<Seen>,
}

/// A piece as a reader of the test sees it.
#[derive(Clone, Debug)]
struct Seen {
    piece: Piece,
    bytes: Vec<u8>,
}

impl Seen {
    fn is_sent(&self) -> bool {
        self.piece.flags & flag::SENT != 0
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn first_line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    fn local(&self) -> SocketAddr {
        SocketAddr::new(self.address(self.piece.local), self.piece.local_port)
    }

    fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.address(self.piece.remote), self.piece.remote_port)
    }

    fn address(&self, words: [u32; 4]) -> IpAddr {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        match self.piece.family {
            2 => IpAddr::from(<[u8; 4]>::try_from(&bytes[..4]).unwrap_or_default()),
            10 => IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap_or_default()),
            other => panic!("family {other}"),
        }
    }

    fn process(&self) -> String {
        let words = self.piece.owner.name;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

impl Reading {
    /// Reads what processes do that `tls`, a section of the agent's configuration, chooses.
    fn start(tls: &str) -> anyhow::Result<Self> {
        let text = format!("httpflow:\n  tls: {{{tls}}}\n");
        let config = Document::parse("agent.yaml", &text, "WEIR_TEST", [])?.read(Config::read)?;
        let probes = Probes::start(&config.httpflow.tls)?;
        Ok(Self {
            probes,
            seen: Vec::new(),
        })
    }

    fn look(&mut self) {
        let seen = &mut self.seen;
        self.probes.drain(|piece, bytes| {
            seen.push(Seen {
                piece: *piece,
                bytes: bytes.to_vec(),
            });
        });
    }

    /// Waits until what was seen satisfies `enough`, and gives all of it.
    fn until(&mut self, what: &str, enough: impl Fn(&[Seen]) -> bool) -> anyhow::Result<Vec<Seen>> {
        eventually(what, || {
            self.look();
            if enough(&self.seen) {
                return Ok(self.seen.clone());
            }
            let lines: Vec<_> = self.seen.iter().map(Seen::first_line).collect();
            Err(format!("{lines:#?} {:?}", self.counters()))
        })
    }

    fn counters(&self) -> Vec<(String, u64)> {
        let counters = self.probes.counters().into_iter();
        counters
            .filter(|counter| counter.value > 0)
            .map(|counter| (format!("{} {}", counter.name, counter.cause), counter.value))
            .collect()
    }

    fn counter(&self, name: &str, cause: &str) -> u64 {
        let counters = self.probes.counters();
        let found = counters
            .iter()
            .find(|counter| counter.name == name && counter.cause == cause);
        found.map_or(0, |counter| counter.value)
    }

    /// Waits until there are probes in so many files.
    fn probes_in(&self, files: u64) -> anyhow::Result<()> {
        eventually("probes in files", || {
            let probed = self.counter("tls_files_probed", "");
            if probed >= files {
                Ok(())
            } else {
                Err(format!("{probed} files; {:?}", self.counters()))
            }
        })
    }
}

/// The first lines of requests and answers. A program may read a line in several calls: these are put together.
fn heads(seen: &[Seen], start: impl Fn(&Seen) -> bool) -> Vec<Seen> {
    let mut whole: Vec<Seen> = Vec::new();
    for next in seen {
        let before = whole.iter_mut().find(|before| {
            before.piece.socket == next.piece.socket
                && before.is_sent() == next.is_sent()
                && before.piece.position + before.bytes.len() as u32 == next.piece.position
                && !before.text().contains('\n')
        });
        match before {
            Some(before) => {
                before.bytes.extend(&next.bytes);
                before.piece.time_ns = next.piece.time_ns;
            }
            None => whole.push(next.clone()),
        }
    }
    let is_head = |seen: &Seen| {
        let line = seen.first_line();
        line.contains(" HTTP/1.") || line.starts_with("HTTP/1.")
    };
    whole.retain(|seen| is_head(seen) && start(seen));
    whole
}

/// What the pieces of one side say, as the server's log would: client's port, request line, status.
fn told(seen: &[Seen], is_server: bool) -> BTreeSet<Logged> {
    let requests = heads(seen, |seen| {
        seen.is_sent() != is_server && !seen.first_line().starts_with("HTTP/")
    });
    let answers = heads(seen, |seen| {
        seen.is_sent() == is_server && seen.first_line().starts_with("HTTP/")
    });
    requests
        .iter()
        .map(|request| {
            let port = if is_server {
                request.remote()
            } else {
                request.local()
            }
            .port();
            let answer = answers.iter().find(|answer| {
                answer.piece.socket == request.piece.socket
                    && answer.piece.time_ns > request.piece.time_ns
            });
            let line = answer.map(Seen::first_line).unwrap_or_default();
            let status = line
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok());
            (port, request.first_line(), status.unwrap_or(0))
        })
        .collect()
}
