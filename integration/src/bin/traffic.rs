//! TCP traffic whose every byte is counted by the program that reads or writes it: the oracle of the stories.

#![expect(clippy::print_stdout, reason = "what it says is its result")]

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use socket2::SockRef;

/// Makes TCP traffic and says what it was.
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
    /// How to close.
    #[arg(long, default_value = "fin")]
    close: Close,
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
}

fn main() -> anyhow::Result<()> {
    let said = match Arguments::parse().role {
        Role::Serve { listen, exchange } => serve(listen, exchange)?,
        Role::Connect {
            to,
            wait_close,
            hold,
            rounds,
            exchange,
        } => {
            let mut said = Said::default();
            for _ in 0..exchange.connections {
                connect(
                    to,
                    exchange,
                    &mut said,
                    Manner {
                        wait_close,
                        hold,
                        rounds,
                    },
                )?;
            }
            said
        }
    };
    println!(
        r#"{{"pid":{},"read":{},"written":{},"connections":{},"failed":{}}}"#,
        std::process::id(),
        said.read,
        said.written,
        said.connections,
        said.failed
    );
    Ok(())
}

fn serve(listen: SocketAddr, exchange: Exchange) -> anyhow::Result<Said> {
    let listener =
        TcpListener::bind(listen).with_context(|| format!("failed to listen on {listen}"))?;
    println!("listening {}", listener.local_addr()?.port());
    let mut serving = Vec::new();
    for _ in 0..exchange.connections {
        let (stream, _) = listener.accept().context("failed to accept")?;
        if exchange.connections > 100 {
            // Many short ones: one after the other.
            serving.push(Ok(serve_one(stream, exchange)?));
        } else {
            serving.push(Err(thread::spawn(move || serve_one(stream, exchange))));
        }
    }
    let mut total = Said::default();
    for one in serving {
        let said = match one {
            Ok(said) => said,
            Err(thread) => thread
                .join()
                .map_err(|_panic| anyhow::anyhow!("a server thread panicked"))??,
        };
        total.read += said.read;
        total.written += said.written;
        total.connections += 1;
    }
    Ok(total)
}

fn serve_one(mut stream: TcpStream, exchange: Exchange) -> anyhow::Result<Said> {
    let mut said = Said {
        connections: 1,
        ..Said::default()
    };
    loop {
        let got = read(&mut stream, exchange.expect)?;
        said.read += got;
        if got < exchange.expect {
            break;
        }
        said.written += write(&mut stream, exchange.send)?;
        if exchange.expect == 0 || exchange.close == Close::Rst {
            break;
        }
    }
    if exchange.close == Close::Fin {
        said.read += read(&mut stream, u64::MAX)?;
    }
    close(stream, exchange.close)?;
    Ok(said)
}

struct Manner {
    wait_close: bool,
    hold: bool,
    rounds: u64,
}

fn connect(
    to: SocketAddr,
    exchange: Exchange,
    said: &mut Said,
    manner: Manner,
) -> anyhow::Result<()> {
    let mut stream = match TcpStream::connect(to) {
        Ok(stream) => stream,
        Err(_) => {
            said.failed += 1;
            return Ok(());
        }
    };
    said.connections += 1;
    let mut line = String::new();
    for round in 1..=manner.rounds {
        if manner.hold {
            io::stdin()
                .read_line(&mut line)
                .context("failed to read standard input")?;
        }
        said.written += write(&mut stream, exchange.send)?;
        said.read += read(&mut stream, exchange.expect)?;
        println!("round {round}");
    }
    if manner.hold {
        println!("held");
        io::stdin()
            .read_line(&mut line)
            .context("failed to read standard input")?;
    }
    if manner.wait_close {
        said.read += read(&mut stream, u64::MAX)?;
    }
    close(stream, exchange.close)
}

fn close(stream: TcpStream, how: Close) -> anyhow::Result<()> {
    if how == Close::Rst {
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .context("failed to set SO_LINGER")?;
    }
    drop(stream);
    Ok(())
}

/// Reads `length` bytes, fewer only if the peer ends before.
fn read(stream: &mut TcpStream, length: u64) -> anyhow::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    while total < length {
        let most = buffer
            .len()
            .min(usize::try_from(length - total).unwrap_or(usize::MAX));
        match stream.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(got) => total += got as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error).context("failed to read"),
        }
    }
    Ok(total)
}

fn write(stream: &mut TcpStream, length: u64) -> anyhow::Result<u64> {
    let buffer = vec![0x77; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= stream.write(&buffer[..most]).context("failed to write")? as u64;
    }
    Ok(length)
}
