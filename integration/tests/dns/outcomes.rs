//! What becomes of queries: response codes, silence, answers that do not fit.

use std::{fmt::Write as _, net::UdpSocket, thread};

use weir_integration::{eventually, name_servers::unbound, netns::Netns};
use weir_proto::flow::v1::{Direction, Dnsflow, FlowEvent, Transport};

use super::{Watched, of};

#[test]
fn every_response_code_is_the_one_that_dig_shows() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let _unbound = unbound(
        &server,
        " local-zone: \"test.\" nodefault\n local-zone: \"nx.test.\" always_nxdomain\n local-zone: \"refused.test.\" refuse\n \
         local-zone: \"ok.test.\" static\n local-data: \"ok.test. A 192.0.2.1\"\n\
         forward-zone:\n name: \"fail.test.\"\n forward-addr: 127.0.0.1\n",
    )?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let cases = [
        ("ok.test", "A", "", "NOERROR", 0),
        ("nx.test", "AAAA", "", "NXDOMAIN", 3),
        ("refused.test", "MX", "", "REFUSED", 5),
        ("fail.test", "A", "", "SERVFAIL", 2),
        // An extended code, which needs EDNS.
        (
            "ok.test",
            "TXT",
            "+edns=100 +noednsnegotiation",
            "BADVERS",
            16,
        ),
    ];
    for (name, kind, options, word, rcode) in cases {
        let said = client.sh(&format!(
            "dig @10.99.0.2 {name} {kind} {options} +tries=1 +time=20"
        ))?;
        assert!(said.contains(&format!("status: {word}")), "{said}");
        for (netns, side) in [
            (&client, Direction::Outgoing),
            (&server, Direction::Incoming),
        ] {
            let sum = weir.until(netns, side, 1, |event, data| {
                let server = match side {
                    Direction::Outgoing => (&event.dst_ip, event.dst_port, event.src_port),
                    _ => (&event.src_ip, event.src_port, event.dst_port),
                };
                server == (&vec![10, 99, 0, 2], Some(53), None)
                    && (data.query_name.as_str(), data.query_type.as_str()) == (name, kind)
                    && data.rcode == rcode
            })?;
            assert_eq!(sum.count, 1, "{name}");
            assert!(sum.latency.sum_nano > 0, "{name}");
        }
    }
    for (event, data) in weir.rows(&client)? {
        // Owners are known at the port of DNS.
        if event.dst_port == Some(53) {
            assert_eq!(event.process_name, "dig", "{data:?}");
        }
    }
    Ok(())
}

#[test]
fn a_silent_server_is_a_timeout_for_each_query_that_was_sent() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let _silent = server.inside(|| Ok(UdpSocket::bind("0.0.0.0:53")?))?;
    let weir = Watched::start("  timeout: 1s\n")?;
    weir.watches(&client)?;
    let said = client.sh("dig @10.99.0.2 silent.test A +tries=3 +time=1 || true")?;
    assert!(
        said.contains("timed out") || said.contains("no servers"),
        "{said}"
    );
    for (netns, side) in [
        (&client, Direction::Outgoing),
        (&server, Direction::Incoming),
    ] {
        let sum = weir.until(netns, side, 3, |_, data| {
            data.query_name == "silent.test" && data.rcode == -1
        })?;
        assert_eq!((sum.count, sum.latency.sum_nano), (3, 0));
    }
    Ok(())
}

#[test]
fn an_answer_that_is_too_large_for_udp_is_two_queries_and_the_second_is_over_tcp()
-> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let mut zone = " local-zone: \"big.test.\" static\n".to_owned();
    for number in 0..60 {
        let text = "x".repeat(200);
        let _written = writeln!(zone, " local-data: 'big.test. TXT \"{number}{text}\"'");
    }
    let _unbound = unbound(&server, &zone)?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    let said = client.sh("dig @10.99.0.2 big.test TXT +tries=1")?;
    assert!(
        said.contains("ANSWER: 60") && said.contains("(TCP)"),
        "{said}"
    );
    for transport in [Transport::Udp, Transport::Tcp] {
        let sum = weir.until(&client, Direction::Outgoing, 1, |event, data| {
            of("big.test")(event, data) && event.transport() == transport && data.rcode == 0
        })?;
        assert_eq!(sum.count, 1, "{transport:?}");
    }
    assert_eq!(
        weir.sum(&client, Direction::Outgoing, of("big.test"))?
            .count,
        2
    );
    // Both ends saw the truncated answer; other stories may have others, which the agent counts too.
    eventually("the counter", || {
        let truncated = weir.intake.counter("dns_truncated_answers", "");
        (truncated >= 2)
            .then_some(())
            .ok_or_else(|| truncated.to_string())
    })
}

