//! TCP without eBPF: numbers that equal what each end counted.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use rustix::net::sockopt;
use weir_agent::netflow::sock_diag::Settings;
use weir_ebpf_common::netflow::{TcpRecord, direction, kind, owner, state};
use weir_integration::{PATIENCE, netns::Netns};

use crate::{Observer, SETTINGS};

/// Two connected ends in two namespaces, and the listener.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    listener: TcpListener,
    port: u16,
    client_port: u16,
}

fn pair(left: &Netns, right: &Netns, address: &str) -> anyhow::Result<Pair> {
    let listener = right.inside(|| Ok(TcpListener::bind((address, 0))?))?;
    let to = listener.local_addr()?;
    let client = left.inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
    let (server, _) = listener.accept()?;
    Ok(Pair {
        port: to.port(),
        client_port: client.local_addr()?.port(),
        client,
        server,
        listener,
    })
}

fn send(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || from.write_all(&vec![b'x'; bytes]));
        to.read_exact(&mut vec![0; bytes])?;
        writer.join().unwrap()?;
        Ok(())
    })
}

fn client_of(pair: &Pair) -> impl Fn(&TcpRecord) -> bool + use<> {
    let (port, client_port) = (pair.port, pair.client_port);
    move |one| (one.local_port, one.remote_port) == (client_port, port)
}

fn server_of(pair: &Pair) -> impl Fn(&TcpRecord) -> bool + use<> {
    let (port, client_port) = (pair.port, pair.client_port);
    move |one| (one.local_port, one.remote_port) == (port, client_port)
}

fn closed(pick: impl Fn(&TcpRecord) -> bool) -> impl Fn(&TcpRecord) -> bool {
    move |one| one.kind == kind::CLOSED && pick(one)
}

fn moved(record: &TcpRecord) -> (u64, u64) {
    (record.bytes_sent, record.bytes_received)
}

/// Closes both ends in some order; the answer is whether it was a reset.
type Close = fn(TcpStream, TcpStream, &mut Observer) -> anyhow::Result<()>;

const CLOSES: [(&str, Close); 5] = [
    (
        "client first, server reads to the end",
        |client, mut server, _| {
            drop(client);
            assert_eq!(server.read(&mut [0; 9])?, 0);
            Ok(())
        },
    ),
    (
        "server first, client does not read to the end",
        |client, server, _| {
            drop(server);
            wait_for_fin(&client)?;
            drop(client);
            Ok(())
        },
    ),
    (
        "client first, server long after",
        |client, server, observer| {
            let port = client.local_addr()?.port();
            drop(client);
            observer.ended(closed(move |one| one.local_port == port), 1)?;
            drop(server);
            Ok(())
        },
    ),
    (
        "half closed over a pass",
        |mut client, mut server, observer| {
            client.shutdown(Shutdown::Write)?;
            assert_eq!(server.read(&mut [0; 9])?, 0);
            observer.pass()?;
            server.write_all(b"late")?;
            drop(server);
            let mut late = Vec::new();
            client.read_to_end(&mut late)?;
            assert_eq!(late, b"late");
            Ok(())
        },
    ),
    (
        "fin seen by a pass, then closed",
        |client, server, observer| {
            drop(server);
            wait_for_fin(&client)?;
            observer.pass()?;
            drop(client);
            Ok(())
        },
    ),
];

/// Waits until a FIN is there to read, and leaves it.
fn wait_for_fin(stream: &TcpStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    assert_eq!(stream.peek(&mut [0])?, 0);
    Ok(())
}

#[test]
fn bytes_of_a_closed_connection_are_exact_however_it_was_closed() -> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    let mut observer = Observer::start()?;
    for address in ["10.99.0.2", "fd99::2", "::"] {
        for (name, close) in CLOSES {
            for (up, down) in [(0, 0), (1, 0), (10_000, 300_001)] {
                let mut pair = connect(&left, &right, address)?;
                send(&mut pair.client, &mut pair.server, up)?;
                send(&mut pair.server, &mut pair.client, down)?;
                let (client, server) = (closed(client_of(&pair)), closed(server_of(&pair)));
                close(pair.client, pair.server, &mut observer)?;
                let late = if name.starts_with("half") { 4 } else { 0 };

                let client = observer.ended(client, 1)?[0];
                let server = observer.ended(server, 1)?[0];

                let (up, down) = (up as u64, down as u64 + late);
                let case = format!("{name}, {address}, {up} up, {down} down");
                assert_eq!(moved(&client), (up, down), "client: {case}");
                assert_eq!(moved(&server), (down, up), "server: {case}");
                assert_eq!(client.facts.direction, direction::CONNECT, "{case}");
                assert_eq!(server.facts.direction, direction::ACCEPT, "{case}");
                for end in [client, server] {
                    assert!(
                        [state::LAST_ACK, state::FIN_WAIT2].contains(&u32::from(end.state)),
                        "{case}: {}",
                        end.state
                    );
                    assert_eq!(end.error, 0, "{case}");
                }
            }
        }
    }
    Ok(())
}

