//! One connection between two programs on one host, in every family and with every kind of end.

use anyhow::ensure;

use super::Case;
use crate::{
    traffic::Program,
    watched::{Watched, exact, sums, tagged},
};

/// What the two programs do.
struct Exchange {
    listen: &'static str,
    connect: &'static str,
    client: &'static str,
    server: &'static str,
}

/// Every exchange.
pub const CASES: [Case; 8] = [
    Case {
        name: "nothing sent",
        check: |weir, _| v4("", "").check(weir),
    },
    Case {
        name: "one byte each way",
        check: |weir, _| v4("--send 1 --expect 1", "--send 1 --expect 1").check(weir),
    },
    Case {
        name: "20 MB up, 3 MB down over IPv4",
        check: |weir, _| {
            let client = "--send 20000000 --expect 3000000";
            v4(client, "--expect 20000000 --send 3000000").check(weir)
        },
    },
    Case {
        name: "20 MB over IPv6",
        check: |weir, _| {
            let exchange = Exchange {
                listen: "[::1]",
                connect: "[::1]",
                client: "--send 20000000 --expect 7",
                server: "--expect 20000000 --send 7",
            };
            exchange.check(weir)
        },
    },
    Case {
        name: "IPv4 client of a dual-stack server",
        check: |weir, _| mapped("[::]", "127.0.0.1").check(weir),
    },
    Case {
        name: "IPv4-mapped client",
        check: |weir, _| mapped("127.0.0.1", "[::ffff:127.0.0.1]").check(weir),
    },
    Case {
        name: "closed by the client with RST",
        check: |weir, _| {
            let client = "--send 100000 --expect 5 --close rst";
            v4(client, "--expect 100000 --send 5").check(weir)
        },
    },
    Case {
        name: "closed by the server with RST",
        check: |weir, _| {
            // Confirmed: a reset throws away what was written but not sent yet.
            let client = "--send 5 --expect 100000 --confirm --wait-close";
            v4(client, "--expect 5 --send 100000 --confirm --close rst").check(weir)
        },
    },
];

const fn v4(client: &'static str, server: &'static str) -> Exchange {
    Exchange {
        listen: "127.0.0.1",
        connect: "127.0.0.1",
        client,
        server,
    }
}

const fn mapped(listen: &'static str, connect: &'static str) -> Exchange {
    Exchange {
        listen,
        connect,
        client: "--send 12345 --expect 54321",
        server: "--expect 12345 --send 54321",
    }
}

impl Exchange {
    fn check(&self, weir: &Watched) -> anyhow::Result<()> {
        let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
        let serve = format!("serve --listen {}:0 {}", self.listen, self.server);
        let mut server = billing.run(None, &serve)?;
        let port = server.port()?;
        let connect = format!("connect --to {}:{port} {}", self.connect, self.client);
        let client = orders.run(None, &connect)?.said()?;

        let rows = weir.client(port, 1)?;
        exact(&rows, &client, "orders")?;
        tagged(&rows, "orders", "direction_source", "connect")?;
        let served = weir.server(port, 1)?;
        exact(&served, &server.said()?, "billing")?;
        tagged(&served, "billing", "direction_source", "accept")?;

        let resets = [self.client, self.server].concat().contains("--close rst");
        let family = if self.connect == "[::1]" {
            "IPv6"
        } else {
            "IPv4"
        };
        for (rows, end) in [(&rows, "the client's end"), (&served, "the server's end")] {
            sums(rows, end, &[("tcp_reset", u64::from(resets))])?;
            tagged(rows, end, "family", family)?;
        }
        ensure!(
            rows[0].tag("src_ip") == served[0].tag("dst_ip"),
            "both ends name the client: {rows:?} {served:?}"
        );
        Ok(())
    }
}
