//! What drop rules cost per flow, in CPU time: others may use the machine.

use std::{hint::black_box, net::SocketAddr, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use weir_agent::drop::{Amount, DropRules, Flow, Rules, read};
use weir_proto::flow::v1::{Direction, Transport};
use weir_runtime::config::Document;

/// As a site might have them; the last one drops.
const RULES: &str = "drop:
  scrapes: {dst_port: [9090, 9100, 9253-9256], process: 'prom*'}
  probes: {process: kubelet, direction: outgoing}
  health: {src_port: 10256}
  mesh: {port: [15000-15010, 15020, 15021, 15090]}
  storage: {dst_cidr: [10.40.0.0/16, 10.41.0.0/16], dst_port: 2049}
  backup: {process: ['restic*', '*-backup'], direction: outgoing}
  dns: {transport: udp, port: 53}
  time: {transport: udp, dst_port: 123}
  job: {container: '3f4e2d*'}
  loopback: {src_cidr: [127.0.0.0/8, '::1']}
";

fn rules(most: usize) -> Rules {
    let document = Document::parse("agent.yaml", RULES, "BENCH", []).expect("a document");
    let mut rules = document.read(read).expect("rules");
    rules.truncate(most);
    Rules::new(rules)
}

fn flow(src: &str) -> Flow<'_> {
    Flow {
        src: SocketAddr::new(src.parse().expect("an address"), 40_000),
        dst: SocketAddr::from(([10, 1, 2, 3], 443)),
        transport: Transport::Tcp,
        direction: Direction::Outgoing,
        process: "envoy-proxy",
        container: "9c1185a5c5e9fc54612808977ee8f548b2258d31ddadef707ba62c166051b9e3",
        netns: 4_026_531_840,
    }
}

fn checks(c: &mut Criterion) {
    let amount = Amount {
        items: 1,
        packets: 10,
        bytes: 5000,
    };
    let (kept, dropped) = (flow("10.1.0.7"), flow("127.0.0.1"));
    for (name, most, flow) in [
        ("no rules", 0, kept),
        ("one rule, kept", 1, kept),
        ("ten rules, kept", 10, kept),
        ("ten rules, dropped by the last", 10, dropped),
    ] {
        let mut dropper = DropRules::new(rules(most)).dropper();
        c.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let began = clock_gettime(ClockId::ThreadCPUTime);
                for _ in 0..rounds {
                    black_box(dropper.drops(black_box(&flow), black_box(amount)));
                }
                let took = clock_gettime(ClockId::ThreadCPUTime) - began;
                Duration::try_from(took).expect("a clock that goes on")
            });
        });
    }
}

criterion_group!(benches, checks);
criterion_main!(benches);
