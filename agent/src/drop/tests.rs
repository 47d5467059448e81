use weir_runtime::config::{ConfigError, Document};

use super::*;

fn rules(text: &str) -> Result<Rules, ConfigError> {
    let text = format!("drop: {{{text}}}");
    Document::parse("agent.yaml", &text, "TEST", [])
        .and_then(|document| document.read(read))
        .map(Rules::new)
}

/// The agent's view of a scrape: a connection of Prometheus to port 9100 of another machine.
const SCRAPE: Flow<'_> = Flow {
    src: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 40_000),
    dst: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 7, 9)), 9100),
    transport: Transport::Tcp,
    direction: Direction::Outgoing,
    process: "prometheus",
    container: "3f4e2d1c0b9a",
    netns: 4_026_531_840,
};

fn drops(rule: &str, flow: &Flow<'_>) -> bool {
    let rules = rules(&format!("it: {{{rule}}}"));
    rules.unwrap().drops(flow).is_some()
}

#[test]
fn each_condition_is_met_or_not() {
    for (rule, dropped) in [
        ("port: 9100", true),
        ("port: 40000", true),
        ("port: 9101", false),
        ("port: [80, 9000-9200]", true),
        ("dst_port: 9100", true),
        ("src_port: 9100", false),
        ("src_port: 40000", true),
        ("cidr: 10.0.0.0/8", true),
        ("cidr: 192.168.0.0/16", true),
        ("cidr: 172.16.0.0/12", false),
        ("cidr: [172.16.0.0/12, 192.168.7.9]", true),
        ("src_cidr: 192.168.0.0/16", false),
        ("dst_cidr: 192.168.0.0/16", true),
        ("dst_cidr: 192.168.7.8/31", true),
        ("dst_cidr: 192.168.7.10/31", false),
        ("cidr: 0.0.0.0/0", true),
        ("cidr: '::/0'", false),
        ("process: prometheus", true),
        ("process: prom", false),
        ("process: 'prom*'", true),
        ("process: [curl, '*heus']", true),
        ("container: '3f4e*'", true),
        ("container: ''", false),
        ("netns: 4026531840", true),
        ("netns: [1, 2]", false),
        ("direction: outgoing", true),
        ("direction: incoming", false),
        ("transport: tcp", true),
        ("transport: udp", false),
    ] {
        assert_eq!(drops(rule, &SCRAPE), dropped, "{rule}");
    }
}

#[test]
fn a_rule_drops_only_what_meets_all_its_conditions() {
    let rule = "dst_cidr: 192.168.0.0/16, port: 9100, process: prometheus";
    assert!(drops(rule, &SCRAPE));
    let unlike = [
        Flow {
            process: "curl",
            ..SCRAPE
        },
        Flow {
            dst: "192.169.0.1:9100".parse().unwrap(),
            ..SCRAPE
        },
        Flow {
            dst: "192.168.7.9:9101".parse().unwrap(),
            ..SCRAPE
        },
    ];
    assert!(unlike.iter().all(|flow| !drops(rule, flow)));
}

#[test]
fn networks_of_both_families_are_told_apart() {
    let six = Flow {
        src: "[fd00::1]:1".parse().unwrap(),
        dst: "[2001:db8::7]:9100".parse().unwrap(),
        ..SCRAPE
    };
    assert!(drops("cidr: 'fd00::/8'", &six));
    assert!(drops("dst_cidr: '2001:db8::7'", &six));
    assert!(!drops("dst_cidr: '2001:db8::8'", &six));
    assert!(!drops("cidr: 0.0.0.0/0", &six));
}

/// The oracle tries every way to cut the text.
#[test]
fn a_star_is_any_text() {
    fn fits(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|cut| fits(rest, &text[cut..])),
            Some((byte, rest)) => text.first() == Some(byte) && fits(rest, &text[1..]),
        }
    }
    let mut random = fastrand::Rng::with_seed(5);
    let mut text = |of: &[char], most| -> String {
        (0..random.usize(..most))
            .filter_map(|_| random.choice(of))
            .collect()
    };
    for _ in 0..20_000 {
        let (pattern, name) = (text(&['a', 'b', '*'], 7), text(&['a', 'b'], 9));
        let rule = Rules::new(vec![(String::new(), {
            let list = format!("process: '{pattern}'");
            let text = format!("drop: {{it: {{{list}}}}}");
            let document = Document::parse("agent.yaml", &text, "TEST", []).unwrap();
            document.read(read).unwrap().remove(0).1
        })]);
        let flow = Flow {
            process: &name,
            ..SCRAPE
        };
        let wanted = fits(pattern.as_bytes(), name.as_bytes());
        assert_eq!(rule.drops(&flow).is_some(), wanted, "{pattern} {name}");
    }
}

