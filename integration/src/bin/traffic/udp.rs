//! UDP: datagrams, each answered before the next is sent, so that none is lost for want of buffer.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::Context as _;

use crate::{Datagrams, Said};

/// An answer that does not come in this time will not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The largest datagram of IPv4 fits.
const LARGEST: usize = 65_536;

/// The address that leaves the choice to the kernel, of the family of `to`.
pub(crate) fn any_address_of(to: SocketAddr) -> IpAddr {
    match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// The address `number` after `first`.
pub(crate) fn nth_address(first: IpAddr, number: u32) -> IpAddr {
    match first {
        IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() + number)),
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() + u128::from(number))),
    }
}

fn bound(to: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind(to).with_context(|| format!("failed to bind {to}"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    peek: bool,
    said: &mut Said,
) -> anyhow::Result<SocketAddr> {
    if peek {
        socket.peek_from(buffer).context("failed to peek")?;
        socket.peek_from(buffer).context("failed to peek")?;
    }
    let (length, from) = socket.recv_from(buffer).context("failed to receive")?;
    said.read += length as u64;
    said.datagrams_read += 1;
    Ok(from)
}

fn sent(length: usize, said: &mut Said) {
    said.written += length as u64;
    said.datagrams_written += 1;
}

/// Answers `requests` datagrams, from whomever they come.
pub(crate) fn serve(
    listen: SocketAddr,
    requests: u64,
    datagrams: Datagrams,
) -> anyhow::Result<Said> {
    let socket = bound(listen)?;
    println!("listening {}", socket.local_addr()?.port());
    let (mut buffer, answer) = (vec![0; LARGEST], vec![0x55; datagrams.send]);
    let mut said = Said::default();
    for _ in 0..requests {
        let from = receive(&socket, &mut buffer, datagrams.peek, &mut said)?;
        sent(socket.send_to(&answer, from)?, &mut said);
    }
    Ok(said)
}

/// Sends `rounds` datagrams from one socket and reads the answer to each.
pub(crate) fn connect(
    from: IpAddr,
    to: SocketAddr,
    connected: bool,
    rounds: u64,
    datagrams: Datagrams,
    said: &mut Said,
) -> anyhow::Result<()> {
    let socket = bound(SocketAddr::new(from, 0))?;
    if connected {
        socket
            .connect(to)
            .with_context(|| format!("failed to connect to {to}"))?;
    }
    let (mut buffer, request) = (vec![0; LARGEST], vec![0xaa; datagrams.send]);
    for _ in 0..rounds {
        let length = if connected {
            socket.send(&request)?
        } else {
            socket.send_to(&request, to)?
        };
        sent(length, said);
        receive(&socket, &mut buffer, datagrams.peek, said)?;
    }
    Ok(())
}
