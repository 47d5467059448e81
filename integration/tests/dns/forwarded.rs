//! A query that crosses a node is the client's and the server's, not the node's, however many devices show it.

use weir_integration::{
    eventually,
    name_servers::{dnsperf, unbound},
    netns::{Netns, sh},
};
use weir_proto::flow::v1::Direction;

use super::{Watched, of};

/// A pod on a bridge of a node, which masquerades it to a server outside.
struct Node {
    pod: Netns,
    node: Netns,
    outside: Netns,
}

impl Node {
    fn new() -> anyhow::Result<Self> {
        let (pod, node, outside) = (
            Netns::new("pod")?,
            Netns::new("node")?,
            Netns::new("outside")?,
        );
        node.sh("ip link add bridge type bridge; ip link set bridge up; ip addr add 10.94.0.1/24 dev bridge; echo 1 >/proc/sys/net/ipv4/ip_forward")?;
        let (p, n, o) = (pod.name(), node.name(), outside.name());
        sh(&format!(
            "ip link add eth0 netns {p} type veth peer name topod netns {n};
             ip -n {n} link set topod master bridge up;
             ip -n {p} addr add 10.94.0.2/24 dev eth0; ip -n {p} link set eth0 up;
             ip -n {p} route add default via 10.94.0.1;
             ip link add eth0 netns {o} type veth peer name eth0 netns {n};
             ip -n {n} addr add 10.93.0.1/24 dev eth0; ip -n {n} link set eth0 up;
             ip -n {o} addr add 10.93.0.2/24 dev eth0; ip -n {o} link set eth0 up"
        ))?;
        let folder = tempfile::tempdir()?;
        let rules = folder.path().join("rules.nft");
        let text = "add table ip out\nadd chain ip out from { type nat hook postrouting priority srcnat; }\n\
            add rule ip out from ip saddr 10.94.0.0/24 oifname eth0 masquerade\n";
        std::fs::write(&rules, text)?;
        node.sh(&format!("nft -f {}", rules.display()))?;
        Ok(Self { pod, node, outside })
    }
}

const SERVER: &str =
    " local-zone: \"out.test.\" redirect\n local-data: \"out.test. A 192.0.2.7\"\n";

#[test]
fn a_pods_masqueraded_query_is_counted_in_the_pod_and_at_the_server_and_not_on_the_node()
-> anyhow::Result<()> {
    let Node { pod, node, outside } = Node::new()?;
    let _unbound = unbound(&outside, SERVER)?;
    let weir = Watched::start("")?;
    weir.watches(&pod)?;
    weir.watches(&node)?;
    for transport in ["udp", "tcp"] {
        let name = format!("{transport}.out.test");
        let options = format!("-m {transport} -s 10.93.0.2 -Q 200 -l 1 -c 3");
        let said = dnsperf(&pod, &options, &format!("{name} A\n"))?;
        for (netns, side) in [(&pod, Direction::Outgoing), (&outside, Direction::Incoming)] {
            let sum = weir.until(netns, side, said.sent, of(&name))?;
            assert_eq!(sum.count, said.sent, "{transport}");
        }
        let client = weir
            .rows(&outside)?
            .into_iter()
            .find(|(_, data)| data.query_name == name);
        assert_eq!(
            client.expect("a row").0.dst_ip,
            [10, 93, 0, 1],
            "masqueraded"
        );
    }
    // What the node asks itself is its own.
    node.sh("dig @10.93.0.2 node.out.test +tries=1")?;
    weir.until(&node, Direction::Outgoing, 1, of("node.out.test"))?;
    for direction in [Direction::Outgoing, Direction::Incoming] {
        let all = weir.sum(&node, direction, |_, data| {
            data.query_name.ends_with("out.test")
        })?;
        let own = u64::from(direction == Direction::Outgoing);
        assert_eq!(all.count, own, "{direction:?} {:?}", weir.rows(&node)?);
    }
    assert!(weir.intake.counter("dns_messages", "translated") > 0);
    Ok(())
}

#[test]
fn on_a_bridge_and_its_port_each_query_is_counted_once() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    for (netns, host) in [(&client, 1), (&server, 2)] {
        netns.sh(&format!(
            "ip link add bridge type bridge; ip link set wire master bridge; ip link set bridge up;
             ip addr flush dev wire; ip addr add 10.92.0.{host}/24 dev bridge"
        ))?;
    }
    let _unbound = unbound(&server, SERVER)?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    weir.watches(&server)?;
    let said = dnsperf(
        &client,
        "-s 10.92.0.2 -Q 300 -l 1 -c 3",
        "bridge.out.test A\n",
    )?;
    for (netns, side) in [
        (&client, Direction::Outgoing),
        (&server, Direction::Incoming),
    ] {
        let sum = weir.until(netns, side, said.sent, of("bridge.out.test"))?;
        assert_eq!(sum.count, said.sent);
    }
    eventually("repeated packets to be counted", || {
        let repeated = weir.intake.counter("dns_packets_passed", "repeated");
        // Query and answer, at both ends, at one further device.
        (repeated >= said.sent * 4)
            .then_some(())
            .ok_or_else(|| repeated.to_string())
    })
}