#[test]
fn answers_that_do_not_fit_a_query_are_counted_and_end_none() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let socket = server.inside(|| Ok(UdpSocket::bind("10.99.0.2:53")?))?;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = buffer[..length].to_vec();
            let mut answer = query.clone();
            answer[2] |= 0x80;
            let mut of_another_name = answer.clone();
            of_another_name[13] = b'X';
            let mut of_another_transaction = answer.clone();
            of_another_transaction[0] ^= 0xff;
            let junk = b"junk".to_vec();
            for bytes in [
                of_another_name,
                of_another_transaction,
                junk,
                answer.clone(),
                answer,
            ] {
                let _sent = socket.send_to(&bytes, from);
            }
        }
    });
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    // A client that does not mind: the first answer that fits is the fourth.
    client.inside(|| {
        let socket = UdpSocket::bind("10.99.0.1:0")?;
        socket.connect("10.99.0.2:53")?;
        let mut query = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x06forged\x04test\x00\x00\x01\x00\x01");
        socket.send(&query)?;
        for _ in 0..5 {
            socket.recv(&mut [0; 2048])?;
        }
        Ok(())
    })?;
    let sum = weir.until(&client, Direction::Outgoing, 1, of("forged.test"))?;
    assert_eq!(sum.count, 1);
    // At both ends; other stories may have more, which the agent counts too.
    let expected = [
        ("forged_answer", 2),
        ("unasked_answer", 2),
        ("duplicate_answer", 2),
        ("malformed", 2),
    ];
    eventually("the counters", || {
        let counts = expected.map(|(cause, _)| weir.intake.counter("dns_messages", cause));
        let enough = expected
            .iter()
            .zip(counts)
            .all(|(due, count)| count >= due.1);
        enough.then_some(()).ok_or_else(|| format!("{counts:?}"))
    })
}

#[test]
fn queries_that_a_rule_drops_are_in_no_row_and_counted_by_rule() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    let _unbound = unbound(
        &server,
        " local-zone: \"drop.test.\" redirect\n local-data: \"drop.test. A 192.0.2.1\"\n",
    )?;
    // Addresses of its own: the agent sees those of all other stories.
    for (netns, host) in [(&client, 1), (&server, 2)] {
        netns.sh(&format!("ip addr add 10.99.53.{host}/24 dev wire"))?;
    }
    let weir = Watched::start(
        "drop:\n  noise: {dst_port: 53, transport: udp, dst_cidr: 10.99.53.2/32, process: 'dri*'}\n  server: {src_cidr: 10.99.53.2/32, dst_cidr: 10.99.53.1/32}\n",
    )?;
    weir.watches(&client)?;
    for number in 0..3 {
        client.sh(&format!("drill noise{number}.drop.test @10.99.53.2"))?;
        client.sh(&format!(
            "dig @10.99.53.2 wanted{number}.drop.test +tries=1"
        ))?;
    }
    client.sh("drill -t tcp.drop.test @10.99.53.2")?;
    let about = |_: &FlowEvent, data: &Dnsflow| data.query_name.ends_with("drop.test");
    let wanted = weir.until(&client, Direction::Outgoing, 4, about)?;
    assert_eq!(wanted.count, 4);
    for (rule, queries) in [("noise", 3), ("server", 7)] {
        eventually("the counter", || {
            let dropped = weir.intake.counter("dnsflow_dropped_queries", rule);
            (dropped == queries)
                .then_some(())
                .ok_or_else(|| format!("{rule}: {dropped}"))
        })?;
    }
    for (netns, count) in [(&client, 4), (&server, 0)] {
        let rows = weir.rows(netns)?.into_iter();
        let rows: Vec<_> = rows.filter(|(event, data)| about(event, data)).collect();
        let noise = |data: &Dnsflow| data.query_name.contains("noise");
        assert!(!rows.iter().any(|(_, data)| noise(data)), "{rows:?}");
        assert_eq!(rows.len(), count, "{rows:?}");
    }
    Ok(())
}
