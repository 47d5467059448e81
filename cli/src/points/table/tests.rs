use weir_proto::observe::v1::{Field, Tag};

use super::*;

fn point(tags: &[(&str, &str)], fields: &[(&str, Value)]) -> Point {
    Point {
        name: "netflow".to_owned(),
        time_unix_nano: 1_700_000_010_000_000_000,
        tags: tags
            .iter()
            .map(|(key, value)| Tag {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        fields: fields
            .iter()
            .map(|(key, value)| Field {
                key: (*key).to_owned(),
                value: Some(value.clone()),
            })
            .collect(),
        ..Point::default()
    }
}

fn outgoing() -> Point {
    point(
        &[
            ("host", "node-1"),
            ("process_name", "curl"),
            ("pid", "4242"),
            ("src_ip", "10.0.0.1"),
            ("src_port", "*"),
            ("direction", "outgoing"),
            ("dst_ip", "2001:db8::1"),
            ("dst_port", "443"),
            ("reason", "refused"),
        ],
        &[
            ("bytes_read", Value::Int(20 * 1024 * 1024)),
            ("bytes_written", Value::Int(77)),
            ("rtt", Value::Float(1500.0)),
            ("tcp_established", Value::Int(2)),
            ("tcp_closed", Value::Int(1)),
            ("tcp_failed", Value::Int(3)),
            ("connections", Value::Int(4)),
        ],
    )
}

fn printed(table: &mut Table, points: &[Point]) -> String {
    let mut out = String::new();
    points
        .iter()
        .for_each(|point| table.push_row(point, &mut out));
    out
}

#[test]
fn a_row_shows_who_talks_to_whom_and_how_much() {
    let text = printed(&mut Table::new(Category::Network, false), &[outgoing()]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "TIME UTC  HOST        PROCESS               LOCAL                     \
             REMOTE                     READ   WRITTEN      RTT  NEW  CLOSED  LIVE  WHAT",
            "22:13:30  node-1      curl(4242)            10.0.0.1:*             →  \
             [2001:db8::1]:443      20.0 MiB      77 B  1.50 ms    2       1     4  3 failed: refused",
        ]
    );
}

/// The end of the row of a Point of this name.
fn what(name: &str, tags: &[(&str, &str)], fields: &[(&str, Value)]) -> String {
    let mut point = point(tags, fields);
    name.clone_into(&mut point.name);
    let text = printed(&mut Table::new(Category::Network, false), &[point]);
    let row = text.lines().last().expect("a row");
    let (_, what) = row.rsplit_once("-  ").expect("no live connections");
    what.to_owned()
}

#[test]
fn a_query_shows_what_was_asked_how_it_ended_and_how_long_it_took() {
    let tags = [("query_type", "AAAA"), ("query_name", "example.com")];
    let times = [
        ("count", Value::Int(3)),
        ("latency", Value::Float(1_200_000.5)),
        ("latency_max", Value::Int(3_000_000)),
    ];
    let with = |rcode| [&times[..], &[("rcode", Value::Int(rcode))]].concat();
    for (rcode, wanted) in [
        (0, "AAAA example.com NOERROR ×3 1.20 ms (max 3.00 ms)"),
        (3, "AAAA example.com NXDOMAIN ×3 1.20 ms (max 3.00 ms)"),
        (23, "AAAA example.com rcode 23 ×3 1.20 ms (max 3.00 ms)"),
    ] {
        assert_eq!(what("dnsflow", &tags, &with(rcode)), wanted);
    }
    let silent = [("count", Value::Int(2)), ("rcode", Value::Int(-1))];
    assert_eq!(
        what("dnsflow", &tags, &silent),
        "AAAA example.com no answer ×2"
    );
}

#[test]
fn a_request_shows_what_was_asked_how_it_ended_and_how_long_it_took() {
    let tags = [
        ("method", "GET"),
        ("path", "/user/7"),
        ("dst_domain", "example.com"),
        ("tls", "true"),
    ];
    let fields = [
        ("count", Value::Int(1)),
        ("status_code", Value::Int(200)),
        ("grpc_status", Value::Int(14)),
        ("latency", Value::Float(2000.0)),
        ("latency_max", Value::Int(2000)),
    ];
    assert_eq!(
        what("httpflow", &tags, &fields),
        "GET https://example.com/user/7 200 grpc-status 14 ×1 2.00 us (max 2.00 us)"
    );
    let silent = [("count", Value::Int(2)), ("status_code", Value::Int(0))];
    let tags = [
        ("method", "GET"),
        ("path", "/\u{1b}[2J"),
        ("reason", "timeout"),
    ];
    assert_eq!(
        what("httpflow", &tags, &silent),
        r"GET /\u{1b}[2J timeout ×2"
    );
}

#[test]
fn what_is_not_known_is_a_dash() {
    let text = printed(
        &mut Table::new(Category::Network, false),
        &[point(&[("src_ip", "10.0.0.1")], &[])],
    );
    let row: Vec<&str> = text
        .lines()
        .last()
        .expect("a row")
        .split_whitespace()
        .collect();
    assert_eq!(
        row,
        [
            "22:13:30",
            "-",
            "-",
            "10.0.0.1:-",
            "-",
            "-:-",
            "-",
            "-",
            "-",
            "-",
            "-",
            "-",
            "-"
        ]
    );
}

#[test]
fn a_screen_gets_the_header_again_and_a_pipe_gets_it_once() {
    let points = vec![outgoing(); 100];
    let headers = |repeat| {
        let text = printed(&mut Table::new(Category::Network, repeat), &points);
        text.lines().filter(|line| line.starts_with("TIME")).count()
    };
    assert_eq!((headers(true), headers(false)), (3, 1));
}

#[test]
fn a_long_name_widens_its_column_for_the_rows_after_it() {
    let mut long = outgoing();
    long.tags[1].value = "a-process-with-quite-a-long-name".to_owned();
    let text = printed(
        &mut Table::new(Category::Network, false),
        &[outgoing(), long, outgoing()],
    );
    let places: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| line.find("10.0.0.1"))
        .collect();
    assert_eq!(places[1], places[2]);
    assert!(places[0] < places[1]);
}

#[test]
fn a_process_cannot_write_to_the_terminal_by_its_name() {
    let mut hostile = outgoing();
    hostile.tags[1].value = "\u{1b}[2Jné\n".to_owned();
    let text = printed(&mut Table::new(Category::Network, false), &[hostile]);
    assert!(text.contains(r"\u{1b}[2Jné\n(4242)"), "{text}");
    assert_eq!(text.lines().count(), 2);
}
