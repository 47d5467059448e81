use super::*;
use crate::dnsflow::{
    message::Question,
    tracker::{Endpoints, Roles},
};

fn done(name: &str, answer: Option<(u16, Option<u64>)>) -> Done {
    Done {
        endpoints: Endpoints {
            netns: 7,
            client: ([10, 0, 0, 1], 40_000).into(),
            server: ([10, 0, 0, 2], 53).into(),
            is_tcp: false,
        },
        roles: Roles {
            client: true,
            server: false,
        },
        question: Question {
            name: name.into(),
            kind: 28,
            class: 1,
        },
        sent_ns: 0,
        answer,
    }
}

fn data(event: &FlowEvent) -> &Dnsflow {
    match &event.data {
        Some(Data::Dnsflow(data)) => data,
        other => panic!("{other:?}"),
    }
}

fn take(rows: &mut Rows) -> Vec<FlowEvent> {
    let mut events = rows.take(10, 5);
    events.sort_by_key(|event| (data(event).query_name.clone(), data(event).rcode));
    events
}

#[test]
fn queries_of_one_name_and_outcome_are_one_row_whatever_their_client_port() {
    let owners = Owners::default();
    let mut rows = Rows::new(10);
    for (port, latency) in [(40_000, 100), (40_001, 300)] {
        let mut done = done("a", Some((0, Some(latency))));
        done.endpoints.client.set_port(port);
        rows.add(&done, &owners);
    }
    rows.add(&done("a", None), &owners);
    let events = take(&mut rows);
    assert_eq!(events.len(), 2);
    let (failed, answered) = (data(&events[0]), data(&events[1]));
    assert_eq!(
        (failed.rcode, failed.count, failed.latency.as_ref()),
        (-1, 1, None)
    );
    let latency = answered.latency.as_ref().unwrap();
    assert_eq!((answered.rcode, answered.count), (0, 2));
    assert_eq!((latency.sum_nano, latency.max_nano), (400, 300));
    assert_eq!(answered.query_type, "AAAA");
    let event = &events[1];
    assert_eq!((event.src_port, event.dst_port), (None, Some(53)));
    assert_eq!((event.direction(), event.netns), (Direction::Outgoing, 7));
    assert!(take(&mut rows).is_empty());
}

#[test]
fn with_both_ends_here_each_has_a_row_of_its_own_side() {
    let mut rows = Rows::new(10);
    let mut both = done("a", Some((0, Some(1))));
    both.roles.server = true;
    rows.add(&both, &Owners::default());
    let events = take(&mut rows);
    let sides: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.direction(),
                event.src_ip.clone(),
                event.src_port,
                event.dst_port,
            )
        })
        .collect();
    assert!(sides.contains(&(Direction::Outgoing, vec![10, 0, 0, 1], None, Some(53))));
    assert!(sides.contains(&(Direction::Incoming, vec![10, 0, 0, 2], Some(53), None)));
    let mut passing = done("a", None);
    passing.roles.client = false;
    rows.add(&passing, &Owners::default());
    assert!(take(&mut rows).is_empty());
}

#[test]
fn names_over_the_budget_are_one_row_and_counted() {
    let mut rows = Rows::new(3);
    for number in 0..100 {
        rows.add(&done(&format!("{number}.flood"), None), &Owners::default());
    }
    rows.add(&done("0.flood", None), &Owners::default());
    let events = take(&mut rows);
    assert_eq!(events.len(), 4);
    let count = |name: &str| {
        let event = events.iter().find(|event| data(event).query_name == name);
        event.map(|event| data(event).count)
    };
    assert_eq!(count("~other"), Some(97));
    assert_eq!(count("0.flood"), Some(2), "a known name keeps its row");
    assert_eq!(rows.over_budget, 97);
    rows.add(&done("99.flood", None), &Owners::default());
    assert_eq!(
        data(&take(&mut rows)[0]).query_name,
        "99.flood",
        "a new period"
    );
}

#[test]
fn the_owner_of_the_local_socket_is_named() {
    let owners = Owners::default();
    let process = Process {
        pid: 5,
        name: "dig".into(),
        container: "abc".into(),
    };
    let local = (Transport::Udp, 7, [10, 0, 0, 1].into(), 40_000);
    owners.learn(local, Arc::new(process));
    let mut rows = Rows::new(10);
    rows.add(&done("a", None), &owners);
    let mut other = done("a", None);
    other.endpoints.netns = 8;
    rows.add(&other, &owners);
    let mut pids: Vec<_> = take(&mut rows)
        .into_iter()
        .map(|event| {
            (
                event.netns,
                event.pid,
                event.process_name,
                event.container_id,
            )
        })
        .collect();
    pids.sort();
    assert_eq!(pids[0], (7, 5, "dig".to_owned(), "abc".to_owned()));
    assert_eq!(pids[1], (8, 0, String::new(), String::new()));
}