/// As [`pair`]; `::` is an IPv4 client of a dual-stack server.
fn connect(left: &Netns, right: &Netns, address: &str) -> anyhow::Result<Pair> {
    if address != "::" {
        return pair(left, right, address);
    }
    let listener = right.inside(|| Ok(TcpListener::bind("[::]:0")?))?;
    let port = listener.local_addr()?.port();
    let to = SocketAddr::new("10.99.0.2".parse()?, port);
    let client = left.inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
    let (server, _) = listener.accept()?;
    let client_port = client.local_addr()?.port();
    Ok(Pair {
        client,
        server,
        listener,
        port,
        client_port,
    })
}

#[test]
fn a_live_connection_has_its_numbers_owner_and_direction_in_every_namespace() -> anyhow::Result<()>
{
    let (left, right) = Netns::pair()?;
    let mut observer = Observer::start()?;
    let mut pair = pair(&left, &right, "10.99.0.2")?;
    send(&mut pair.client, &mut pair.server, 70_000)?;
    let found = observer.pass()?;
    let one = |pick: &dyn Fn(&TcpRecord) -> bool| *found.iter().find(|one| pick(one)).unwrap();
    let client = one(&client_of(&pair));
    let server = one(&server_of(&pair));

    for (end, netns, sent, direction) in [
        (client, &left, (70_000, 0), direction::CONNECT),
        (server, &right, (0, 70_000), direction::ACCEPT),
    ] {
        assert_eq!(end.kind, kind::LIVE);
        assert_eq!(end.netns.to_string(), netns.inode()?);
        assert_eq!(moved(&end), sent);
        assert_eq!(end.facts.direction, direction);
        assert_eq!(
            (end.facts.pid, end.facts.owner),
            (std::process::id(), owner::HOLDER)
        );
        let exe = std::env::current_exe()?;
        let name: Vec<u8> = end
            .facts
            .name
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let name = String::from_utf8(name)?;
        assert_eq!(
            name.trim_end_matches('\0'),
            exe.file_name().unwrap().to_str().unwrap()
        );
    }
    assert!(
        found
            .iter()
            .any(|one| one.kind == kind::LISTENING && one.local_port == pair.port)
    );

    // The kernel's own tool, on the same socket.
    let ss = left.sh(&format!("ss -Htin sport = :{}", pair.client_port))?;
    let field = |name: &str| -> u64 {
        let text = ss
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name));
        text.map_or(0, |value| value.parse().unwrap())
    };
    assert_eq!(
        client.bytes_sent,
        field("bytes_sent:") - field("bytes_retrans:")
    );
    assert_eq!(u64::from(client.segments_out), field("segs_out:"));
    assert_eq!(u64::from(client.segments_in), field("segs_in:"));
    let rtt = ss
        .split_whitespace()
        .find_map(|word| word.strip_prefix("rtt:"))
        .unwrap();
    let (rtt, var) = rtt.split_once('/').unwrap();
    assert!(
        (f64::from(client.rtt_us) / 1e3 - rtt.parse::<f64>()?).abs() < 0.002,
        "{ss}"
    );
    assert!(
        (f64::from(client.rtt_var_us) / 1e3 - var.parse::<f64>()?).abs() < 0.002,
        "{ss}"
    );
    Ok(())
}

#[test]
fn an_older_connection_is_adopted_and_stays_so_to_its_end() -> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    let mut pair = pair(&left, &right, "fd99::2")?;
    send(&mut pair.client, &mut pair.server, 1000)?;
    let mut observer = Observer::start()?;
    let of = client_of(&pair);
    let adopted = *observer.records.iter().find(|one| of(one)).unwrap();
    assert_eq!((adopted.kind, adopted.facts.adopted), (kind::ADOPTED, 1));
    assert_eq!(moved(&adopted), (1000, 0));
    send(&mut pair.client, &mut pair.server, 234)?;
    let end = closed(client_of(&pair));
    drop(pair);
    let end = observer.ended(end, 1)?[0];
    assert_eq!(end.facts.adopted, 1);
    assert_eq!(end.facts.established_ns, adopted.facts.established_ns);
    assert_eq!(moved(&end), (1234, 0));
    Ok(())
}

#[test]
fn a_connection_that_was_reset_but_not_closed_is_live_until_its_program_closes_it()
-> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    let mut observer = Observer::start()?;
    let mut pair = pair(&left, &right, "10.99.0.2")?;
    send(&mut pair.client, &mut pair.server, 500)?;
    observer.pass()?;
    send(&mut pair.client, &mut pair.server, 77)?;
    sockopt::set_socket_linger(&pair.server, Some(Duration::ZERO))?;
    let (client, server) = (client_of(&pair), server_of(&pair));
    drop(pair.server);

    // The end that reset knows only that it did: the kernel forgets its peer and its numbers.
    let reset = observer.ended(closed(server), 1)?[0];
    assert_eq!(reset.state, state::ESTABLISHED as u8);
    assert_eq!(observer.sock_diag.tally().numbers_forgotten, 1);

    for _ in 0..3 {
        let found = observer.pass()?;
        let still: Vec<_> = found.iter().filter(|one| client(one)).collect();
        assert_eq!(still.len(), 1);
        assert_eq!(still[0].kind, kind::LIVE);
    }
    drop(pair.client);
    let end = observer.ended(closed(client), 1)?[0];
    assert_eq!(moved(&end), (577, 0));
    assert_eq!(end.state, state::ESTABLISHED as u8, "a reset");
    assert!(pair.listener.local_addr().is_ok());
    Ok(())
}