#[test]
fn what_a_rule_drops_is_counted_under_its_name_and_the_first_rule_counts() {
    let rules = rules("scrapes: {port: 9100}, all: {cidr: 0.0.0.0/0}").unwrap();
    let mut dropper = DropRules::new(rules).dropper();
    let amount = Amount {
        items: 1,
        packets: 5,
        bytes: 700,
    };
    let other = Flow {
        dst: "192.168.7.9:80".parse().unwrap(),
        ..SCRAPE
    };
    let six = Flow {
        src: "[::1]:1".parse().unwrap(),
        dst: "[::1]:2".parse().unwrap(),
        ..SCRAPE
    };
    assert!(dropper.drops(&SCRAPE, amount));
    assert!(dropper.drops(&SCRAPE, amount));
    assert!(dropper.drops(&other, amount));
    assert!(!dropper.drops(&six, amount));
    let mut counters: Vec<_> = dropper
        .counters(["connections", "packets", "bytes"])
        .into_iter()
        .map(|counter| (counter.cause, counter.name, counter.value))
        .collect();
    counters.sort();
    let counted = |cause: &str, name: &str, value| (cause.to_owned(), name.to_owned(), value);
    assert_eq!(
        counters,
        [
            counted("all", "bytes", 700),
            counted("all", "connections", 1),
            counted("all", "packets", 5),
            counted("scrapes", "bytes", 1400),
            counted("scrapes", "connections", 2),
            counted("scrapes", "packets", 10),
        ]
    );
}

#[test]
fn rules_that_are_replaced_hold_from_the_next_flow_on_and_counts_stay() {
    let drops = DropRules::default();
    let mut dropper = drops.dropper();
    let one = Amount {
        items: 1,
        ..Amount::default()
    };
    assert!(!dropper.drops(&SCRAPE, one));
    drops.replace(rules("scrapes: {port: 9100}").unwrap());
    assert!(dropper.drops(&SCRAPE, one));
    drops.replace(Rules::default());
    assert!(!dropper.drops(&SCRAPE, one));
    let counters = dropper.counters(["connections", "packets", "bytes"]);
    assert_eq!(counters.first().map(|counter| counter.value), Some(1));
}

#[test]
fn names_of_rules_that_come_and_go_do_not_fill_the_memory() {
    let drops = DropRules::default();
    let mut dropper = drops.dropper();
    let one = Amount {
        items: 1,
        ..Amount::default()
    };
    for number in 0..MOST_NAMES + 50 {
        drops.replace(rules(&format!("rule-{number}: {{port: 9100}}")).unwrap());
        assert!(dropper.drops(&SCRAPE, one));
    }
    let counters = dropper.counters(["connections", "", ""]);
    let connections = counters
        .iter()
        .filter(|counter| counter.name == "connections");
    let total: u64 = connections.clone().map(|counter| counter.value).sum();
    assert_eq!(total, MOST_NAMES as u64 + 50);
    assert_eq!(connections.count(), MOST_NAMES + 1);
}

#[test]
fn mistakes_in_rules_are_named_with_their_place() {
    for (text, what) in [
        ("it: {}", "everything"),
        ("it: {port: 70000}", "drop.it.port"),
        ("it: {port: 9-1}", "ends before it begins"),
        ("it: {cidr: 10.0.0.0/33}", "drop.it.cidr"),
        ("it: {cidr: ten}", "drop.it.cidr"),
        ("it: {direction: up}", "drop.it.direction"),
        ("it: {prot: 80}", "drop.it.prot"),
    ] {
        let error = rules(text).unwrap_err().to_string();
        assert!(
            error.contains(what) && error.contains("agent.yaml:1:"),
            "{error}"
        );
    }
}
