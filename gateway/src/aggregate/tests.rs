use weir_point::{Category, Table, Text, Value};

use super::*;
use crate::profile::SEMCONV;

const RTT: usize = 0;
const LATENCY: usize = 2;
const LATENCY_MAX: usize = 3;
const CONNECTIONS: usize = 4;

fn flow() -> (&'static DataSet, &'static Group) {
    let set = SEMCONV.data_set("netflow").expect("a data set");
    (set, &set.groups[0])
}

fn point(time: u64, fields: &[(&'static str, Value)]) -> Point {
    let mut table = Table::default();
    for (key, value) in fields {
        table.set(Text::new_static(key), value.clone());
    }
    Point {
        fields: table,
        time,
        ..Point::new(Category::Network, Text::new_static("netflow"))
    }
}

fn row_of(points: &[Point]) -> Row {
    let (_, group) = flow();
    let mut row = Row::new(group);
    for point in points {
        row.add(group, point);
    }
    row
}

fn gauge(row: &Row, index: usize) -> Option<f64> {
    row.gauge(index, &flow().1.gauges[index])
}

#[test]
fn two_processes_on_one_series_add_up() {
    let row = row_of(&[
        point(10, &[("bytes_read", 5.into()), ("connections", 2.into())]),
        point(10, &[("bytes_read", 7.into()), ("connections", 1.into())]),
    ]);
    assert_eq!(row.count(0), Some(12));
    assert_eq!(gauge(&row, CONNECTIONS), Some(3.0));
}

#[test]
fn the_next_period_replaces_gauges_and_adds_to_counters() {
    let row = row_of(&[
        point(10, &[("bytes_read", 5.into()), ("connections", 2.into())]),
        point(10, &[("bytes_read", 7.into()), ("connections", 1.into())]),
        point(20, &[("bytes_read", 1.into()), ("connections", 1.into())]),
        point(20, &[("bytes_read", 1.into()), ("connections", 0.into())]),
    ]);
    assert_eq!(row.count(0), Some(14));
    assert_eq!(gauge(&row, CONNECTIONS), Some(1.0));
}

#[test]
fn a_gauge_that_a_period_does_not_have_keeps_its_value_and_does_not_mix_into_the_next() {
    let row = row_of(&[
        point(10, &[("rtt", 9000.0.into()), ("bytes_read", 1000.into())]),
        point(20, &[("bytes_read", 1.into())]),
    ]);
    assert_eq!(gauge(&row, RTT), Some(0.009));
    let row = row_of(&[
        point(10, &[("rtt", 9000.0.into()), ("bytes_read", 1000.into())]),
        point(20, &[("bytes_read", 1.into())]),
        point(20, &[("rtt", 100.0.into()), ("bytes_read", 1.into())]),
    ]);
    assert_eq!(gauge(&row, RTT), Some(0.0001));
}

#[test]
fn round_trip_times_weigh_by_bytes_and_latencies_by_connections() {
    let row = row_of(&[
        point(
            10,
            &[
                ("rtt", 1000.0.into()),
                ("bytes_read", 100.into()),
                ("bytes_written", 200.into()),
                ("connect_latency", 10.0.into()),
                ("connect_latency_max", 30.0.into()),
                ("tcp_established", 3.into()),
            ],
        ),
        point(
            10,
            &[
                ("rtt", 5000.0.into()),
                ("bytes_read", 100.into()),
                ("bytes_written", 0.into()),
                ("connect_latency", 50.0.into()),
                ("connect_latency_max", 50.0.into()),
                ("tcp_established", 1.into()),
            ],
        ),
    ]);
    assert_eq!(gauge(&row, RTT), Some(0.002));
    assert_eq!(gauge(&row, LATENCY), Some(0.000_02));
    assert_eq!(gauge(&row, LATENCY_MAX), Some(0.000_05));
}

#[test]
fn a_clock_that_was_set_back_does_not_freeze_gauges() {
    let row = row_of(&[
        point(1_000_000, &[("connections", 9.into())]),
        point(10, &[("connections", 1.into())]),
    ]);
    assert_eq!(gauge(&row, CONNECTIONS), Some(1.0));
}

#[test]
fn a_counter_that_was_never_given_is_absent_and_one_given_as_zero_is_not() {
    let row = row_of(&[point(10, &[("bytes_read", 0.into())])]);
    assert_eq!(row.count(0), Some(0));
    assert_eq!(row.count(1), None);
    assert_eq!(gauge(&row, RTT), None);
}

#[test]
fn a_counter_at_its_end_stays_there() {
    let most = Value::Int(i64::MAX);
    let points = [(); 3].map(|()| point(10, &[("bytes_read", most.clone())]));
    assert_eq!(row_of(&points).count(0), Some(u64::MAX));
}

#[test]
fn label_values_are_escaped_and_merged_ports_left_out() {
    let (set, group) = flow();
    let mut point = point(10, &[]);
    for (tag, value) in [
        ("process_name", "a \"b\"\\\nc é"),
        ("src_port", "*"),
        ("dst_port", "443"),
        ("family", "IPv6"),
        ("pid", "77"),
    ] {
        point.tags.set(Text::new_static(tag), Text::new(value));
    }
    let mut text = String::new();
    Labels::new(set, group).write(&point, &mut text);
    assert_eq!(
        text,
        r#"destination_port="443",network_type="ipv6",process_executable_name="a \"b\"\\\nc é""#
    );
}
