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
             REMOTE                     READ   WRITTEN      RTT  NEW  CLOSED  LIVE  FAILED",
            "22:13:30  node-1      curl(4242)            10.0.0.1:*             →  \
             [2001:db8::1]:443      20.0 MiB      77 B  1.50 ms    2       1     4  3 refused",
        ]
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
