use std::net::IpAddr;

use weir_ebpf_common::http::{LINE, how};

use super::*;
use crate::httpflow::{Redaction, Request};
use weir_runtime::config::Scalar as _;

fn rows(paths: usize, routes: usize) -> Rows {
    let routes_of = Routes::new(["/static/**"]).unwrap();
    Rows::new(Budget { paths, routes }, routes_of)
}

fn ends(is_server: bool, client_port: u16) -> Ends {
    let (local_port, remote_port) = if is_server {
        (80, client_port)
    } else {
        (client_port, 80)
    };
    Ends {
        local: IpAddr::from([10, 0, 0, 1]),
        remote: IpAddr::from([10, 0, 0, 2]),
        local_port,
        remote_port,
        netns: 7,
    }
}

fn request(path: &str) -> Request {
    let mut request = Request::new(b"GET", path, Version::Http11, &[]);
    request.set_host(b"api.example");
    request
}

fn report<'a>(
    request: &'a Request,
    ends: Ends,
    is_server: bool,
    owner: &'a UdpOwner,
) -> Exchange<'a> {
    Exchange {
        ends,
        owner,
        is_server,
        tls: false,
        request,
        outcome: Outcome {
            status: 200,
            ..Outcome::default()
        },
        counts: true,
        is_last: true,
        latency_ns: Some(300_000),
        bytes_read: 100,
        bytes_written: 200,
        all_read: 100,
        all_written: 200,
        began_ns: 1,
        ended_ns: 2,
    }
}

fn httpflow(event: &FlowEvent) -> &Httpflow {
    let Some(Data::Httpflow(httpflow)) = &event.data else {
        panic!("{event:?}");
    };
    httpflow
}

fn taken(rows: &mut Rows) -> Vec<FlowEvent> {
    let mut events = rows.take(20, 10);
    events.sort_by_key(|event| httpflow(event).path.clone());
    events
}

#[test]
fn clients_are_merged_and_their_requests_add_up() {
    let owner = UdpOwner::default();
    let mut rows = rows(10, 10);
    let request = request("/users/1234");
    for port in 40_000..40_100 {
        rows.add(&report(&request, ends(true, port), true, &owner));
    }
    let later = Exchange {
        counts: false,
        bytes_read: 0,
        bytes_written: 5000,
        ..report(&request, ends(true, 40_000), true, &owner)
    };
    rows.add(&later);
    let [event] = &taken(&mut rows)[..] else {
        panic!("not one row");
    };
    assert_eq!((event.src_port, event.dst_port), (Some(80), None));
    assert_eq!(event.direction(), Direction::Incoming);
    assert_eq!(event.dst_domain, "");
    let row = httpflow(event);
    assert_eq!(
        (row.count, row.bytes_read, row.bytes_written),
        (100, 10_000, 25_000)
    );
    assert_eq!((&row.path[..], &row.route[..]), ("/users/1234", "/users/*"));
    let latency = row.latency.as_ref().unwrap();
    assert_eq!((latency.count(), latency.max_nano), (100, 300_000));
    assert!(rows.is_empty());
}

#[test]
fn who_asks_says_by_which_name() {
    let owner = UdpOwner::default();
    let mut rows = rows(10, 10);
    rows.add(&report(&request("/"), ends(false, 40_000), false, &owner));
    let event = taken(&mut rows).remove(0);
    assert_eq!((event.src_port, event.dst_port), (None, Some(80)));
    assert_eq!(event.dst_domain, "api.example");
    assert_eq!(event.dst_domain_source(), DomainSource::Http);
}

#[test]
fn paths_past_the_budget_become_routes_and_routes_past_it_other() {
    let owner = UdpOwner::default();
    let mut rows = rows(2, 2);
    for path in [
        "/a/1",
        "/a/2",
        "/a/3",
        "/a/4",
        "/static/x",
        "/static/y",
        "/b",
        "/c",
        "/a/1",
    ] {
        rows.add(&report(&request(path), ends(true, 40_000), true, &owner));
    }
    let events = taken(&mut rows);
    let shown = events.iter().map(httpflow);
    let shown: Vec<_> = shown
        .map(|row| (&row.path[..], &row.route[..], row.count))
        .collect();
    let expected = [
        ("/a/*", "/a/*", 2),
        ("/a/1", "/a/*", 2),
        ("/a/2", "/a/*", 1),
        ("/static/**", "/static/**", 2),
        ("~other", "~other", 2),
    ];
    assert_eq!(shown, expected);
    // The next period has a budget of its own.
    rows.add(&report(&request("/c"), ends(true, 40_000), true, &owner));
    assert_eq!(httpflow(&taken(&mut rows)[0]).path, "/c");
}

#[test]
fn what_the_kernel_has_counted_is_in_the_same_row() {
    let owner = UdpOwner::default();
    let mut rows = rows(10, 10);
    rows.add(&report(
        &request("/reset/*"),
        ends(true, 40_000),
        true,
        &owner,
    ));
    let mut line = [0; LINE];
    line[..17].copy_from_slice(b"GET /reset/secret");
    let key = HttpKey {
        local: [u32::from_ne_bytes([10, 0, 0, 1]), 0, 0, 0],
        remote: [u32::from_ne_bytes([10, 0, 0, 2]), 0, 0, 0],
        netns: 7,
        pid: 0,
        family: 2,
        port: 80,
        status: 200,
        how: how::SERVER,
        line,
    };
    let mut new = Requests {
        count: 4,
        bytes_in: 40,
        bytes_out: 80,
        latency_ns: 4_000,
        latency_max_ns: 2_000,
        ..Requests::default()
    };
    new.buckets[0] = 4;
    let redactions = [Redaction::parse("/reset/*").unwrap()];
    rows.add_counted(&key, &HttpTally::default(), &new, None, &redactions);
    let [event] = &taken(&mut rows)[..] else {
        panic!("not one row");
    };
    let row = httpflow(event);
    assert_eq!(
        (row.count, row.bytes_read, row.bytes_written),
        (5, 140, 280)
    );
    let latency = row.latency.as_ref().unwrap();
    assert_eq!(
        (latency.count(), latency.sum_nano, latency.max_nano),
        (5, 304_000, 300_000)
    );
}
