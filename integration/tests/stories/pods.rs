//! Containers on a node: a client and a server on a bridge, and a service address that the node translates.

use weir_integration::{
    flows::{Row, sum},
    netns::{Netns, sh},
    traffic::{Program, Said},
    watched::{Watched, client, server},
};

/// Two pods, and the node with the bridge between them.
struct Node {
    client: Netns,
    host: Netns,
    server: Netns,
}

/// As kube-proxy does it: the service address becomes the pod's, and the client's becomes the node's, so that the
/// answer comes back the same way.
const RULES: &str = "
add table ip service
add chain ip service to { type nat hook prerouting priority dstnat; }
add rule ip service to ip daddr 10.95.255.1 meta l4proto { tcp, udp } th dport 80 dnat to 10.95.0.3:8080
add chain ip service from { type nat hook postrouting priority srcnat; }
add rule ip service from ip daddr 10.95.0.3 masquerade
";

impl Node {
    fn new() -> anyhow::Result<Self> {
        let (client, host, server) = (
            Netns::new("client")?,
            Netns::new("node")?,
            Netns::new("server")?,
        );
        host.sh("ip link add bridge type bridge; ip link set bridge up; ip addr add 10.95.0.1/24 dev bridge; echo 1 >/proc/sys/net/ipv4/ip_forward")?;
        for (pod, number) in [(&client, 2), (&server, 3)] {
            let (pod, host) = (pod.name(), host.name());
            sh(&format!(
                "ip link add eth0 netns {pod} type veth peer name to{number} netns {host};
                 ip -n {host} link set to{number} master bridge up;
                 ip -n {pod} addr add 10.95.0.{number}/24 dev eth0; ip -n {pod} link set eth0 up;
                 ip -n {pod} route add default via 10.95.0.1"
            ))?;
        }
        let folder = tempfile::tempdir()?;
        let rules = folder.path().join("rules.nft");
        std::fs::write(&rules, RULES)?;
        host.sh(&format!("nft -f {}", rules.display()))?;
        Ok(Self {
            client,
            host,
            server,
        })
    }
}

/// Asserts what each row of one side says of the other.
fn assert_side(rows: &[Row], said: &Said, expected: &[(&str, &str)]) {
    assert!(!rows.is_empty(), "no rows with {expected:?}");
    assert_eq!(sum(rows, "bytes_written"), said.written, "{rows:?}");
    assert_eq!(sum(rows, "bytes_read"), said.read, "{rows:?}");
    for row in rows {
        for (key, value) in expected {
            assert_eq!(row.tag(key), *value, "{key} of {row:?}");
        }
        assert_eq!(row.tag("pid"), said.pid.to_string(), "{row:?}");
    }
}

fn both_sides_know_each_other(transport: &str) -> anyhow::Result<()> {
    let node = Node::new()?;
    // The agent starts when the node is there, as on a real one.
    let weir = Watched::start("")?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let (serve, connect) = match transport {
        "tcp" => (
            "serve --listen 10.95.0.3:8080 --expect 3000 --send 70000 --connections 5",
            "connect --to 10.95.255.1:80 --send 3000 --expect 70000 --connections 5",
        ),
        _ => (
            "udp-serve --listen 10.95.0.3:8080 --requests 100 --send 700",
            "udp-connect --to 10.95.255.1:80 --send 30 --rounds 100",
        ),
    };
    let mut serving = billing.run(Some(&node.server), serve)?;
    serving.port()?;
    let asked = orders.run(Some(&node.client), connect)?.said()?;
    let served = serving.said()?;
    weir.settle()?;

    let (inside, there) = (node.client.inode()?, node.server.inode()?);
    let of = |netns: &str, rows: Vec<Row>| -> Vec<Row> {
        rows.into_iter()
            .filter(|row| row.tag("netns") == netns)
            .collect()
    };
    let rows = of(&inside, weir.flows.rows(client(transport, 80)));
    let source = if transport == "tcp" {
        "connect"
    } else {
        "bind"
    };
    assert_side(
        &rows,
        &asked,
        &[
            ("src_ip", "10.95.0.2"),
            ("dst_ip", "10.95.255.1"),
            ("dst_nat_ip", "10.95.0.3"),
            ("dst_nat_port", "8080"),
            ("process_name", "orders"),
        ],
    );
    assert!(
        rows.iter()
            .all(|row| ["connect", source].contains(&row.tag("direction_source"))),
        "{rows:?}"
    );
    let rows = of(&there, weir.flows.rows(server(transport, 8080)));
    assert_side(
        &rows,
        &served,
        &[
            ("src_ip", "10.95.0.3"),
            ("dst_ip", "10.95.0.1"),
            ("dst_nat_ip", "10.95.0.2"),
            ("dst_nat_port", "*"),
            ("process_name", "billing"),
        ],
    );
    // The node only forwards: it has no end of any of it.
    let forwarded = of(
        &node.host.inode()?,
        weir.flows.rows(|row| row.tag("transport") == transport),
    );
    assert!(forwarded.is_empty(), "{forwarded:?}");
    Ok(())
}

#[test]
fn a_pod_that_asks_a_service_address_and_the_pod_that_answers_know_each_other_over_tcp()
-> anyhow::Result<()> {
    both_sides_know_each_other("tcp")
}

#[test]
fn a_pod_that_asks_a_service_address_and_the_pod_that_answers_know_each_other_over_udp()
-> anyhow::Result<()> {
    both_sides_know_each_other("udp")
}
