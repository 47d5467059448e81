//! UDP: every datagram, once, at the end that sends and at the end that receives.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use socket2::SockRef;
use weir_integration::{
    cases,
    flows::{Row, sum},
    netns::Netns,
    process::Running,
    watched::{Watched, client, server, sums},
};

use crate::check;

#[test]
fn what_programs_send_and_receive_is_what_the_rows_say() -> anyhow::Result<()> {
    check(&cases::udp(), "")
}

#[test]
fn a_kernel_without_control_group_hooks_still_counts_every_call() -> anyhow::Result<()> {
    let weir = Watched::start("  udp: {hook: length_tracepoint}\n")?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let port = receiver.local_addr()?.port();
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.connect(("127.0.0.1", port))?;
    let mut buffer = [0; 2000];
    for length in 0..500 {
        sender.send(&vec![1; length])?;
        // Looked at, but only taken once.
        receiver.peek_from(&mut buffer)?;
        receiver.recv_from(&mut buffer)?;
    }
    weir.settle()?;
    let moved = (0..500).sum::<usize>() as u64;
    let sent = weir.flows.rows(client("udp", port));
    sums(
        &sent,
        "sender",
        &[("bytes_written", moved), ("packets_written", 500)],
    )?;
    let received = weir.flows.rows(server("udp", port));
    sums(
        &received,
        "receiver",
        &[("bytes_read", moved), ("packets_read", 500)],
    )
}

#[test]
fn datagrams_for_which_the_receiver_had_no_room_were_sent_but_not_received() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    SockRef::from(&receiver).set_recv_buffer_size(4096)?;
    receiver.set_nonblocking(true)?;
    let port = receiver.local_addr()?.port();
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    // Twice, so that the second flow of the receiver is not the one that its socket holds.
    let second = UdpSocket::bind("127.0.0.2:0")?;
    let (mut delivered, mut buffer) = (0, [0; 2000]);
    for socket in [&sender, &second] {
        for _ in 0..50 {
            socket.send_to(&[7; 1000], ("127.0.0.1", port))?;
        }
        while receiver.recv(&mut buffer).is_ok() {
            delivered += 1;
        }
    }
    assert!((1..100).contains(&delivered), "{delivered} fitted");
    weir.settle()?;

    let sent = weir.flows.rows(client("udp", port));
    sums(
        &sent,
        "senders",
        &[("packets_written", 100), ("bytes_written", 100_000)],
    )?;
    let received = weir.flows.rows(server("udp", port));
    let fitted = [
        ("packets_read", delivered),
        ("bytes_read", delivered * 1000),
    ];
    sums(&received, "receiver", &fitted)
}

#[test]
fn each_receiver_of_a_multicast_gets_each_datagram_and_the_sender_sends_it_once()
-> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let group = Ipv4Addr::new(239, 7, 7, 7);
    let joined = || -> anyhow::Result<UdpSocket> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddrV4::new(group, 7707).into())?;
        let socket = UdpSocket::from(socket);
        socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(socket)
    };
    let receivers = [joined()?, joined()?];
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    let mut buffer = [0; 100];
    for _ in 0..20 {
        sender.send_to(&[1; 33], (group, 7707))?;
        for receiver in &receivers {
            receiver.recv(&mut buffer)?;
        }
    }
    weir.settle()?;

    let sent = weir.flows.rows(client("udp", 7707));
    sums(
        &sent,
        "sender",
        &[("packets_written", 20), ("bytes_written", 660)],
    )?;
    assert!(
        sent.iter().all(|row| row.tag("dst_ip_type") == "multicast"),
        "{sent:?}"
    );
    let received = weir.flows.rows(server("udp", 7707));
    sums(
        &received,
        "both receivers",
        &[("packets_read", 40), ("bytes_read", 1320)],
    )
}

/// Two hosts on a bridge with a third between them: five devices on the way.
fn bridged() -> anyhow::Result<(Netns, Netns, Netns)> {
    let (left, node, right) = (
        Netns::new("left")?,
        Netns::new("node")?,
        Netns::new("right")?,
    );
    node.sh("ip link add bridge type bridge; ip link set bridge up; ip addr add 10.96.0.1/24 dev bridge")?;
    for (end, host) in [(&left, 2), (&right, 3)] {
        let (end, node) = (end.name(), node.name());
        weir_integration::netns::sh(&format!(
            "ip link add wire netns {end} type veth peer name to{host} netns {node};
             ip -n {node} link set to{host} master bridge up;
             ip -n {end} addr add 10.96.0.{host}/24 dev wire; ip -n {end} link set wire up;
             ip -n {end} route add default via 10.96.0.1"
        ))?;
    }
    Ok((left, node, right))
}

#[test]
fn iperf3_over_a_bridge_counts_as_iperf3_does() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let (left, _node, right) = bridged()?;
    let mut serving = Running::start(
        "iperf3",
        Command::new("ip")
            .args(["netns", "exec", right.name()])
            .args([
                "iperf3",
                "--server",
                "--one-off",
                "--port",
                "5210",
                "--forceflush",
            ]),
    )?;
    serving.line(|line| line.contains("Server listening").then_some(()))?;
    let said = left.sh(
        "iperf3 --client 10.96.0.3 --port 5210 --udp --bitrate 20M --length 1200 --time 2 --json",
    )?;
    serving.ended()?;
    let said: Value = serde_json::from_str(&said)?;
    let number = |path: &str| {
        said.pointer(path)
            .and_then(Value::as_u64)
            .context("iperf3's report")
    };
    let (packets, bytes) = (number("/end/sum/packets")?, number("/end/sum/bytes")?);
    let lost = number("/end/sum/lost_packets")?;
    weir.settle()?;

    let inside = left.inode()?;
    let sent: Vec<Row> = weir
        .flows
        .rows(client("udp", 5210))
        .into_iter()
        .filter(|row| row.tag("netns") == inside)
        .collect();
    // Before the test both ends send each other one datagram of four bytes; iperf3 does not count these.
    let (greeting, greetings) = (4, 1);
    sums(
        &sent,
        "client",
        &[
            ("packets_written", packets + greetings),
            ("bytes_written", bytes + greeting),
            ("packets_read", greetings),
            ("bytes_read", greeting),
        ],
    )?;
    assert!(
        sent.iter().all(|row| row.tag("process_name") == "iperf3"),
        "{sent:?}"
    );
    let received = weir.flows.rows(server("udp", 5210));
    assert_eq!(
        sum(&received, "packets_read"),
        packets + greetings - lost,
        "{received:?}"
    );
    // Nobody else on the way, not the bridge's host either, shows it again.
    let all = weir.flows.rows(|row| {
        row.tag("transport") == "udp"
            && [row.tag("src_port"), row.tag("dst_port")].contains(&"5210")
    });
    assert_eq!(all.len(), sent.len() + received.len(), "{all:?}");
    Ok(())
}
