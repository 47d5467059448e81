//! UDP, counted by datagram: every request is answered before the next is sent, so the programs lose none.

use anyhow::ensure;

use super::Case;
use crate::{
    flows::Row,
    netns::Netns,
    traffic::{Program, Said},
    watched::{Watched, client, owned, server, sums, tagged},
};

/// What the two programs do.
#[derive(Clone, Copy)]
struct Datagrams {
    listen: &'static str,
    connect: &'static str,
    client: &'static str,
    server: &'static str,
    requests: u64,
    family: &'static str,
}

const LOOPBACK: Datagrams = Datagrams {
    listen: "127.0.0.1",
    connect: "127.0.0.1",
    client: "--send 48 --rounds 200",
    server: "--send 512",
    requests: 200,
    family: "IPv4",
};

/// Every UDP case.
pub const CASES: [Case; 9] = [
    Case {
        name: "UDP, connected socket, IPv4",
        check: |weir, _| LOOPBACK.check(weir),
    },
    Case {
        name: "UDP, unconnected socket, IPv4",
        check: |weir, _| {
            let client = "--send 48 --rounds 200 --unconnected";
            Datagrams { client, ..LOOPBACK }.check(weir)
        },
    },
    Case {
        name: "UDP, connected socket, IPv6",
        check: |weir, _| V6.check(weir),
    },
    Case {
        name: "UDP, unconnected socket, IPv6",
        check: |weir, _| {
            let client = "--send 48 --rounds 200 --unconnected";
            Datagrams { client, ..V6 }.check(weir)
        },
    },
    Case {
        name: "UDP, IPv4 client of a dual-stack server",
        check: |weir, _| {
            let listen = "[::]";
            Datagrams { listen, ..LOOPBACK }.check(weir)
        },
    },
    Case {
        name: "UDP, peeked at before it is read",
        check: |weir, _| {
            let peeking = Datagrams {
                client: "--send 48 --rounds 200 --peek",
                server: "--send 512 --peek",
                ..LOOPBACK
            };
            peeking.check(weir)
        },
    },
    Case {
        name: "UDP, fragmented",
        check: |weir, _| {
            // Many packets each, on a wire of 1500 bytes.
            let large = Datagrams {
                client: "--send 60000 --rounds 20",
                server: "--send 40000",
                requests: 20,
                ..LOOPBACK
            };
            large.check_on_a_wire(weir)
        },
    },
    Case {
        name: "UDP, a server with 50 peers",
        check: |weir, _| many_peers(weir),
    },
    Case {
        name: "UDP, two namespaces",
        check: |weir, _| {
            LOOPBACK.check_on_a_wire(weir)?;
            V6.check_on_a_wire(weir)
        },
    },
];

const V6: Datagrams = Datagrams {
    listen: "[::1]",
    connect: "[::1]",
    family: "IPv6",
    ..LOOPBACK
};

/// Checks the rows of one side.
fn exact(rows: &[Row], said: &Said, name: &str) -> anyhow::Result<()> {
    let moved = [
        ("bytes_written", said.written),
        ("bytes_read", said.read),
        ("packets_written", said.datagrams_written),
        ("packets_read", said.datagrams_read),
    ];
    sums(rows, name, &moved)?;
    owned(rows, said, name)
}

impl Datagrams {
    fn check(self, weir: &Watched) -> anyhow::Result<()> {
        self.between(weir, None, None)
    }

    fn check_on_a_wire(self, weir: &Watched) -> anyhow::Result<()> {
        let (left, right) = Netns::pair()?;
        let address = match self.family {
            "IPv6" => "[fd99::2]",
            _ => "10.99.0.2",
        };
        let there = Self {
            listen: address,
            connect: address,
            ..self
        };
        there.between(weir, Some(&left), Some(&right))
    }

    fn between(
        self,
        weir: &Watched,
        here: Option<&Netns>,
        there: Option<&Netns>,
    ) -> anyhow::Result<()> {
        let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
        let serve = format!(
            "udp-serve --listen {}:0 --requests {} {}",
            self.listen, self.requests, self.server
        );
        let mut serving = billing.run(there, &serve)?;
        let port = serving.port()?;
        let connect = format!("udp-connect --to {}:{port} {}", self.connect, self.client);
        let said = orders.run(here, &connect)?.said()?;
        let served = serving.said()?;
        ensure!(
            said.datagrams_written == self.requests && said.written == served.read,
            "the programs lost datagrams: {said:?} {served:?}"
        );
        weir.settle()?;

        let rows = weir.flows.rows(client("udp", port));
        exact(&rows, &said, "orders")?;
        let answers = weir.flows.rows(server("udp", port));
        exact(&answers, &served, "billing")?;
        for (rows, end, netns) in [(&rows, "orders", here), (&answers, "billing", there)] {
            tagged(rows, end, "family", self.family)?;
            if let Some(netns) = netns {
                tagged(rows, end, "netns", &netns.inode()?)?;
            }
        }
        Ok(())
    }
}

/// A server that answers many addresses, as a DNS server does: every peer has rows of its own, each exact.
fn many_peers(weir: &Watched) -> anyhow::Result<()> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let serve = "udp-serve --listen 127.0.0.1:0 --requests 200 --send 100";
    let mut serving = billing.run(None, serve)?;
    let port = serving.port()?;
    let connect = format!(
        "udp-connect --to 127.0.0.1:{port} --send 30 --rounds 4 --sockets 50 --from 127.7.0.1"
    );
    let said = orders.run(None, &connect)?.said()?;
    let served = serving.said()?;
    weir.settle()?;

    exact(&weir.flows.rows(client("udp", port)), &said, "orders")?;
    let rows = weir.flows.rows(server("udp", port));
    exact(&rows, &served, "billing")?;
    for number in 1..=50 {
        let peer = format!("127.7.0.{number}");
        let of_peer: Vec<_> = rows
            .iter()
            .filter(|row| row.tag("dst_ip") == peer)
            .cloned()
            .collect();
        let four_each_way = [
            ("bytes_read", 120),
            ("bytes_written", 400),
            ("packets_read", 4),
            ("packets_written", 4),
        ];
        sums(&of_peer, &peer, &four_each_way)?;
    }
    Ok(())
}
