//! TCP: connections made, served and closed in a chosen manner.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, OwnedFd},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use socket2::SockRef;

use crate::{Close, Exchange, Said};

/// How a client treats its connections.
pub(crate) struct Manner {
    pub(crate) wait_close: bool,
    pub(crate) hold: bool,
    pub(crate) rounds: u64,
}

pub(crate) fn serve(listen: SocketAddr, exchange: Exchange) -> anyhow::Result<Said> {
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

/// Accepts one connection and leaves it to a child, which has it as its standard input and says what moved.
pub(crate) fn serve_in_child(listen: SocketAddr, exchange: Exchange) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(listen).with_context(|| format!("failed to listen on {listen}"))?;
    println!("listening {}", listener.local_addr()?.port());
    let (stream, _) = listener.accept().context("failed to accept")?;
    // The parent's own descriptor closes with the command, so that only the child holds the connection.
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve-inherited")
        .args(["--send", &exchange.send.to_string()])
        .args(["--expect", &exchange.expect.to_string()])
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .spawn()
        .context("failed to start the child")?;
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "the child ended with {status}");
    Ok(())
}

/// Serves the connection that the parent accepted.
pub(crate) fn serve_inherited(exchange: Exchange) -> anyhow::Result<Said> {
    let inherited = io::stdin().as_fd().try_clone_to_owned()?;
    // Both descriptors must close for the connection to end; the other one does with the process.
    serve_one(TcpStream::from(inherited), exchange)
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
    if exchange.confirm {
        said.read += read(&mut stream, 1)?;
    }
    if exchange.close == Close::Fin {
        said.read += read(&mut stream, u64::MAX)?;
    }
    close(stream, exchange.close)?;
    Ok(said)
}

/// Makes the connections one after the other.
pub(crate) fn connect_all(
    to: SocketAddr,
    exchange: Exchange,
    manner: &Manner,
) -> anyhow::Result<Said> {
    let mut said = Said::default();
    for _ in 0..exchange.connections {
        connect(to, exchange, &mut said, manner)?;
    }
    Ok(said)
}

fn connect(
    to: SocketAddr,
    exchange: Exchange,
    said: &mut Said,
    manner: &Manner,
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
    if exchange.confirm {
        said.written += write(&mut stream, 1)?;
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
