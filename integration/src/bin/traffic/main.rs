//! Traffic whose every byte is counted by the program that reads or writes it: the oracle of the stories.

#![expect(clippy::print_stdout, reason = "what it says is its result")]

mod tcp;
mod udp;

use std::net::{IpAddr, SocketAddr};

use clap::{Parser, Subcommand, ValueEnum};

/// Makes traffic and says what it was.
#[derive(Parser)]
#[command(name = "weir-traffic")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Accepts connections, serves each to its end, and says what moved.
    Serve {
        /// Where to listen; prints `listening PORT`.
        #[arg(long)]
        listen: SocketAddr,
        /// Serve the one connection in a child process, and say what the child says.
        #[arg(long)]
        in_child: bool,
        #[command(flatten)]
        exchange: Exchange,
    },
    /// Serves the connection that is its standard input.
    #[command(hide = true)]
    ServeInherited {
        #[command(flatten)]
        exchange: Exchange,
    },
    /// Makes connections and says what moved.
    Connect {
        /// Where to connect to.
        #[arg(long)]
        to: SocketAddr,
        /// Read to the peer's end before closing.
        #[arg(long)]
        wait_close: bool,
        /// Waits for a line on standard input before each round and before the end; prints `round N`, `held`.
        #[arg(long)]
        hold: bool,
        /// Rounds of sending and expecting on each connection.
        #[arg(long, default_value_t = 1)]
        rounds: u64,
        #[command(flatten)]
        exchange: Exchange,
    },
    /// Answers UDP datagrams until it has had a number of them, and says what moved.
    UdpServe {
        /// Where to listen; prints `listening PORT`.
        #[arg(long)]
        listen: SocketAddr,
        /// Datagrams to answer.
        #[arg(long)]
        requests: u64,
        #[command(flatten)]
        datagrams: Datagrams,
    },
    /// Sends UDP datagrams, waiting for the answer to each, and says what moved.
    UdpConnect {
        /// Where to send to.
        #[arg(long)]
        to: SocketAddr,
        /// Do not connect the sockets: name the peer with every datagram.
        #[arg(long)]
        unconnected: bool,
        /// Address of the first socket; each further one has the next address.
        #[arg(long)]
        from: Option<IpAddr>,
        /// Number of sockets.
        #[arg(long, default_value_t = 1)]
        sockets: u32,
        /// Datagrams that each socket sends.
        #[arg(long, default_value_t = 1)]
        rounds: u64,
        #[command(flatten)]
        datagrams: Datagrams,
    },
}

#[derive(clap::Args, Clone, Copy)]
struct Exchange {
    /// Bytes to send in each round.
    #[arg(long, default_value_t = 0)]
    send: u64,
    /// Bytes to wait for in each round.
    #[arg(long, default_value_t = 0)]
    expect: u64,
    /// Number of connections.
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// The client says with one more byte that it has all; the server waits for that before it closes.
    #[arg(long)]
    confirm: bool,
    /// How to close.
    #[arg(long, default_value = "fin")]
    close: Close,
}

#[derive(clap::Args, Clone, Copy)]
struct Datagrams {
    /// Bytes of each datagram that is sent.
    #[arg(long)]
    send: usize,
    /// Look at each datagram twice (`MSG_PEEK`) before reading it.
    #[arg(long)]
    peek: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Close {
    Fin,
    Rst,
}

#[derive(Default)]
struct Said {
    read: u64,
    written: u64,
    connections: u64,
    failed: u64,
    datagrams_read: u64,
    datagrams_written: u64,
}

fn main() -> anyhow::Result<()> {
    let said = match Arguments::parse().role {
        Role::Serve {
            listen,
            in_child: true,
            exchange,
        } => return tcp::serve_in_child(listen, exchange),
        Role::Serve {
            listen, exchange, ..
        } => tcp::serve(listen, exchange)?,
        Role::ServeInherited { exchange } => tcp::serve_inherited(exchange)?,
        Role::Connect {
            to,
            wait_close,
            hold,
            rounds,
            exchange,
        } => {
            let manner = tcp::Manner {
                wait_close,
                hold,
                rounds,
            };
            tcp::connect_all(to, exchange, &manner)?
        }
        Role::UdpServe {
            listen,
            requests,
            datagrams,
        } => udp::serve(listen, requests, datagrams)?,
        Role::UdpConnect {
            to,
            unconnected,
            from,
            sockets,
            rounds,
            datagrams,
        } => {
            let mut said = Said::default();
            for number in 0..sockets {
                let from = match from {
                    Some(first) => udp::nth_address(first, number),
                    None => udp::any_address_of(to),
                };
                udp::connect(from, to, !unconnected, rounds, datagrams, &mut said)?;
            }
            said
        }
    };
    println!(
        r#"{{"pid":{},"read":{},"written":{},"connections":{},"failed":{},"datagrams_read":{},"datagrams_written":{}}}"#,
        std::process::id(),
        said.read,
        said.written,
        said.connections,
        said.failed,
        said.datagrams_read,
        said.datagrams_written
    );
    Ok(())
}
