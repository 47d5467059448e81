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

/// A Point with DNS times of these many in the first and the last bucket.
fn times(direction: &'static str, first: i64, last: i64, max: i64) -> Point {
    let mut counts = vec![Value::Int(0); 17];
    counts[0] = first.into();
    counts[16] = last.into();
    let fields = [
        ("latency_buckets", counts.into()),
        ("latency_sum", Value::Int(max + 1)),
        ("latency_max", Value::Int(max)),
    ];
    let mut point = point(10, &fields);
    let direction = Text::new_static(direction);
    point.tags.set(Text::new_static("direction"), direction);
    point
}

fn dns_row(points: &[Point]) -> Row {
    let group = dns();
    let mut row = Row::new(group);
    points.iter().for_each(|point| row.add(group, point));
    row
}

fn dns() -> &'static Group {
    &SEMCONV.data_set("dnsflow").expect("a data set").groups[0]
}

#[test]
fn times_add_up_bucket_by_bucket_on_the_side_that_they_are_of() {
    let row = dns_row(&[
        times("outgoing", 2, 1, 30_000_000_000),
        times("outgoing", 5, 0, 7),
        times("incoming", 1, 0, 9),
    ]);
    let lookup = row.histogram(0).expect("times of the client");
    assert_eq!((lookup.count(), lookup.counts()[0]), (8, 7));
    assert_eq!(
        (lookup.sum(), lookup.max()),
        (30_000_000_009, 30_000_000_000)
    );
    assert_eq!(row.histogram(1).map(Buckets::count), Some(1));
    let mut bounds = Vec::new();
    lookup.cumulate(&dns().histograms[0], &mut bounds);
    assert_eq!(bounds.first(), Some(&(0.0001, 7)));
    assert_eq!(bounds.last(), Some(&(10.0, 7)), "one is above all bounds");
}

#[test]
fn times_of_which_a_script_left_a_part_are_none() {
    let broken = |field: &str| {
        let mut point = times("outgoing", 1, 0, 9);
        point.fields.set(field.into(), Value::Int(-1));
        dns_row(&[point])
    };
    for field in ["latency_buckets", "latency_sum", "latency_max"] {
        assert_eq!(broken(field).histogram(0), None, "{field}");
    }
    let mut short = times("outgoing", 1, 0, 9);
    let one = Value::List(vec![Value::Int(1)]);
    short.fields.set(Text::new_static("latency_buckets"), one);
    assert_eq!(dns_row(&[short]).histogram(0), None);
}

#[test]
fn sums_so_far_have_the_times_of_all_rows() {
    let mut totals = Totals::new(dns());
    for last in 0..3 {
        totals.add(&dns_row(&[times("outgoing", 1, last, 100 + last)]));
    }
    totals.add(&dns_row(&[]));
    let mut row = dns_row(&[]);
    row.show(&totals);
    let lookup = row.histogram(0).expect("times");
    assert_eq!((lookup.counts()[0], lookup.counts()[16]), (3, 3));
    assert_eq!((lookup.sum(), lookup.max()), (306, 102));
}

#[test]
fn a_server_has_no_series_for_each_of_its_clients() {
    let set = SEMCONV.data_set("httpflow").expect("a data set");
    let labels = Labels::new(set, &set.groups[0]);
    let written = |direction| {
        let mut point = point(10, &[("status_code", 0.into()), ("grpc_status", 0.into())]);
        for (tag, value) in [
            ("direction", direction),
            ("dst_ip", "10.0.0.9"),
            ("dst_domain", "shop.example"),
            ("tls", "true"),
            ("route", "/user/*"),
        ] {
            point
                .tags
                .set(Text::new_static(tag), Text::new_static(value));
        }
        let mut text = String::new();
        labels.write(&point, &mut text);
        text
    };
    assert_eq!(
        written("incoming"),
        r#"flow_direction="incoming",http_route="/user/*",rpc_grpc_status_code="0",url_scheme="https""#
    );
    assert_eq!(
        written("outgoing"),
        r#"destination_address="10.0.0.9",flow_direction="outgoing",server_address="shop.example",http_route="/user/*",rpc_grpc_status_code="0",url_scheme="https""#
    );
}