#[test]
fn two_thousand_short_connections_are_each_reported_once() -> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    let mut observer = Observer::start()?;
    let listener = right.inside(|| Ok(TcpListener::bind("10.99.0.2:0")?))?;
    let to = listener.local_addr()?;
    // The pass makes the listener and its holder known.
    observer.pass()?;
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let serve = scope.spawn(|| -> anyhow::Result<()> {
            for _ in 0..2000 {
                let (mut server, _) = listener.accept()?;
                let mut got = Vec::new();
                server.read_to_end(&mut got)?;
                assert_eq!(got.len(), 10);
            }
            Ok(())
        });
        left.inside(|| {
            for _ in 0..2000 {
                TcpStream::connect_timeout(&to, PATIENCE)?.write_all(b"0123456789")?;
            }
            Ok(())
        })?;
        serve.join().unwrap()
    })?;
    let port = to.port();
    let clients = observer.ended(closed(move |one| one.remote_port == port), 2000)?;
    let servers = observer.ended(closed(move |one| one.local_port == port), 2000)?;
    observer.pass()?;
    assert_eq!((clients.len(), servers.len()), (2000, 2000));
    assert!(clients.iter().all(|one| moved(one) == (10, 0)));
    assert!(servers.iter().all(|one| moved(one) == (0, 10)));
    assert!(
        clients
            .iter()
            .all(|one| one.facts.direction == direction::CONNECT)
    );
    assert!(
        servers
            .iter()
            .all(|one| one.facts.direction == direction::ACCEPT)
    );
    let listens = (std::process::id(), owner::LISTENER);
    assert!(
        servers
            .iter()
            .all(|one| (one.facts.pid, one.facts.owner) == listens)
    );
    assert_eq!(observer.sock_diag.tally().events_lost, 0);
    Ok(())
}

#[test]
fn ends_that_the_kernel_had_no_room_to_report_are_counted_exactly() -> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    let mut observer = Observer::with(Settings {
        events: 16 << 10,
        ..SETTINGS
    })?;
    let both: [u32; 2] = [left.inode()?.parse()?, right.inode()?.parse()?];
    let listener = right.inside(|| Ok(TcpListener::bind("10.99.0.2:0")?))?;
    let to = listener.local_addr()?;
    for _ in 0..300 {
        let client = left.inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
        let (mut server, _) = listener.accept()?;
        drop(client);
        server.read_to_end(&mut Vec::new())?;
    }
    let port = to.port();
    weir_integration::eventually("every end", || {
        let text = |error: &dyn std::error::Error| error.to_string();
        observer
            .sock_diag
            .ended(|record| observer.records.push(*record))
            .map_err(|error| text(&error))?;
        observer
            .namespaces
            .refresh()
            .map_err(|error| text(&error))?;
        observer.sock_diag.follow(&observer.namespaces);
        observer
            .sock_diag
            .ended(|record| observer.records.push(*record))
            .map_err(|error| text(&error))?;
        let seen = observer
            .records
            .iter()
            .filter(|one| {
                one.kind == kind::CLOSED && (one.local_port == port || one.remote_port == port)
            })
            .count() as u64;
        let lost: u64 = both
            .iter()
            .map(|one| observer.sock_diag.events_lost_in(*one))
            .sum();
        if lost > 0 && seen + lost == 600 {
            assert!(observer.sock_diag.tally().events_lost >= lost);
            Ok(())
        } else {
            Err(format!("{seen} seen, {lost} lost"))
        }
    })
}

#[test]
fn a_namespace_that_comes_later_is_observed_and_one_that_goes_is_let_go() -> anyhow::Result<()> {
    let mut observer = Observer::start()?;
    let (left, right) = Netns::pair()?;
    observer.namespaces.refresh()?;
    observer.sock_diag.follow(&observer.namespaces);
    let mut pair = pair(&left, &right, "10.99.0.2")?;
    send(&mut pair.client, &mut pair.server, 42)?;
    let end = closed(client_of(&pair));
    drop(pair);
    assert_eq!(moved(&observer.ended(end, 1)?[0]), (42, 0));

    let inode: u32 = left.inode()?.parse()?;
    drop((left, right));
    // Once more for what ended last, then it goes.
    for _ in 0..2 {
        observer.namespaces.refresh()?;
        observer.sock_diag.follow(&observer.namespaces);
    }
    assert!(!observer.namespaces.contains(inode));
    observer.pass()?;
    Ok(())
}
